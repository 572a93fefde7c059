#include "cache/reuse.h"

#include <string.h>

#include "cache/pool.h"

static struct reuse_key key_of(const struct reuse_chain *chain, const int32_t *tokens)
{
        struct reuse_key key = {.version = chain->version, .parent = chain->parent};

        memcpy(key.tokens, tokens, sizeof key.tokens);
        return key;
}

int reuse_match(struct kv_pool *p, struct reuse_chain *chain, const int32_t *tokens, int n_tokens, int32_t *pages)
{
        int n = 0;

        for (; (n + 1) * DYN_PAGE_TOKENS <= n_tokens; n++) {
                struct reuse_key key = key_of(chain, tokens + n * DYN_PAGE_TOKENS);
                uint64_t page;

                if (!map_get(&p->index, &key, sizeof key, &page))
                        break;
                kv_pool_pin(p, (int32_t)page);
                chain->parent = p->pages[page].number;
                chain->mode = n == 0 || chain->mode == p->pages[page].mode ? p->pages[page].mode : REUSE_MODES;
                pages[n] = (int32_t)page;
        }
        return n;
}

void reuse_publish(struct kv_pool *p, struct reuse_chain *chain, const int32_t *tokens, int32_t page)
{
        struct reuse_key key = key_of(chain, tokens);
        struct page *at = &p->pages[page];
        uint64_t other;

        if (map_get(&p->index, &key, sizeof key, &other)) {
                chain->parent = p->pages[other].number;
                return;
        }
        at->key = key;
        at->mode = chain->mode;
        at->number = chain->parent = ++p->last_number;
        map_put(&p->index, &key, sizeof key, (uint64_t)page);
}
