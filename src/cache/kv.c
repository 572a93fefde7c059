#include "cache/kv.h"

#include <assert.h>

#include "base/alloc.h"
#include "cache/pool.h"

struct kv_pool *kv_pool_create(int n_pages)
{
        struct kv_pool *p = mem_zalloc(sizeof *p);

        p->n_pages = p->n_free = n_pages;
        p->pages = mem_array((size_t)n_pages, sizeof *p->pages);
        p->oldest = p->newest = -1;
        for (int i = 0; i < n_pages; i++)
                p->pages[i].newer = i + 1 < n_pages ? i + 1 : -1;
        p->free = n_pages > 0 ? 0 : -1;
        return p;
}

void kv_pool_destroy(struct kv_pool *p)
{
        if (p == NULL)
                return;
        map_free(&p->index);
        mem_free(p->pages);
        mem_free(p);
}

int kv_pool_available(const struct kv_pool *p)
{
        return p->n_free + p->n_kept;
}

int kv_pool_kept(const struct kv_pool *p)
{
        return p->n_kept;
}

void kv_unlink(struct kv_pool *p, int32_t page)
{
        struct page *at = &p->pages[page];

        *(at->older >= 0 ? &p->pages[at->older].newer : &p->oldest) = at->newer;
        *(at->newer >= 0 ? &p->pages[at->newer].older : &p->newest) = at->older;
        p->n_kept--;
}

static void keep(struct kv_pool *p, int32_t page)
{
        struct page *at = &p->pages[page];

        at->older = p->newest;
        at->newer = -1;
        *(p->newest >= 0 ? &p->pages[p->newest].newer : &p->oldest) = page;
        p->newest = page;
        p->n_kept++;
}

static void set_free(struct kv_pool *p, int32_t page)
{
        p->pages[page].newer = p->free;
        p->free = page;
        p->n_free++;
}

static void drop_oldest(struct kv_pool *p)
{
        int32_t page = p->oldest;

        kv_unlink(p, page);
        map_remove(&p->index, &p->pages[page].key, sizeof p->pages[page].key);
        p->pages[page].number = 0;
        set_free(p, page);
}

int32_t kv_pool_take(struct kv_pool *p)
{
        if (p->n_free == 0) {
                if (p->n_kept == 0)
                        return -1;
                drop_oldest(p);
        }
        int32_t page = p->free;

        p->free = p->pages[page].newer;
        p->n_free--;
        p->pages[page].refs = 1;
        return page;
}

void kv_pool_pin(struct kv_pool *p, int32_t page)
{
        if (p->pages[page].refs++ == 0)
                kv_unlink(p, page);
}

void kv_pool_release(struct kv_pool *p, int32_t page)
{
        struct page *at = &p->pages[page];

        assert(at->refs > 0);
        if (--at->refs > 0)
                return;
        if (at->number != 0)
                keep(p, page);
        else
                set_free(p, page);
}
