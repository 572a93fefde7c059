// The parts of a chunk: scores, softmax and weighted values of a block of rows.
#include "cpu/attention_chunk.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "cpu/tile.h"
#include "cpu/vec.h"

#define CHUNK       ATTENTION_CHUNK
#define CHUNK_PAGES (CHUNK / DYN_PAGE_TOKENS)
#define AHEAD_PAGES 2 // measured best

_Static_assert(CHUNK % DYN_PAGE_TOKENS == 0 && DYN_PAGE_TOKENS % VEC == 0, "chunks are whole pages and vectors");

static size_t page_bytes(const struct dyn_kv *kv)
{
        return (size_t)DYN_PAGE_TOKENS * (size_t)kv->head_dim * vec_bytes(kv->dtype);
}

// K or V of one KV head in page i of the span.
static const char *page_at(const struct attention_block *b, const void *cache, int i)
{
        const struct dyn_kv *kv = b->kv;
        size_t page = (size_t)b->layer * (size_t)kv->n_pages + (size_t)b->span->pages[i];

        assert(b->span->pages[i] >= 0 && b->span->pages[i] < kv->n_pages);
        return (const char *)cache + (page * (size_t)kv->n_kv_heads + (size_t)b->kv_head) * page_bytes(kv);
}

// The pages of a chunk in the order in which they are read: n of K, n of V, and AHEAD_PAGES that may come next.
static void list_pages(
        const struct attention_block *b, int first, int n, const char *pages[2 * CHUNK_PAGES + AHEAD_PAGES])
{
        int last = (b->span->first_pos + b->span->n_rows - 1) / DYN_PAGE_TOKENS;

        for (int i = 0; i < n; i++) {
                pages[i] = page_at(b, b->kv->k, first + i);
                pages[n + i] = page_at(b, b->kv->v, first + i);
        }
        for (int i = 0; i < AHEAD_PAGES; i++)
                pages[2 * n + i] = page_at(b, b->kv->k, first + n + i < last ? first + n + i : last);
}

// What to fetch while the page is read.
static ptrdiff_t ahead_of(const char *const *page)
{
        return (ptrdiff_t)((uintptr_t)page[AHEAD_PAGES] - (uintptr_t)page[0]);
}

// p[i] = exp(scale * (p[i] - largest)) for n scores; p has room up to the next multiple of VEC.
static struct attention_part softmax(float *p, int n, float scale)
{
        vec sum = vec_zero(), factor = vec_set1(scale);

        for (int i = n; i % VEC; i++)
                p[i] = p[0];
        vec top = vec_read(p);

        for (int i = VEC; i < n; i += VEC)
                top = vec_max(top, vec_read(p + i));
        float best = vec_largest(top);

        for (int i = 0; i < n; i += VEC) {
                vec e = vec_first(vec_exp((vec_read(p + i) - best) * factor), n - i);

                vec_write(p + i, e);
                sum += e;
        }
        return (struct attention_part){.best = best * scale, .sum = vec_sum(sum)};
}

int attention_positions(const struct attention_block *b, int i, int chunk)
{
        int n = b->span->first_pos + b->first + i + 1 - chunk * CHUNK;

        return n < CHUNK ? n : CHUNK;
}

// p[t][o] += q[t] . K[o] for the positions of a page: its rows are elements of K, summed as scaled by those of q.
static void add_scores(const struct attention_block *b, const char *const *page, float *p, int n_rows)
{
        size_t row_bytes = DYN_PAGE_TOKENS * vec_bytes(b->kv->dtype);

        tile_sums(b->kv->dtype, &(struct tile_sums){.b = *page,
                                        .b_bytes = row_bytes,
                                        .c = b->q,
                                        .c_step = (size_t)b->kv->head_dim,
                                        .y = p,
                                        .y_step = CHUNK,
                                        .scale = 1,
                                        .n = b->kv->head_dim,
                                        .n_out = DYN_PAGE_TOKENS,
                                        .n_rows = n_rows,
                                        .ahead = ahead_of(page)});
}

// acc[t] += sum over the first n positions of a page of p[t][o] V[o].
static void add_values(
        const struct attention_block *b, const char *const *page, const float *p, float *acc, int n_rows, int n)
{
        size_t size = vec_bytes(b->kv->dtype), dim = (size_t)b->kv->head_dim;

        tile_sums(b->kv->dtype, &(struct tile_sums){.b = *page,
                                        .b_bytes = dim * size,
                                        .block_bytes = TILE_COLUMNS * size,
                                        .c = p,
                                        .c_step = CHUNK,
                                        .y = acc,
                                        .y_step = dim,
                                        .scale = 1,
                                        .n = n,
                                        .n_out = b->kv->head_dim,
                                        .n_rows = n_rows,
                                        .ahead = ahead_of(page)});
}

static int pages_of(int n_positions)
{
        return (n_positions + DYN_PAGE_TOKENS - 1) / DYN_PAGE_TOKENS;
}

// The rows meet K together, also where a position is behind a row's own: its score is not used. V they meet together as
// far as all of them see whole pages, and what is left row by row, lest zero times what lies there is not a number.
void attention_chunk(const struct attention_block *b, int chunk, float *acc, struct attention_part *part)
{
        float p[ATTENTION_ROWS * ATTENTION_HEADS][CHUNK];
        const char *pages[2 * CHUNK_PAGES + AHEAD_PAGES], *const *values;
        size_t dim = (size_t)b->kv->head_dim, heads = (size_t)b->heads, all = (size_t)b->n_rows * heads;
        int shared = attention_positions(b, 0, chunk) / DYN_PAGE_TOKENS;
        int n_pages = pages_of(attention_positions(b, b->n_rows - 1, chunk));

        list_pages(b, chunk * CHUNK_PAGES, n_pages, pages);
        values = pages + n_pages;
        for (size_t t = 0; t < all; t++)
                memset(p[t], 0, (size_t)n_pages * DYN_PAGE_TOKENS * sizeof p[t][0]);
        memset(acc, 0, all * dim * sizeof *acc);
        for (int i = 0; i < n_pages; i++)
                add_scores(b, &pages[i], p[0] + i * DYN_PAGE_TOKENS, (int)all);
        for (size_t t = 0; t < all; t++)
                part[t] = softmax(p[t], attention_positions(b, (int)(t / heads), chunk), 1.0f / sqrtf((float)dim));
        for (int i = 0; i < shared; i++)
                add_values(b, &values[i], p[0] + i * DYN_PAGE_TOKENS, acc, (int)all, DYN_PAGE_TOKENS);
        for (size_t t = 0; t < all; t += heads) {
                int n = attention_positions(b, (int)(t / heads), chunk);

                for (int i = shared; i < pages_of(n); i++) {
                        int left = n - i * DYN_PAGE_TOKENS;

                        add_values(b, &values[i], p[t] + i * DYN_PAGE_TOKENS, acc + t * dim, b->heads,
                                left < DYN_PAGE_TOKENS ? left : DYN_PAGE_TOKENS);
                }
        }
}
