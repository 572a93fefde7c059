// Attention of the fast backend. A row's positions are taken in chunks, counted from position 0; a chunk gives a part:
// its largest score, the sum of its exponentials and the sum of V weighted with them (attention_chunk.h). The parts of
// a row are merged in order. So a row's bits follow from its own position alone, and it is free who computes the parts:
// with many rows, blocks of rows of one span and one KV head go through the chunks together and share each load of K
// and V; with few rows and long contexts the chunks are spread over the team and merged at the end.
#include <assert.h>
#include <string.h>

#include "base/threads.h"
#include "cpu/attention_chunk.h"
#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/vec.h"

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

static float exp_of(float x)
{
        return vec_exp(vec_set1(x))[0];
}

// Adds part b to part a of one head. to, acc: (head_dim)
static void merge(struct attention_part *a, float *to, const struct attention_part *b, const float *acc, size_t dim)
{
        float best = a->best > b->best ? a->best : b->best;
        float by_a = exp_of(a->best - best), by_b = exp_of(b->best - best);

        for (size_t k = 0; k < dim; k++)
                to[k] = to[k] * by_a + acc[k] * by_b;
        a->sum = a->sum * by_a + b->sum * by_b;
        a->best = best;
}

static void finish(const struct attention_part *a, float *out, size_t dim)
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
        return (n_positions + ATTENTION_CHUNK - 1) / ATTENTION_CHUNK;
}

// q of the block's heads, row after row.
static void gather_q(const struct attention *a, const struct attention_block *b, float *q)
{
        size_t n = (size_t)(b->heads * a->kv->head_dim);

        for (int i = 0; i < b->n_rows; i++)
                memcpy(q + (size_t)i * n, a->q + head_at(a, b->span->first_row + b->first + i, b->head), n * sizeof *q);
}

// The rows of a block, chunk after chunk; those that came to their last position leave.
static void attend(const struct attention *a, struct attention_block b)
{
        size_t dim = (size_t)a->kv->head_dim;
        struct attention_part state[ATTENTION_ROWS * ATTENTION_HEADS], part[ATTENTION_ROWS * ATTENTION_HEADS];
        float q[ATTENTION_ROWS * ATTENTION_FLOATS], acc[ATTENTION_ROWS * ATTENTION_FLOATS];
        int n_rows = b.n_rows, row = b.span->first_row + b.first, heads = b.heads;

        gather_q(a, &b, q);
        b.q = q;
        for (int chunk = 0; b.n_rows > 0; chunk++) {
                int done = n_rows - b.n_rows;

                attention_chunk(&b, chunk, acc, part);
                for (int i = 0; i < b.n_rows * heads; i++) {
                        float *out = a->out + head_at(a, row + done + i / heads, b.head + i % heads);
                        struct attention_part *so_far = &state[done * heads + i];

                        if (chunk > 0) {
                                merge(so_far, out, &part[i], acc + (size_t)i * dim, dim);
                                continue;
                        }
                        memcpy(out, acc + (size_t)i * dim, dim * sizeof *out);
                        *so_far = part[i];
                }
                for (; b.n_rows > 0 && attention_positions(&b, 0, chunk + 1) <= 0; b.n_rows--) {
                        b.first++;
                        b.q += (size_t)heads * dim;
                }
        }
        for (int i = 0; i < n_rows * heads; i++)
                finish(&state[i], a->out + head_at(a, row + i / heads, b.head + i % heads), dim);
}

static int blocks_of(const struct dyn_span *span)
{
        return (span->n_rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
}

// Item: a block of rows of one span, with one KV head.
static void rows_item(void *arg, int item)
{
        const struct attention *a = arg;
        const struct dyn_span *span = a->spans;
        int kv_head = item % a->kv->n_kv_heads, block = item / a->kv->n_kv_heads;

        for (; block >= blocks_of(span); span++)
                block -= blocks_of(span);
        int i = block * ATTENTION_ROWS, left = span->n_rows - i;

        for (int g = 0; g < a->group; g += a->tile)
                attend(a, (struct attention_block){.kv = a->kv,
                                  .layer = a->layer,
                                  .span = span,
                                  .first = i,
                                  .n_rows = left < ATTENTION_ROWS ? left : ATTENTION_ROWS,
                                  .kv_head = kv_head,
                                  .head = kv_head * a->group + g,
                                  .heads = a->group - g < a->tile ? a->group - g : a->tile});
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
        float acc[ATTENTION_FLOATS];
        struct attention_part part[ATTENTION_HEADS];
        struct attention_block b = {
                .kv = a->kv, .layer = a->layer, .span = span, .first = i, .n_rows = 1, .kv_head = kv_head};

        for (int g = 0; g < a->group && attention_positions(&b, 0, chunk) > 0; g += a->tile) {
                b.head = kv_head * a->group + g;
                b.heads = a->group - g < a->tile ? a->group - g : a->tile;
                b.q = a->q + head_at(a, span->first_row + i, b.head);
                attention_chunk(&b, chunk, acc, part);
                for (int h = 0; h < b.heads; h++) {
                        float *to = part_at(a, nth, b.head + h, chunk);

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
                struct attention_part state = {.best = first[dim], .sum = first[dim + 1]};

                memcpy(out, first, dim * sizeof *out);
                for (int chunk = 1; chunk < chunks_of(n_positions); chunk++) {
                        const float *from = part_at(a, nth, head, chunk);

                        merge(&state, out, &(struct attention_part){.best = from[dim], .sum = from[dim + 1]}, from,
                                dim);
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
                .tile = ATTENTION_FLOATS / kv->head_dim < ATTENTION_HEADS ? ATTENTION_FLOATS / kv->head_dim
                                                                          : ATTENTION_HEADS,
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
