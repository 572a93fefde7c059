// The pages of the KV cache: which are free, which are in use and how often, and which hold a prefix that may come
// again. Knows page numbers and tokens, nothing of what is stored in them. Engine thread.
//
// A page in use is counted. When its last user lets go, it is free, unless it was published (reuse.h): then it waits in
// the order of use until somebody needs its prefix again or its room.
#ifndef DYNLORA_CACHE_KV_H
#define DYNLORA_CACHE_KV_H

#include <stdbool.h>
#include <stdint.h>

struct kv_pool;

struct kv_pool *kv_pool_create(int n_pages);
void kv_pool_destroy(struct kv_pool *);

// Pages that take would give: free ones and kept ones that nobody uses.
int kv_pool_available(const struct kv_pool *);
int kv_pool_kept(const struct kv_pool *);

// A page counted once; drops the prefix that was not used for the longest time if no page is free. -1 if all are in
// use.
int32_t kv_pool_take(struct kv_pool *);

void kv_pool_pin(struct kv_pool *, int32_t page);
void kv_pool_release(struct kv_pool *, int32_t page);

#endif
