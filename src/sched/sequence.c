#include "sched/sequence.h"

#include <string.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "dynlora/backend.h"

static int pages_for(int n_tokens)
{
        return (n_tokens + DYN_PAGE_TOKENS - 1) / DYN_PAGE_TOKENS;
}

struct sequence *sequence_create(struct dyn_request *r)
{
        struct sequence *s = mem_zalloc(sizeof *s);
        int capacity = r->n_prompt + r->max_tokens;

        s->request = r;
        s->tokens = mem_alloc((size_t)capacity * sizeof *s->tokens);
        memcpy(s->tokens, r->prompt, (size_t)r->n_prompt * sizeof *s->tokens);
        s->n_tokens = r->n_prompt;
        s->pages = mem_alloc((size_t)pages_for(capacity) * sizeof *s->pages);
        s->chain.version = r->adapter ? r->adapter->id : 0;
        return s;
}

void sequence_destroy(struct sequence *s)
{
        if (s == NULL)
                return;
        mem_free(s->tokens);
        mem_free(s->pages);
        mem_free(s);
}

bool sequence_reserve(struct sequence *s, struct kv_pool *pool, int n_tokens)
{
        while (s->n_pages < pages_for(n_tokens)) {
                int32_t page = kv_pool_take(pool);

                if (page < 0)
                        return false;
                s->pages[s->n_pages++] = page;
        }
        return true;
}

static void add_mode(struct sequence *s, uint64_t mode)
{
        s->mode = !s->has_mode || s->mode == mode ? mode : REUSE_MODES;
        s->has_mode = true;
}

void sequence_ran(struct sequence *s, uint64_t mode)
{
        s->chain.mode = s->n_computed == 0 || s->chain.mode == mode ? mode : REUSE_MODES;
        add_mode(s, mode);
}

void sequence_reused(struct sequence *s)
{
        add_mode(s, s->chain.mode);
}

// From the end, so that the end of a kept prefix is dropped before its beginning.
void sequence_release(struct sequence *s, struct kv_pool *pool)
{
        while (s->n_pages > 0)
                kv_pool_release(pool, s->pages[--s->n_pages]);
        s->n_computed = s->n_published = 0;
        s->chain.parent = 0;
}

void sequence_publish(struct sequence *s, struct kv_pool *pool)
{
        for (; (s->n_published + 1) * DYN_PAGE_TOKENS <= s->n_computed; s->n_published++)
                reuse_publish(pool, &s->chain, s->tokens + s->n_published * DYN_PAGE_TOKENS, s->pages[s->n_published]);
}
