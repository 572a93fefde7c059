// Attention of the fast backend. A row's positions are taken in chunks of CHUNK, counted from position 0; a chunk gives
// a part: its largest score, the sum of its exponentials and the sum of V weighted with them. The parts of a row are
// merged in order. So a row's bits follow from its own position alone, and it is free who computes the parts: with many
// rows, blocks of rows of one span and one KV head go through the chunks together and share K and V in the caches;
// with few rows and long contexts the chunks are spread over the team and merged at the end.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/threads.h"
#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/tile.h"
#include "cpu/vec.h"

#define CHUNK       256 // positions
#define CHUNK_PAGES (CHUNK / DYN_PAGE_TOKENS)
#define AHEAD_PAGES 2    // measured best
#define BLOCK_ROWS  16   // rows that share a chunk
#define TILE_HEADS  8    // heads of one KV head that share each load of K and V
#define TILE_FLOATS 1024 // TILE_HEADS times head_dim is held to this

_Static_assert(CHUNK % DYN_PAGE_TOKENS == 0 && CHUNK % VEC == 0, "chunks are whole pages and vectors");

struct attention {
        float *out;     // (n_rows, n_heads * head_dim)
        const float *q; // the same
        const struct dyn_kv *kv;
        int layer, n_heads;
        int group; // heads of one KV head
        int tile;  // of them at once
        const struct dyn_span *spans;
        int n_spans;
        float *parts; // (rows of all spans, n_heads, n_chunks, head_dim + 2), only where chunks are spread
        int n_chunks;
};

// One head's part: the sum of exp(score - best) * V, which `acc` holds, the sum of exp(score - best), and best itself.
struct part {
        float best, sum;
};

static size_t page_bytes(const struct dyn_kv *kv)
{
        return (size_t)DYN_PAGE_TOKENS * (size_t)kv->head_dim * vec_bytes(kv->dtype);
}

// K or V of one KV head in page i of the span: (DYN_PAGE_TOKENS, head_dim)
static const char *page_at(const struct attention *a, const void *cache, const struct dyn_span *span, int i, int head)
{
        const struct dyn_kv *kv = a->kv;
        size_t page = (size_t)a->layer * (size_t)kv->n_pages + (size_t)span->pages[i];

        assert(span->pages[i] >= 0 && span->pages[i] < kv->n_pages);
        return (const char *)cache + (page * (size_t)kv->n_kv_heads + (size_t)head) * page_bytes(kv);
}

// The pages of a chunk in the order in which they are read: n of K, n of V, and AHEAD_PAGES that may come next.
static void list_pages(const struct attention *a, const struct dyn_span *span, int head, int first, int n,
        const char *pages[2 * CHUNK_PAGES + AHEAD_PAGES])
{
        int last = (span->first_pos + span->n_rows - 1) / DYN_PAGE_TOKENS;

        for (int i = 0; i < n; i++) {
                pages[i] = page_at(a, a->kv->k, span, first + i, head);
                pages[n + i] = page_at(a, a->kv->v, span, first + i, head);
        }
        for (int i = 0; i < AHEAD_PAGES; i++)
                pages[2 * n + i] = page_at(a, a->kv->k, span, first + n + i < last ? first + n + i : last, head);
}

// What to fetch while the page is read.
static ptrdiff_t ahead_of(const char *const *page)
{
        return (ptrdiff_t)((uintptr_t)page[AHEAD_PAGES] - (uintptr_t)page[0]);
}

// p[i] = exp(scale * (p[i] - largest)) for n scores; p has room up to the next multiple of VEC.
static struct part softmax(float *p, int n, float scale)
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
        return (struct part){.best = best * scale, .sum = vec_sum(sum)};
}

// The parts of `heads` heads of one row over n positions of a chunk. q: (heads, head_dim), acc: (heads, head_dim)
static void chunk_part(const struct attention *a, const struct dyn_span *span, int chunk, int n, int kv_head,
        const float *q, int heads, float *acc, struct part *part)
{
        const struct dyn_kv *kv = a->kv;
        float p[TILE_HEADS][CHUNK];
        size_t dim = (size_t)kv->head_dim, row_bytes = dim * vec_bytes(kv->dtype);
        int n_pages = (n + DYN_PAGE_TOKENS - 1) / DYN_PAGE_TOKENS;
        const char *pages[2 * CHUNK_PAGES + AHEAD_PAGES];
        struct tile_dots dots = {
                .w_bytes = row_bytes, .x = q, .x_step = dim, .y_step = CHUNK, .n = kv->head_dim, .n_rows = heads};
        struct tile_sums sums = {.b_bytes = row_bytes,
                .block_bytes = TILE_COLUMNS * vec_bytes(kv->dtype),
                .c_step = CHUNK,
                .y = acc,
                .y_step = dim,
                .scale = 1.0f,
                .n_out = kv->head_dim,
                .n_rows = heads};

        list_pages(a, span, kv_head, chunk * CHUNK_PAGES, n_pages, pages);
        for (int i = 0; i < n_pages; i++) {
                int left = n - i * DYN_PAGE_TOKENS;

                dots.w = pages[i];
                dots.y = p[0] + i * DYN_PAGE_TOKENS;
                dots.n_out = left < DYN_PAGE_TOKENS ? left : DYN_PAGE_TOKENS;
                dots.ahead = ahead_of(&pages[i]);
                tile_dots(kv->dtype, &dots);
        }
        for (int h = 0; h < heads; h++)
                part[h] = softmax(p[h], n, 1.0f / sqrtf((float)dim));
        memset(acc, 0, (size_t)heads * dim * sizeof *acc);
        for (int i = 0; i < n_pages; i++) {
                int left = n - i * DYN_PAGE_TOKENS;

                sums.b = pages[n_pages + i];
                sums.c = p[0] + i * DYN_PAGE_TOKENS;
                sums.n = left < DYN_PAGE_TOKENS ? left : DYN_PAGE_TOKENS;
                sums.ahead = ahead_of(&pages[n_pages + i]);
                tile_sums(kv->dtype, &sums);
        }
}

static float exp_of(float x)
{
        return vec_exp(vec_set1(x))[0];
}

// Adds part b to part a of one head. to, acc: (head_dim)
static void merge(struct part *a, float *to, const struct part *b, const float *acc, size_t dim)
{
        float best = a->best > b->best ? a->best : b->best;
        float by_a = exp_of(a->best - best), by_b = exp_of(b->best - best);

        for (size_t k = 0; k < dim; k++)
                to[k] = to[k] * by_a + acc[k] * by_b;
        a->sum = a->sum * by_a + b->sum * by_b;
        a->best = best;
}

static void finish(const struct part *a, float *out, size_t dim)
{
        float by = 1.0f / a->sum;

        for (size_t k = 0; k < dim; k++)
                out[k] *= by;
}

static size_t head_at(const struct attention *a, int row, int head)
{
        return ((size_t)row * (size_t)a->n_heads + (size_t)head) * (size_t)a->kv->head_dim;
}

static int chunks_of(int n_positions)
{
        return (n_positions + CHUNK - 1) / CHUNK;
}

// n_rows rows of a span from row i on, for `heads` heads of one KV head.
static void block_of_rows(
        const struct attention *a, const struct dyn_span *span, int i, int n_rows, int kv_head, int head, int heads)
{
        size_t dim = (size_t)a->kv->head_dim;
        struct part state[BLOCK_ROWS][TILE_HEADS], part[TILE_HEADS];
        float acc[TILE_FLOATS];
        int last = span->first_pos + i + n_rows - 1;

        for (int chunk = 0; chunk * CHUNK <= last; chunk++)
                for (int r = 0; r < n_rows; r++) {
                        int row = span->first_row + i + r, n = span->first_pos + i + r + 1 - chunk * CHUNK;
                        float *out = a->out + head_at(a, row, head);
                        const float *q = a->q + head_at(a, row, head);

                        if (n <= 0)
                                continue;
                        n = n < CHUNK ? n : CHUNK;
                        if (chunk == 0) {
                                chunk_part(a, span, 0, n, kv_head, q, heads, out, state[r]);
                                continue;
                        }
                        chunk_part(a, span, chunk, n, kv_head, q, heads, acc, part);
                        for (int h = 0; h < heads; h++)
                                merge(&state[r][h], out + (size_t)h * dim, &part[h], acc + (size_t)h * dim, dim);
                }
        for (int r = 0; r < n_rows; r++)
                for (int h = 0; h < heads; h++)
                        finish(&state[r][h], a->out + head_at(a, span->first_row + i + r, head + h), dim);
}

static int blocks_of(const struct dyn_span *span)
{
        return (span->n_rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

// Item: a block of rows of one span, with one KV head.
static void rows_item(void *arg, int item)
{
        const struct attention *a = arg;
        const struct dyn_span *span = a->spans;
        int kv_head = item % a->kv->n_kv_heads, block = item / a->kv->n_kv_heads;

        for (; block >= blocks_of(span); span++)
                block -= blocks_of(span);
        int i = block * BLOCK_ROWS, left = span->n_rows - i;

        for (int g = 0; g < a->group; g += a->tile)
                block_of_rows(a, span, i, left < BLOCK_ROWS ? left : BLOCK_ROWS, kv_head, kv_head * a->group + g,
                        a->group - g < a->tile ? a->group - g : a->tile);
}

// Where the part of a row's chunk is kept while chunks are spread: acc, then best and sum.
static float *part_at(const struct attention *a, int nth_row, int head, int chunk)
{
        size_t at = ((size_t)nth_row * (size_t)a->n_heads + (size_t)head) * (size_t)a->n_chunks + (size_t)chunk;

        return a->parts + at * ((size_t)a->kv->head_dim + 2);
}

// Item: one chunk of one row, with one KV head.
static void chunk_item(void *arg, int item)
{
        const struct attention *a = arg;
        const struct dyn_span *span = a->spans;
        size_t dim = (size_t)a->kv->head_dim;
        int chunk = item % a->n_chunks, kv_head = item / a->n_chunks % a->kv->n_kv_heads;
        int nth = item / a->n_chunks / a->kv->n_kv_heads, i = nth;

        for (; i >= span->n_rows; span++)
                i -= span->n_rows;
        int n = span->first_pos + i + 1 - chunk * CHUNK;
        float acc[TILE_FLOATS];
        struct part part[TILE_HEADS];

        for (int g = 0; g < a->group && n > 0; g += a->tile) {
                int head = kv_head * a->group + g, heads = a->group - g < a->tile ? a->group - g : a->tile;

                chunk_part(a, span, chunk, n < CHUNK ? n : CHUNK, kv_head, a->q + head_at(a, span->first_row + i, head),
                        heads, acc, part);
                for (int h = 0; h < heads; h++) {
                        float *to = part_at(a, nth, head + h, chunk);

                        memcpy(to, acc + (size_t)h * dim, dim * sizeof *to);
                        to[dim] = part[h].best;
                        to[dim + 1] = part[h].sum;
                }
        }
}

static void merge_row(const struct attention *a, int nth, int row, int n_positions)
{
        size_t dim = (size_t)a->kv->head_dim;

        for (int head = 0; head < a->n_heads; head++) {
                float *out = a->out + head_at(a, row, head);
                const float *first = part_at(a, nth, head, 0);
                struct part state = {.best = first[dim], .sum = first[dim + 1]};

                memcpy(out, first, dim * sizeof *out);
                for (int chunk = 1; chunk < chunks_of(n_positions); chunk++) {
                        const float *from = part_at(a, nth, head, chunk);

                        merge(&state, out, &(struct part){.best = from[dim], .sum = from[dim + 1]}, from, dim);
                }
                finish(&state, out, dim);
        }
}

static void spread_chunks(struct dyn_device *dev, struct attention *a, int n_rows)
{
        int nth = 0;

        team_run(dev->team, chunk_item, a, n_rows * a->kv->n_kv_heads * a->n_chunks);
        for (int s = 0; s < a->n_spans; s++)
                for (int i = 0; i < a->spans[s].n_rows; i++)
                        merge_row(a, nth++, a->spans[s].first_row + i, a->spans[s].first_pos + i + 1);
}

void fast_attention(struct dyn_device *dev, float *out, const float *q, const struct dyn_kv *kv, int layer, int n_heads,
        const struct dyn_span *spans, int n_spans)
{
        struct attention a = {.out = out,
                .q = q,
                .kv = kv,
                .layer = layer,
                .n_heads = n_heads,
                .group = n_heads / kv->n_kv_heads,
                .tile = TILE_FLOATS / kv->head_dim < TILE_HEADS ? TILE_FLOATS / kv->head_dim : TILE_HEADS,
                .spans = spans,
                .n_spans = n_spans,
                .parts = dev->scratch};
        int n_blocks = 0, n_rows = 0;
        double cost = 0;

        assert(out != q && n_heads % kv->n_kv_heads == 0 && a.tile > 0);
        assert(kv->dtype == DYN_F32 || kv->dtype == DYN_F16);
        assert(layer >= 0 && layer < kv->n_layers);
        for (int s = 0; s < n_spans; s++) {
                int end = spans[s].first_pos + spans[s].n_rows;

                n_blocks += blocks_of(&spans[s]);
                n_rows += spans[s].n_rows;
                cost += 0.1 * spans[s].n_rows * n_heads * end * kv->head_dim;
                a.n_chunks = chunks_of(end) > a.n_chunks ? chunks_of(end) : a.n_chunks;
        }
        size_t parts = (size_t)n_rows * (size_t)n_heads * (size_t)a.n_chunks * ((size_t)kv->head_dim + 2);

        if (n_blocks * kv->n_kv_heads < 4 * team_size(dev->team) && a.n_chunks > 1 &&
                parts <= dev->scratch_bytes / sizeof *a.parts)
                spread_chunks(dev, &a, n_rows);
        else
                cpu_spread(dev, rows_item, &a, n_blocks * kv->n_kv_heads, cost);
}
