// Bump allocation in chunks that grow with the pool; requests larger than a chunk get one of their own.
#include "text/jinja/pool.h"

#include "base/alloc.h"

#include <stdalign.h>
#include <string.h>

struct pool_chunk {
        struct pool_chunk *before;
        size_t used, size;
        alignas(16) char data[];
};

static const size_t chunk_bytes = 16384;

void *jinja_pool_alloc(struct pool *pool, size_t bytes)
{
        size_t want = (bytes + 15) & ~(size_t)15;
        struct pool_chunk *chunk = pool->chunk;

        if (!chunk || chunk->size - chunk->used < want) {
                size_t size = want > chunk_bytes ? want : chunk_bytes;

                chunk = mem_alloc(sizeof *chunk + size);
                *chunk = (struct pool_chunk){.before = pool->chunk, .size = size};
                pool->chunk = chunk;
        }
        void *p = chunk->data + chunk->used;

        chunk->used += want;
        pool->used += want;
        memset(p, 0, bytes);
        return p;
}

void jinja_pool_free(struct pool *pool)
{
        while (pool->chunk) {
                struct pool_chunk *before = pool->chunk->before;

                mem_free(pool->chunk);
                pool->chunk = before;
        }
        pool->used = 0;
}
