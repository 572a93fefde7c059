// Memory that is given back all at once: the tree of a template, or everything that one rendering made. A pool counts
// what it handed out, so that its owner can refuse a template that wants too much. One thread at a time.
#ifndef DYNLORA_TEXT_JINJA_POOL_H
#define DYNLORA_TEXT_JINJA_POOL_H

#include <stddef.h>

struct pool {
        struct pool_chunk *chunk; // the newest; NULL until something was asked for
        size_t used;              // bytes handed out so far
};

// Zeroed and aligned for any object.
void *jinja_pool_alloc(struct pool *, size_t bytes);

void jinja_pool_free(struct pool *);

#endif
