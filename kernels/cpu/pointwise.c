// The operations of the fast backend that touch each element once or twice: embedding, norm, rotation, activations,
// adds and the writes to the KV cache. Few rows are done by the caller alone, many are spread over the team.
#include <assert.h>
#include <math.h>

#include "base/quant.h"
#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/vec.h"

// Elements in one item of a loop over a flat array.
#define ELEMENTS ((size_t)8192)

// About what one element costs, for cpu_spread.
#define PASS_NS 0.15
#define EXP_NS  0.6

// VEC elements, or only the first `part` where that is not 0.
VEC_INLINE vec load(const float *p, size_t part)
{
        return part ? vec_load_part(p, DYN_F32, part) : vec_read(p);
}

VEC_INLINE void store(float *p, vec v, size_t part)
{
        if (part)
                vec_store_part(p, v, part);
        else
                vec_write(p, v);
}

// 0 while a whole vector is left.
VEC_INLINE size_t part_of(size_t n, size_t i)
{
        return n - i < VEC ? n - i : 0;
}

struct embed {
        float *y;
        const struct dyn_weight *w;
        const int32_t *ids;
};

static void embed_row(void *arg, int row)
{
        const struct embed *e = arg;
        size_t n = (size_t)e->w->n_in, from = (size_t)e->ids[row] * dyn_dtype_bytes(e->w->dtype, e->w->n_in);

        assert(e->ids[row] >= 0 && e->ids[row] < e->w->n_out);
        quant_to_f32(e->y + (size_t)row * n, e->w->dtype, (const char *)e->w->data + from, e->w->n_in);
}

void fast_embed(struct dyn_device *dev, float *y, const struct dyn_weight *w, const int32_t *ids, int n_rows)
{
        struct embed e = {y, w, ids};

        cpu_spread(dev, embed_row, &e, n_rows, PASS_NS * n_rows * w->n_in);
}

struct rmsnorm {
        float *y;
        const float *x, *weight;
        float eps;
        size_t dim;
};

// x . x, in four vectors of lanes.
static float square_sum(const float *x, size_t n)
{
        vec acc[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};

        for (size_t i = 0, lane = 0; i < n; i += VEC, lane = (lane + 1) % 4) {
                vec v = load(x + i, part_of(n, i));

                acc[lane] = vec_fma(v, v, acc[lane]);
        }
        return vec_sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

static void rmsnorm_row(void *arg, int row)
{
        const struct rmsnorm *r = arg;
        const float *x = r->x + (size_t)row * r->dim;
        float *y = r->y + (size_t)row * r->dim;
        vec by = vec_set1(1.0f / sqrtf(square_sum(x, r->dim) / (float)r->dim + r->eps));

        for (size_t i = 0; i < r->dim; i += VEC) {
                size_t part = part_of(r->dim, i);

                store(y + i, load(x + i, part) * by * load(r->weight + i, part), part);
        }
}

void fast_rmsnorm(struct dyn_device *dev, float *y, const float *x, const float *weight, float eps, int dim, int n_rows)
{
        struct rmsnorm r = {y, x, weight, eps, (size_t)dim};

        cpu_spread(dev, rmsnorm_row, &r, n_rows, 2 * PASS_NS * n_rows * dim);
}

void fast_add_bias(struct dyn_device *dev, float *y, const float *bias, int n, int n_rows)
{
        for (int row = 0; row < n_rows; row++)
                fast_add(dev, y + (size_t)row * (size_t)n, bias, (size_t)n);
}

struct rope {
        float *x;
        const float *table;
        bool paired;
        int n_heads, head_dim;
};

static void part_pairs(float *to, const float *from, size_t half)
{
        for (size_t i = 0; i < half; i++) {
                to[i] = from[2 * i];
                to[half + i] = from[2 * i + 1];
        }
}

static void rope_row(void *arg, int row)
{
        const struct rope *r = arg;
        size_t half = (size_t)r->head_dim / 2;
        const float *cosine = r->table + (size_t)row * half * 2, *sine = cosine + half;
        float *x = r->x + (size_t)row * (size_t)r->n_heads * half * 2, parted[2 * half];

        for (int head = 0; head < r->n_heads; head++, x += 2 * half) {
                const float *from = r->paired ? parted : x;

                if (r->paired)
                        part_pairs(parted, x, half);
                for (size_t i = 0; i < half; i += VEC) {
                        size_t part = part_of(half, i);
                        vec a = load(from + i, part), b = load(from + half + i, part);
                        vec c = load(cosine + i, part), s = load(sine + i, part);

                        store(x + i, vec_fms(a, c, b * s), part);
                        store(x + half + i, vec_fma(b, c, a * s), part);
                }
        }
}

void fast_rope(struct dyn_device *dev, float *x, const float *table, bool paired, int n_heads, int head_dim, int n_rows)
{
        struct rope r = {x, table, paired, n_heads, head_dim};

        assert(head_dim % 2 == 0);
        cpu_spread(dev, rope_row, &r, n_rows, 2 * PASS_NS * n_rows * n_heads * head_dim);
}

struct kv_write {
        const struct dyn_kv *kv;
        int layer;
        const float *k, *v; // (n_rows, n_kv_heads * head_dim)
        const struct dyn_span *spans;
        int n_spans;
};

// n elements of V, beside each other.
static void store_v(const struct dyn_kv *kv, size_t at, const float *x, size_t n)
{
        if (kv->dtype == DYN_F32) {
                memcpy((float *)kv->v + at, x, n * sizeof *x);
                return;
        }
        uint16_t *to = (uint16_t *)kv->v + at;

        for (size_t i = 0; i < n; i += VEC) {
                size_t part = part_of(n, i);
                uint16_t half[VEC];

                vec_write_f16(half, load(x + i, part));
                memcpy(to + i, half, part ? part * sizeof *to : sizeof half);
        }
}

// n elements of K, DYN_PAGE_TOKENS apart.
static void store_k(const struct dyn_kv *kv, size_t at, const float *x, size_t n)
{
        for (size_t i = 0; i < n; i += VEC) {
                size_t part = part_of(n, i), count = part ? part : VEC;
                uint16_t half[VEC];

                if (kv->dtype == DYN_F16)
                        vec_write_f16(half, load(x + i, part));
                for (size_t k = 0; k < count; k++, at += DYN_PAGE_TOKENS)
                        if (kv->dtype == DYN_F16)
                                ((uint16_t *)kv->k)[at] = half[k];
                        else
                                ((float *)kv->k)[at] = x[i + k];
        }
}

// Item: all rows of one head. Pages are a head's own, and so are the lines of the caches that are written.
static void kv_write_head(void *arg, int head)
{
        const struct kv_write *w = arg;
        const struct dyn_kv *kv = w->kv;
        size_t dim = (size_t)kv->head_dim, heads = (size_t)kv->n_kv_heads;

        for (const struct dyn_span *span = w->spans; span < w->spans + w->n_spans; span++)
                for (int row = 0; row < span->n_rows; row++) {
                        int pos = span->first_pos + row, page = span->pages[pos / DYN_PAGE_TOKENS];
                        size_t slab = ((size_t)w->layer * (size_t)kv->n_pages + (size_t)page) * heads + (size_t)head;
                        size_t at = slab * DYN_PAGE_TOKENS * dim, slot = (size_t)(pos % DYN_PAGE_TOKENS);
                        size_t from = ((size_t)(span->first_row + row) * heads + (size_t)head) * dim;

                        assert(page >= 0 && page < kv->n_pages);
                        store_k(kv, at + slot, w->k + from, dim);
                        store_v(kv, at + slot * dim, w->v + from, dim);
                }
}

void fast_kv_write(struct dyn_device *dev, const struct dyn_kv *kv, int layer, const float *k, const float *v,
        const struct dyn_span *spans, int n_spans)
{
        struct kv_write w = {kv, layer, k, v, spans, n_spans};
        int n_rows = 0;

        assert(kv->dtype == DYN_F32 || kv->dtype == DYN_F16);
        assert(layer >= 0 && layer < kv->n_layers);
        for (int s = 0; s < n_spans; s++)
                n_rows += spans[s].n_rows;
        cpu_spread(dev, kv_write_head, &w, kv->n_kv_heads, 4 * PASS_NS * n_rows * kv->n_kv_heads * kv->head_dim);
}

struct elements {
        float *y;
        const float *x;
        size_t n;
};

static size_t end_of(const struct elements *e, int item)
{
        size_t end = ((size_t)item + 1) * ELEMENTS;

        return end < e->n ? end : e->n;
}

static void silu_mul_item(void *arg, int item)
{
        const struct elements *e = arg;

        for (size_t i = (size_t)item * ELEMENTS, end = end_of(e, item); i < end; i += VEC) {
                size_t part = part_of(end, i);
                vec g = load(e->y + i, part), up = load(e->x + i, part);

                store(e->y + i, g / (1.0f + vec_exp(0.0f - g)) * up, part);
        }
}

void fast_silu_mul(struct dyn_device *dev, float *gate, const float *up, size_t n)
{
        struct elements e = {gate, up, n};

        cpu_spread(dev, silu_mul_item, &e, (int)((n + ELEMENTS - 1) / ELEMENTS), EXP_NS * (double)n);
}

static void add_item(void *arg, int item)
{
        const struct elements *e = arg;

        for (size_t i = (size_t)item * ELEMENTS, end = end_of(e, item); i < end; i += VEC) {
                size_t part = part_of(end, i);

                store(e->y + i, load(e->y + i, part) + load(e->x + i, part), part);
        }
}

void fast_add(struct dyn_device *dev, float *y, const float *x, size_t n)
{
        struct elements e = {y, x, n};

        cpu_spread(dev, add_item, &e, (int)((n + ELEMENTS - 1) / ELEMENTS), PASS_NS * (double)n);
}
