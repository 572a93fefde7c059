// The inside of the page pool, shared by kv.c and reuse.c.
#ifndef DYNLORA_CACHE_POOL_H
#define DYNLORA_CACHE_POOL_H

#include "base/map.h"
#include "cache/kv.h"
#include "cache/reuse.h"
#include "dynlora/backend.h"

// Everything that decides what a page holds.
struct reuse_key { // no padding: compared as bytes
        uint64_t version, parent;
        int32_t tokens[DYN_PAGE_TOKENS];
};

struct page {
        int refs;
        uint64_t number;      // in the chain; 0: not published
        uint64_t mode;        // if published: of the weights that computed it (reuse.h)
        struct reuse_key key; // if published
        int32_t older, newer; // kept pages by last use; free pages through newer
};

struct kv_pool {
        int n_pages, n_free, n_kept;
        struct page *pages;     // (n_pages)
        int32_t free;           // list through newer, -1 ends
        int32_t oldest, newest; // kept pages, -1 if none
        uint64_t last_number;
        struct map index; // reuse_key -> page
};

// Takes a kept page out of the order of use.
void kv_unlink(struct kv_pool *, int32_t page);

#endif
