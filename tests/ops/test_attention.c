// attention and kv_write against a plain loop, and a row against itself in other spans, pages, chunks and teams.
#include "ops.h"

#define LAYER  1
#define LAYERS 2

struct model {
        int n_heads, n_kv_heads, head_dim;
        enum dyn_dtype dtype;
};

// One sequence: what was written at each position, and the pages it is in.
struct sequence {
        int n;
        float *q, *k, *v; // (n, heads * head_dim)
        int32_t *pages;
};

struct cache {
        struct ops o;
        struct dyn_kv kv;
        struct model m;
        int used;
        int32_t *order; // (n_pages) shuffled
};

static struct cache cache(const char *backend, int n_threads, struct model m, int n_pages)
{
        struct cache c = {.o = ops_open(backend, n_threads), .m = m, .order = test_malloc((size_t)n_pages * 4)};
        size_t bytes =
                dyn_dtype_bytes(m.dtype, (int64_t)LAYERS * n_pages * m.n_kv_heads * DYN_PAGE_TOKENS * m.head_dim);

        c.kv = (struct dyn_kv){.dtype = m.dtype,
                .n_layers = LAYERS,
                .n_pages = n_pages,
                .n_kv_heads = m.n_kv_heads,
                .head_dim = m.head_dim,
                .k = c.o.ops->alloc(c.o.dev, bytes),
                .v = c.o.ops->alloc(c.o.dev, bytes)};
        memset(c.kv.k, 0xff, bytes); // what was never written is NaN
        memset(c.kv.v, 0xff, bytes);
        for (int i = 0; i < n_pages; i++)
                c.order[i] = i;
        for (int i = n_pages - 1; i > 0; i--) {
                int j = ops_pick(0, i), t = c.order[i];

                c.order[i] = c.order[j];
                c.order[j] = t;
        }
        return c;
}

static void cache_free(struct cache *c)
{
        c->o.ops->free(c->o.dev, c->kv.k);
        c->o.ops->free(c->o.dev, c->kv.v);
        ops_close(&c->o);
        test_free(c->order);
}

static struct sequence sequence(struct model m, int n)
{
        struct sequence s = {.n = n,
                .q = ops_floats((size_t)(n * m.n_heads * m.head_dim)),
                .k = ops_floats((size_t)(n * m.n_kv_heads * m.head_dim)),
                .v = ops_floats((size_t)(n * m.n_kv_heads * m.head_dim)),
                .pages = test_malloc((size_t)n * sizeof *s.pages)};

        for (int i = 0; i < n * m.n_heads * m.head_dim; i++)
                s.q[i] *= 4;
        return s;
}

static void sequence_free(struct sequence *s)
{
        test_free(s->q);
        test_free(s->k);
        test_free(s->v);
        test_free(s->pages);
}

static void take_pages(struct cache *c, struct sequence *s)
{
        for (int i = 0; i * DYN_PAGE_TOKENS < s->n; i++)
                s->pages[i] = c->order[c->used++];
        assert_true(c->used <= c->kv.n_pages);
}

// Runs positions from .. from + n - 1 as one span; out is the sequence's, (n, heads * head_dim).
static void run(struct cache *c, const struct sequence *s, float *out, int from, int n)
{
        size_t kv_width = (size_t)(c->m.n_kv_heads * c->m.head_dim), width = (size_t)(c->m.n_heads * c->m.head_dim);
        struct dyn_span span = {.n_rows = n, .first_pos = from, .pages = s->pages};

        c->o.ops->kv_write(
                c->o.dev, &c->kv, LAYER, s->k + (size_t)from * kv_width, s->v + (size_t)from * kv_width, &span, 1);
        c->o.ops->attention(c->o.dev, out + (size_t)from * width, s->q + (size_t)from * width, &c->kv, LAYER,
                c->m.n_heads, &span, 1);
        c->o.ops->sync(c->o.dev);
}

// The nearest value of the cache's dtype, found from the definition.
static double stored(enum dyn_dtype dtype, float f)
{
        if (dtype == DYN_F32)
                return f;
        int exponent;

        frexp(f, &exponent);
        int step = exponent - 11 > -24 ? exponent - 11 : -24;

        return ldexp(nearbyint(ldexp(f, -step)), step);
}

// K or V as the cache keeps it.
static double *as_stored(struct model m, const float *f, int n)
{
        double *d = test_malloc((size_t)n * sizeof *d);

        for (int i = 0; i < n; i++)
                d[i] = stored(m.dtype, f[i]);
        return d;
}

// One head of one row. k, v: (i + 1, kv_step), q, out: (head_dim)
static void check_head(
        struct model m, int i, const double *k, const double *v, const float *q, const float *out, double *p)
{
        size_t dim = (size_t)m.head_dim, kv_step = (size_t)m.n_kv_heads * dim;
        double best = -1e30, total = 0;

        for (int j = 0; j <= i; j++) {
                p[j] = 0;
                for (size_t d = 0; d < dim; d++)
                        p[j] += (double)q[d] * k[(size_t)j * kv_step + d];
                p[j] /= sqrt((double)dim);
                best = fmax(best, p[j]);
        }
        for (int j = 0; j <= i; j++)
                total += p[j] = exp(p[j] - best);
        for (size_t d = 0; d < dim; d++) {
                double sum = 0, magnitude = 0;

                for (int j = 0; j <= i; j++) {
                        sum += p[j] / total * v[(size_t)j * kv_step + d];
                        magnitude += p[j] / total * fabs(v[(size_t)j * kv_step + d]);
                }
                ops_near(out[d], sum, magnitude, 100);
        }
}

static void check(struct model m, const struct sequence *s, const float *out)
{
        int group = m.n_heads / m.n_kv_heads, kv_n = s->n * m.n_kv_heads * m.head_dim;
        double *k = as_stored(m, s->k, kv_n), *v = as_stored(m, s->v, kv_n);
        double *p = test_malloc((size_t)s->n * sizeof *p);

        for (int i = 0; i<s->n; i += s->n> 40 ? ops_pick(1, 60) : 1)
                for (int h = 0; h < m.n_heads; h++) {
                        int at = (i * m.n_heads + h) * m.head_dim, kv_at = h / group * m.head_dim;

                        check_head(m, i, k + kv_at, v + kv_at, s->q + at, out + at, p);
                }
        test_free(k);
        test_free(v);
        test_free(p);
}

static const struct model models[] = {
        {9, 3, 64, DYN_F16},
        {4, 4, 8, DYN_F32},
        {8, 1, 16, DYN_F16},
        {12, 1, 34, DYN_F32},
        {6, 2, 10, DYN_F16},
        {4, 2, 128, DYN_F32},
        {10, 2, 80, DYN_F16},
        {3, 3, 22, DYN_F16},
};

#define N_MODELS (int)(sizeof models / sizeof *models)

static void equals_the_plain_loop_for_every_grouping_and_length(void **state)
{
        static const int lengths[] = {1, 15, 16, 17, 40, 255, 256, 257, 530};

        for (int b = 0; ops_backend(b); b++)
                for (int i = 0; i < N_MODELS; i++)
                        for (int n = 0; n < 9; n += ops_pick(1, 4)) {
                                struct cache c = cache(ops_backend(b), 2, models[i], 40);
                                struct sequence s = sequence(models[i], lengths[n]);
                                float *out = ops_floats((size_t)(s.n * models[i].n_heads * models[i].head_dim));

                                take_pages(&c, &s);
                                run(&c, &s, out, 0, s.n);
                                check(models[i], &s, out);
                                test_free(out);
                                sequence_free(&s);
                                cache_free(&c);
                        }
}

static void row_has_the_same_bits_however_its_sequence_was_cut(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                for (int i = 0; i < N_MODELS; i += 2) {
                        struct sequence s = sequence(models[i], i ? 290 : 600);
                        size_t n = (size_t)(s.n * models[i].n_heads * models[i].head_dim);
                        float *whole = ops_floats(n), *out = ops_floats(n);
                        struct cache one = cache(ops_backend(b), 1, models[i], 40);

                        take_pages(&one, &s);
                        run(&one, &s, whole, 0, s.n);
                        cache_free(&one);
                        for (int n_threads = 1; n_threads <= 3; n_threads++) {
                                struct cache c = cache(ops_backend(b), n_threads, models[i], 40);

                                take_pages(&c, &s);
                                for (int from = 0, rows; from < s.n; from += rows) {
                                        rows = ops_pick(1, ops_pick(0, 2) ? 3 : 100);
                                        rows = rows < s.n - from ? rows : s.n - from;
                                        run(&c, &s, out, from, rows);
                                }
                                ops_same(out, whole, n);
                                cache_free(&c);
                        }
                        test_free(whole);
                        test_free(out);
                        sequence_free(&s);
                }
}

// Sequences of different lengths each decode their last rows in one call.
static void row_has_the_same_bits_beside_other_sequences(void **state)
{
        static const int lengths[] = {300, 1, 17, 600, 33}, rows[] = {1, 1, 5, 2, 33};
        struct model m = models[0];
        size_t width = (size_t)(m.n_heads * m.head_dim);

        for (int b = 0; ops_backend(b); b++)
                for (int n_threads = 1; n_threads <= 3; n_threads++) {
                        struct cache c = cache(ops_backend(b), n_threads, m, 100);
                        struct sequence s[5];
                        struct dyn_span spans[5];
                        float *alone[5], *q = ops_floats(42 * width), *out = ops_floats(42 * width);
                        int row = 0;

                        for (int i = 0; i < 5; i++) {
                                s[i] = sequence(m, lengths[i]);
                                alone[i] = ops_floats((size_t)lengths[i] * width);
                                take_pages(&c, &s[i]);
                                run(&c, &s[i], alone[i], 0, lengths[i]);
                                spans[i] = (struct dyn_span){row, rows[i], lengths[i] - rows[i], s[i].pages};
                                memcpy(q + (size_t)row * width, s[i].q + (size_t)spans[i].first_pos * width,
                                        (size_t)rows[i] * width * sizeof *q);
                                row += rows[i];
                        }
                        c.o.ops->attention(c.o.dev, out, q, &c.kv, LAYER, m.n_heads, spans, 5);
                        for (int i = 0; i < 5; i++) {
                                ops_same(out + (size_t)spans[i].first_row * width,
                                        alone[i] + (size_t)spans[i].first_pos * width, (size_t)rows[i] * width);
                                sequence_free(&s[i]);
                                test_free(alone[i]);
                        }
                        test_free(q);
                        test_free(out);
                        cache_free(&c);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(equals_the_plain_loop_for_every_grouping_and_length),
                cmocka_unit_test(row_has_the_same_bits_however_its_sequence_was_cut),
                cmocka_unit_test(row_has_the_same_bits_beside_other_sequences),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
