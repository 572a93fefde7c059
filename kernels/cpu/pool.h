// Memory for the many small blocks of patches and merged matrices, cut one after the other from large mappings, so that
// huge pages hold them: a step that touches the patches of many adapters would spend a tenth of its time on address
// translation otherwise. A block's pages leave the process with it, the mapping with its last block. Room is never used
// twice, so the zeros are the system's and nobody writes them: pages are first touched by whoever fills the block. Any
// thread.
#ifndef DYNLORA_KERNELS_CPU_POOL_H
#define DYNLORA_KERNELS_CPU_POOL_H

#include <pthread.h>
#include <stddef.h>

struct pool {
        pthread_mutex_t lock;
        struct pool_chunk *last; // where blocks are cut from, NULL before the first
};

void pool_init(struct pool *);

// All blocks were freed before.
void pool_finish(struct pool *);

// Zeroed and 64-byte aligned, or NULL when the system refuses.
void *pool_alloc(struct pool *, size_t bytes);
void pool_free(struct pool *, void *);

#endif
