#include "cpu/pool.h"

#include <assert.h>
#include <stdint.h>

#include "base/alloc.h"

#define ALIGN       64
#define GRAIN       ((size_t)64 << 10) // the largest page of any system that we run on
#define CHUNK_BYTES ((size_t)8 << 20)

// At the start of each mapping.
struct pool_chunk {
        size_t bytes, used; // used counts this header
        int live;           // blocks that were not freed
        uint16_t sharing[]; // (grains): how many of them, and of the header, have a part there
};

// In the 64 bytes before each block.
struct block {
        struct pool_chunk *chunk;
        size_t bytes; // with these
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

static size_t round_up(size_t bytes, size_t to)
{
        return (bytes + to - 1) / to * to;
}

static char *chunk_cut(struct pool_chunk *c, size_t room)
{
        size_t at = c->used;

        c->used += room;
        for (size_t grain = at / GRAIN; grain <= (c->used - 1) / GRAIN; grain++)
                c->sharing[grain]++;
        return (char *)c + at;
}

static struct pool_chunk *chunk_map(size_t room)
{
        size_t least = round_up(room + ALIGN + room / GRAIN * ALIGN, GRAIN);
        size_t bytes = least > CHUNK_BYTES ? least : CHUNK_BYTES;
        struct pool_chunk *c = mem_map(bytes);

        if (c == NULL)
                return NULL;
        c->bytes = bytes;
        chunk_cut(c, round_up(sizeof *c + bytes / GRAIN * sizeof c->sharing[0], ALIGN));
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
        size_t room = ALIGN + round_up(bytes, ALIGN);

        pthread_mutex_lock(&p->lock);
        struct pool_chunk *c = chunk_with(p, room);
        char *at = c ? chunk_cut(c, room) : NULL;

        if (c)
                c->live++;
        pthread_mutex_unlock(&p->lock);
        if (at == NULL)
                return NULL;
        *(struct block *)at = (struct block){.chunk = c, .bytes = room};
        return at + ALIGN;
}

// Gives the grains back that nobody else has a part in.
static void chunk_drop(struct pool_chunk *c, size_t at, size_t end)
{
        size_t first = at / GRAIN, last = (end - 1) / GRAIN;

        for (size_t grain = first; grain <= last; grain++)
                c->sharing[grain]--;
        first += c->sharing[first] > 0;
        last += c->sharing[last] == 0;
        if (first < last)
                mem_drop((char *)c + first * GRAIN, (last - first) * GRAIN);
}

void pool_free(struct pool *p, void *at)
{
        if (at == NULL)
                return;
        char *from = (char *)at - ALIGN;
        struct block b = *(const struct block *)from;
        size_t offset = (size_t)(from - (char *)b.chunk);

        pthread_mutex_lock(&p->lock);
        if (--b.chunk->live > 0) {
                chunk_drop(b.chunk, offset, offset + b.bytes);
        } else {
                if (b.chunk == p->last)
                        p->last = NULL;
                mem_unmap(b.chunk, b.chunk->bytes);
        }
        pthread_mutex_unlock(&p->lock);
}
