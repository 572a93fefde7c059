// Every operation in plain C: the oracle that faster backends are tested against, and what runs where the fast one
// cannot. Each op is a loop over items that write disjoint outputs; a reduction runs over eight lanes and then a fixed
// tree, or in plain order, whatever the rows and threads are.
#include "cpu/backends.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/quant.h"
#include "cpu/device.h"
#include "cpu/half.h"
#include "cpu/merge.h"

#define LANES 8

#define GEMM_OUTPUTS 16 // in one item
#define RANK_TILE    64 // ranks whose A x is held at a time
#define ELEMENTS     4096
#define WIDEST_BLOCK 256 // elements in the largest block of a type

static inline int blocks(size_t n, size_t size)
{
        return (int)((n + size - 1) / size);
}

static float tree(const float *lane) // (LANES)
{
        return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static inline __attribute__((always_inline)) float dot_of(enum dyn_dtype dtype, const void *w, const float *x, size_t n)
{
        float lane[LANES] = {0};
        size_t k = 0;

        for (; k + LANES <= n; k += LANES)
                for (size_t i = 0; i < LANES; i++)
                        lane[i] += half_load(w, dtype, k + i) * x[k + i];
        for (; k < n; k++)
                lane[k % LANES] += half_load(w, dtype, k) * x[k];
        return tree(lane);
}

// Columns of row from `first` on, as many as a block of any type has or as are left of n; returns how many.
static size_t widen(float part[WIDEST_BLOCK], enum dyn_dtype dtype, const void *row, size_t first, size_t n)
{
        size_t count = n - first < WIDEST_BLOCK ? n - first : WIDEST_BLOCK;

        quant_to_f32(part, dtype, (const char *)row + dyn_dtype_bytes(dtype, (int64_t)first), (int64_t)count);
        return count;
}

// The weights as the format defines them; x is not rounded.
static float dot_of_quant(enum dyn_dtype dtype, const void *w, const float *x, size_t n)
{
        float lane[LANES] = {0}, part[WIDEST_BLOCK];

        for (size_t first = 0, count; first < n; first += count) {
                count = widen(part, dtype, w, first, n);
                for (size_t k = 0; k < count; k++)
                        lane[k % LANES] += part[k] * x[first + k];
        }
        return tree(lane);
}

// w: (n), x: (n)
static float dot(enum dyn_dtype dtype, const void *w, const float *x, size_t n)
{
        if (dtype == DYN_F32)
                return dot_of(DYN_F32, w, x, n);
        if (dtype == DYN_F16)
                return dot_of(DYN_F16, w, x, n);
        return dtype == DYN_BF16 ? dot_of(DYN_BF16, w, x, n) : dot_of_quant(dtype, w, x, n);
}

static const void *row_of(const void *data, enum dyn_dtype dtype, size_t row, size_t width)
{
        return (const char *)data + row * dyn_dtype_bytes(dtype, (int64_t)width);
}

struct embed {
        float *y;
        const struct dyn_weight *w;
        const int32_t *ids;
};

static void embed_row(void *arg, int i)
{
        struct embed *e = arg;
        size_t n = (size_t)e->w->n_in;
        const void *row = row_of(e->w->data, e->w->dtype, (size_t)e->ids[i], n);

        assert(e->ids[i] >= 0 && e->ids[i] < e->w->n_out);
        quant_to_f32(e->y + (size_t)i * n, e->w->dtype, row, (int64_t)n);
}

static void plain_embed(struct dyn_device *dev, float *y, const struct dyn_weight *w, const int32_t *ids, int n_rows)
{
        struct embed e = {y, w, ids};

        cpu_spread(dev, embed_row, &e, n_rows, (double)n_rows * w->n_in);
}

struct rmsnorm {
        float *y;
        const float *x, *weight;
        float eps;
        size_t dim;
};

static void rmsnorm_row(void *arg, int i)
{
        struct rmsnorm *r = arg;
        const float *x = r->x + (size_t)i * r->dim;
        float *y = r->y + (size_t)i * r->dim;
        float mean = dot(DYN_F32, x, x, r->dim) / (float)r->dim, by = 1.0f / sqrtf(mean + r->eps);

        for (size_t k = 0; k < r->dim; k++)
                y[k] = x[k] * by * r->weight[k];
}

static void plain_rmsnorm(
        struct dyn_device *dev, float *y, const float *x, const float *weight, float eps, int dim, int n_rows)
{
        struct rmsnorm r = {y, x, weight, eps, (size_t)dim};

        cpu_spread(dev, rmsnorm_row, &r, n_rows, (double)n_rows * dim);
}

struct gemm {
        float *y;
        const float *x;
        const struct dyn_weight *w;
        int n_rows;
};

static void gemm_outputs(void *arg, int i)
{
        struct gemm *g = arg;
        size_t n_in = (size_t)g->w->n_in, n_out = (size_t)g->w->n_out;
        size_t from = (size_t)i * GEMM_OUTPUTS, to = from + GEMM_OUTPUTS < n_out ? from + GEMM_OUTPUTS : n_out;

        for (size_t row = 0; row < (size_t)g->n_rows; row++)
                for (size_t o = from; o < to; o++)
                        g->y[row * n_out + o] =
                                dot(g->w->dtype, row_of(g->w->data, g->w->dtype, o, n_in), g->x + row * n_in, n_in);
}

static void plain_gemm(struct dyn_device *dev, float *y, const float *x, const struct dyn_weight *w, int n_rows)
{
        struct gemm g = {y, x, w, n_rows};

        assert(y != x);
        cpu_spread(dev, gemm_outputs, &g, blocks((size_t)w->n_out, GEMM_OUTPUTS), (double)n_rows * w->n_in * w->n_out);
}

static enum dyn_status plain_lowrank_load(struct dyn_device *dev, struct dyn_lowrank *p, const struct dyn_tensor *a,
        const struct dyn_tensor *b, float scale, struct dyn_error *err)
{
        enum dyn_status st = cpu_lowrank_begin(dev, p, a, b, scale, err);
        size_t a_bytes = (size_t)p->rank * dyn_dtype_bytes(a->dtype, p->n_in);
        size_t b_bytes = (size_t)p->n_out * dyn_dtype_bytes(a->dtype, p->rank);

        if (st == DYN_OK)
                st = cpu_lowrank_alloc(dev, p, a_bytes, b_bytes, err);
        if (st != DYN_OK)
                return st;
        memcpy(p->a, a->data, a_bytes);
        memcpy(p->b, b->data, b_bytes);
        return DYN_OK;
}

struct lowrank {
        float *y;
        const float *x;
        const struct dyn_segment *segs;
};

// y: (n_out), x: (n_in). Ranks are summed in tiles.
static void lowrank_row(const struct dyn_term *term, float *y, const float *x)
{
        const struct dyn_lowrank *p = term->patch;
        float scale = p->scale * term->weight;
        size_t rank = (size_t)p->rank;
        float v[RANK_TILE];

        for (size_t from = 0; from < rank; from += RANK_TILE) {
                size_t n = rank - from < RANK_TILE ? rank - from : RANK_TILE;

                for (size_t r = 0; r < n; r++)
                        v[r] = dot(p->dtype, row_of(p->a, p->dtype, from + r, (size_t)p->n_in), x, (size_t)p->n_in);
                for (size_t o = 0; o < (size_t)p->n_out; o++)
                        y[o] += scale * dot(p->dtype, row_of(p->b, p->dtype, o * rank + from, 1), v, n);
        }
}

static void lowrank_item(void *arg, int i)
{
        struct lowrank *l = arg;
        const struct dyn_segment *seg = l->segs;

        while (seg->term.patch == NULL || i >= seg->n_rows) {
                i -= seg->term.patch ? seg->n_rows : 0;
                seg++;
        }
        size_t row = (size_t)seg->first_row + (size_t)i;

        lowrank_row(
                &seg->term, l->y + row * (size_t)seg->term.patch->n_out, l->x + row * (size_t)seg->term.patch->n_in);
}

static void plain_lowrank(struct dyn_device *dev, float *y, const float *x, const struct dyn_segment *segs, int n_segs)
{
        struct lowrank l = {y, x, segs};
        int n_rows = 0;
        double cost = 0;

        assert(y != x);
        for (int i = 0; i < n_segs; i++)
                if (segs[i].term.patch) {
                        const struct dyn_lowrank *p = segs[i].term.patch;

                        n_rows += segs[i].n_rows;
                        cost += (double)segs[i].n_rows * p->rank * ((double)p->n_in + p->n_out);
                }
        cpu_spread(dev, lowrank_item, &l, n_rows, cost);
}

// One row of W = stored + terms, element by element; false if one is not finite.
static bool merge_row(const struct cpu_merge *m, size_t o)
{
        enum dyn_dtype dtype = m->w->dtype;
        size_t n_in = (size_t)m->w->n_in;
        const void *from = row_of(m->stored->data, m->stored->dtype, o, n_in);
        void *to = (char *)m->w->owned + o * dyn_dtype_bytes(dtype, m->w->n_in);
        float part[WIDEST_BLOCK];
        bool finite = true;

        for (size_t k = 0; k < n_in; k++) {
                if (k % WIDEST_BLOCK == 0)
                        widen(part, m->stored->dtype, from, k, n_in);
                float sum = part[k % WIDEST_BLOCK];

                for (int t = 0; t < m->n_terms; t++) {
                        const struct dyn_lowrank *p = m->terms[t].patch;
                        float scale = p->scale * m->terms[t].weight;

                        for (size_t r = 0; r < (size_t)p->rank; r++)
                                sum += scale * half_load(p->b, p->dtype, o * (size_t)p->rank + r) *
                                       half_load(p->a, p->dtype, r * n_in + k);
                }
                half_store(to, dtype, k, sum);
                finite &= isfinite(half_load(to, dtype, k));
        }
        return finite;
}

static bool merge_rows(const struct cpu_merge *m, int first, int n)
{
        bool finite = true;

        for (int o = first; o < first + n; o++)
                finite &= merge_row(m, (size_t)o);
        return finite;
}

static enum dyn_status plain_merge(struct dyn_device *dev, struct dyn_weight *w, const struct dyn_tensor *stored,
        const struct dyn_term *terms, int n_terms, struct dyn_error *err)
{
        return cpu_merge(dev, w, stored, terms, n_terms, merge_rows, err);
}

static void plain_add_bias(struct dyn_device *dev, float *y, const float *bias, int n, int n_rows)
{
        (void)dev;
        for (int i = 0; i < n_rows; i++)
                for (int k = 0; k < n; k++)
                        y[(size_t)i * (size_t)n + (size_t)k] += bias[k];
}

static void plain_rope(
        struct dyn_device *dev, float *x, const float *table, bool paired, int n_heads, int head_dim, int n_rows)
{
        size_t half = (size_t)head_dim / 2;
        float from[head_dim];

        (void)dev;
        assert(head_dim % 2 == 0);
        for (size_t row = 0; row < (size_t)n_rows; row++) {
                const float *cosine = table + row * half * 2, *sine = cosine + half;

                for (size_t head = 0; head < (size_t)n_heads; head++, x += 2 * half) {
                        memcpy(from, x, sizeof from);
                        for (size_t k = 0; k < half; k++) {
                                float a = from[paired ? 2 * k : k], b = from[paired ? 2 * k + 1 : k + half];

                                x[k] = a * cosine[k] - b * sine[k];
                                x[k + half] = b * cosine[k] + a * sine[k];
                        }
                }
        }
}

// The first element of the page of one head that a position is in, counted in elements.
static size_t page_at(const struct dyn_kv *kv, int layer, int head, const struct dyn_span *span, int pos)
{
        size_t page = (size_t)layer * (size_t)kv->n_pages + (size_t)span->pages[pos / DYN_PAGE_TOKENS];

        assert(span->pages[pos / DYN_PAGE_TOKENS] >= 0 && span->pages[pos / DYN_PAGE_TOKENS] < kv->n_pages);
        return (page * (size_t)kv->n_kv_heads + (size_t)head) * DYN_PAGE_TOKENS * (size_t)kv->head_dim;
}

// A position's K: every DYN_PAGE_TOKENS-th element from here on.
static size_t k_at(const struct dyn_kv *kv, int layer, int head, const struct dyn_span *span, int pos)
{
        return page_at(kv, layer, head, span, pos) + (size_t)(pos % DYN_PAGE_TOKENS);
}

static size_t v_at(const struct dyn_kv *kv, int layer, int head, const struct dyn_span *span, int pos)
{
        return page_at(kv, layer, head, span, pos) + (size_t)(pos % DYN_PAGE_TOKENS) * (size_t)kv->head_dim;
}

static void kv_store(const struct dyn_kv *kv, void *to, size_t at, size_t step, const float *x)
{
        for (size_t k = 0; k < (size_t)kv->head_dim; k++, at += step)
                if (kv->dtype == DYN_F16)
                        ((uint16_t *)to)[at] = half_to_f16(x[k]);
                else
                        ((float *)to)[at] = x[k];
}

static void plain_kv_write(struct dyn_device *dev, const struct dyn_kv *kv, int layer, const float *k, const float *v,
        const struct dyn_span *spans, int n_spans)
{
        (void)dev;
        assert(kv->dtype == DYN_F32 || kv->dtype == DYN_F16);
        assert(layer >= 0 && layer < kv->n_layers);
        for (int s = 0; s < n_spans; s++)
                for (int i = 0; i < spans[s].n_rows; i++)
                        for (int head = 0; head < kv->n_kv_heads; head++) {
                                size_t row = (size_t)(spans[s].first_row + i);
                                size_t from = (row * (size_t)kv->n_kv_heads + (size_t)head) * (size_t)kv->head_dim;
                                int pos = spans[s].first_pos + i;

                                kv_store(kv, kv->k, k_at(kv, layer, head, &spans[s], pos), DYN_PAGE_TOKENS, k + from);
                                kv_store(kv, kv->v, v_at(kv, layer, head, &spans[s], pos), 1, v + from);
                        }
}

struct attention {
        float *out;
        const float *q;
        const struct dyn_kv *kv;
        int layer, n_heads;
        const struct dyn_span *spans;
};

// One row and head, position by position, with the softmax's sum kept relative to the largest score so far. Source:
// Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
static void attend(const struct attention *a, const struct dyn_span *span, int i, int head)
{
        const struct dyn_kv *kv = a->kv;
        int kv_head = head / (a->n_heads / kv->n_kv_heads);
        size_t dim = (size_t)kv->head_dim, row = (size_t)(span->first_row + i);
        size_t at_row = (row * (size_t)a->n_heads + (size_t)head) * dim;
        const float *q = a->q + at_row;
        float *out = a->out + at_row;
        float best = -FLT_MAX, sum = 0, scale = 1.0f / sqrtf((float)dim);

        memset(out, 0, dim * sizeof *out);
        for (int pos = 0; pos <= span->first_pos + i; pos++) {
                size_t key = k_at(kv, a->layer, kv_head, span, pos), at = v_at(kv, a->layer, kv_head, span, pos);
                float score = 0;

                for (size_t k = 0; k < dim; k++)
                        score += q[k] * half_load(kv->k, kv->dtype, key + k * DYN_PAGE_TOKENS);
                score *= scale;
                float shrink = score > best ? expf(best - score) : 1.0f;

                best = score > best ? score : best;
                float p = expf(score - best);

                sum = sum * shrink + p;
                for (size_t k = 0; k < dim; k++)
                        out[k] = out[k] * shrink + p * half_load(kv->v, kv->dtype, at + k);
        }
        for (size_t k = 0; k < dim; k++)
                out[k] /= sum;
}

static void attention_item(void *arg, int i)
{
        const struct attention *a = arg;
        const struct dyn_span *span = a->spans;

        while (i >= span->n_rows * a->n_heads)
                i -= span++->n_rows * a->n_heads;
        attend(a, span, i / a->n_heads, i % a->n_heads);
}

static void plain_attention(struct dyn_device *dev, float *out, const float *q, const struct dyn_kv *kv, int layer,
        int n_heads, const struct dyn_span *spans, int n_spans)
{
        struct attention a = {out, q, kv, layer, n_heads, spans};
        int n_items = 0;
        double cost = 0;

        assert(out != q && n_heads % kv->n_kv_heads == 0);
        assert(kv->dtype == DYN_F32 || kv->dtype == DYN_F16);
        assert(layer >= 0 && layer < kv->n_layers);
        for (int s = 0; s < n_spans; s++) {
                n_items += spans[s].n_rows * n_heads;
                cost += (double)spans[s].n_rows * n_heads * (spans[s].first_pos + spans[s].n_rows) * kv->head_dim;
        }
        cpu_spread(dev, attention_item, &a, n_items, cost);
}

struct elements {
        float *y;
        const float *x;
        size_t n;
};

static void silu_mul_item(void *arg, int i)
{
        struct elements *e = arg;
        size_t from = (size_t)i * ELEMENTS, to = from + ELEMENTS < e->n ? from + ELEMENTS : e->n;

        for (size_t k = from; k < to; k++)
                e->y[k] = e->y[k] / (1.0f + expf(-e->y[k])) * e->x[k];
}

static void plain_silu_mul(struct dyn_device *dev, float *gate, const float *up, size_t n)
{
        struct elements e = {gate, up, n};

        cpu_spread(dev, silu_mul_item, &e, blocks(n, ELEMENTS), (double)n * 4);
}

static void plain_add(struct dyn_device *dev, float *y, const float *x, size_t n)
{
        (void)dev;
        for (size_t k = 0; k < n; k++)
                y[k] += x[k];
}

// What "plain" can do for the sake of comparing, a backend that answers people had better not: reading quantised
// weights anew for each row takes longer than bf16 does.
static bool portable_weight_dtype(struct dyn_device *dev, enum dyn_dtype dtype)
{
        (void)dev;
        return dyn_dtype_block(dtype) == 1;
}

#define PLAIN_SLOTS                                                                                                    \
        .open = cpu_open, .close = cpu_close, .alloc = cpu_alloc, .free = cpu_free, .upload = cpu_upload,              \
        .download = cpu_download, .sync = cpu_sync, .weight_load = cpu_weight_load, .weight_free = cpu_weight_free,    \
        .lowrank_load = plain_lowrank_load, .lowrank_free = cpu_lowrank_free, .merge = plain_merge,                    \
        .embed = plain_embed, .rmsnorm = plain_rmsnorm, .gemm = plain_gemm, .lowrank = plain_lowrank,                  \
        .add_bias = plain_add_bias, .rope = plain_rope, .kv_write = plain_kv_write, .attention = plain_attention,      \
        .silu_mul = plain_silu_mul, .add = plain_add, .gather = cpu_gather

const struct dyn_backend_ops cpu_plain = {.name = "plain", .weight_dtype = cpu_weight_dtype, PLAIN_SLOTS};
const struct dyn_backend_ops cpu_portable = {.name = "cpu", .weight_dtype = portable_weight_dtype, PLAIN_SLOTS};
