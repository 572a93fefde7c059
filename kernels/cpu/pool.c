#include "cpu/pool.h"

#include <assert.h>
#include <stdint.h>

#include "base/alloc.h"

#define ALIGN       64
#define CHUNK_BYTES ((size_t)8 << 20)

// At the start of each mapping.
struct pool_chunk {
        size_t bytes, used; // used counts this header
        int live;           // blocks that were not freed
};

// In the 64 bytes before each block.
struct block {
        struct pool_chunk *chunk;
};

void pool_init(struct pool *p)
{
        pthread_mutex_init(&p->lock, NULL);
        p->last = NULL;
}

void pool_finish(struct pool *p)
{
        assert(p->last == NULL);
        pthread_mutex_destroy(&p->lock);
}

static struct pool_chunk *chunk_map(size_t room)
{
        size_t bytes = room + ALIGN > CHUNK_BYTES ? room + ALIGN : CHUNK_BYTES;
        struct pool_chunk *c = mem_map(bytes);

        if (c)
                *c = (struct pool_chunk){.bytes = bytes, .used = ALIGN};
        return c;
}

// Room for a block in the last chunk, or in a new one; NULL when the system refuses.
static struct pool_chunk *chunk_with(struct pool *p, size_t room)
{
        struct pool_chunk *c = p->last;

        if (c && c->bytes - c->used >= room)
                return c;
        c = chunk_map(room);
        if (c)
                p->last = c;
        return c;
}

void *pool_alloc(struct pool *p, size_t bytes)
{
        if (bytes > SIZE_MAX / 2)
                return NULL;
        size_t room = ALIGN + (bytes + ALIGN - 1) / ALIGN * ALIGN;

        pthread_mutex_lock(&p->lock);
        struct pool_chunk *c = chunk_with(p, room);
        char *at = c ? (char *)c + c->used : NULL;

        if (c) {
                c->used += room;
                c->live++;
        }
        pthread_mutex_unlock(&p->lock);
        if (at == NULL)
                return NULL;
        *(struct block *)at = (struct block){.chunk = c};
        return at + ALIGN;
}

void pool_free(struct pool *p, void *at)
{
        if (at == NULL)
                return;
        struct pool_chunk *c = ((struct block *)((char *)at - ALIGN))->chunk;

        pthread_mutex_lock(&p->lock);
        if (--c->live == 0) {
                if (c == p->last)
                        p->last = NULL;
                mem_unmap(c, c->bytes);
        }
        pthread_mutex_unlock(&p->lock);
}
