// The slot linear against gemm and lowrank one after the other: the same bits, whatever the parts, segments and
// threads.
#include "ops.h"

#ifdef OPS_FAST_ONLY
#define N_ROWS 37
#else
#define N_ROWS 70 // more than where blocks become long
#endif
#define MAX_SEGS  6
#define N_PATCHES 3

static const enum dyn_dtype weight_dtypes[] = {DYN_F32, DYN_F16, DYN_BF16, DYN_Q8_0};

struct layer {
        struct ops_matrix w, a[N_PATCHES], b[N_PATCHES];
        void *blocks; // of a quantised weight
        struct dyn_weight weight;
        struct dyn_lowrank patch[N_PATCHES];
        struct dyn_segment segs[MAX_SEGS];
        int n_segs;
        float *expected, *found; // (N_ROWS, n_out)
};

// Blocks of Q8_0 with the scale 2^-7 and any numbers.
static struct dyn_tensor q8_0(void **blocks, int n_out, int n_in)
{
        size_t n = (size_t)n_out * (size_t)n_in / 32, size = 34;
        unsigned char *p = *blocks = test_malloc(n * size);

        for (size_t i = 0; i < n * size; i++)
                p[i] = i % size == 0 ? 0 : i % size == 1 ? 0x20 : (unsigned char)ops_random();
        return (struct dyn_tensor){DYN_Q8_0, 2, {n_out, n_in, 1, 1}, p, n * size};
}

static void open_layer(struct layer *l, const struct ops *o, enum dyn_dtype dtype, int n_out, int n_in)
{
        static const int ranks[] = {16, 5, 300};
        bool plain = dyn_dtype_block(dtype) == 1;

        *l = (struct layer){.w = ops_matrix(plain ? dtype : DYN_F32, n_out, n_in)};
        struct dyn_tensor t = plain ? l->w.t : q8_0(&l->blocks, n_out, n_in);

        assert_int_equal(o->ops->weight_load(o->dev, &l->weight, &t, NULL), DYN_OK);
        for (int i = 0; i < N_PATCHES; i++) {
                l->a[i] = ops_matrix(ops_dtypes[i], ranks[i], n_in);
                l->b[i] = ops_matrix(ops_dtypes[i], n_out, ranks[i]);
                assert_int_equal(
                        o->ops->lowrank_load(o->dev, &l->patch[i], &l->a[i].t, &l->b[i].t, 0.5f, NULL), DYN_OK);
        }
        l->expected = test_calloc((size_t)N_ROWS * (size_t)n_out, sizeof(float));
        l->found = test_calloc((size_t)N_ROWS * (size_t)n_out, sizeof(float));
}

static void close_layer(struct layer *l, const struct ops *o)
{
        for (int i = 0; i < N_PATCHES; i++) {
                o->ops->lowrank_free(o->dev, &l->patch[i]);
                ops_matrix_free(&l->a[i]);
                ops_matrix_free(&l->b[i]);
        }
        o->ops->weight_free(o->dev, &l->weight);
        ops_matrix_free(&l->w);
        test_free(l->blocks);
        test_free(l->expected);
        test_free(l->found);
}

// Segments of own patches, some rows without, and then a correction over most rows, as a merged weight needs it.
static void cut(struct layer *l, int n_rows)
{
        l->n_segs = 0;
        for (int row = 0, n; row < n_rows && l->n_segs < MAX_SEGS - 1; row += n) {
                int patch = ops_pick(-1, N_PATCHES - 1);

                n = ops_pick(1, n_rows - row);
                l->segs[l->n_segs++] = (struct dyn_segment){row, n, {patch < 0 ? NULL : &l->patch[patch], 0.75f}};
        }
        if (ops_random() % 2)
                l->segs[l->n_segs++] = (struct dyn_segment){n_rows / 2, n_rows - n_rows / 2, {&l->patch[0], -1}};
}

static void check(const struct ops *o, struct layer *l, int n_parts, const float *x, int n_rows)
{
        struct dyn_linear parts[DYN_MAX_PARTS];

        for (int i = 0; i < n_parts; i++) {
                cut(&l[i], n_rows);
                o->ops->gemm(o->dev, l[i].expected, x, &l[i].weight, n_rows);
                for (int k = 0; k < l[i].n_segs; k++)
                        o->ops->lowrank(o->dev, l[i].expected, x, &l[i].segs[k], 1);
                parts[i] = (struct dyn_linear){l[i].found, &l[i].weight, l[i].segs, l[i].n_segs};
        }
        o->ops->linear(o->dev, parts, n_parts, x, n_rows);
        o->ops->sync(o->dev);
        for (int i = 0; i < n_parts; i++)
                ops_same(l[i].found, l[i].expected, (size_t)n_rows * (size_t)l[i].weight.n_out);
}

static void every_layer(const char *backend)
{
        static const int widths[] = {1, 63, 64, 65, 200, 577};
        static const int inputs[] = {32, 96, 608};
        float *x = ops_floats((size_t)N_ROWS * 608);

        for (int threads = 1; threads <= 3; threads++)
                for (int d = 0; d < 4; d++)
                        for (int i = 0; i < 3; i++) {
                                struct ops o = ops_open(backend, threads);
                                struct layer l[DYN_MAX_PARTS];

                                for (int k = 0; k < DYN_MAX_PARTS; k++)
                                        open_layer(&l[k], &o, weight_dtypes[(d + k / 3) % 4], widths[ops_random() % 6],
                                                inputs[i]);
                                for (int again = 0; again < 12; again++)
                                        check(&o, l, ops_pick(1, DYN_MAX_PARTS), x, ops_pick(1, N_ROWS));
                                for (int k = 0; k < DYN_MAX_PARTS; k++)
                                        close_layer(&l[k], &o);
                                ops_close(&o);
                        }
        test_free(x);
}

static void gives_the_bits_of_gemm_and_lowrank(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                if (dyn_backend_at(b)->linear)
                        every_layer(ops_backend(b));
}

static void more_than_the_scratch(const char *backend)
{
        struct ops o = ops_open(backend, 2);
        struct layer l;
        int n_rows = 8192;
        float *x = ops_floats((size_t)n_rows * 32);

        open_layer(&l, &o, DYN_BF16, 3, 32);
        test_free(l.expected);
        test_free(l.found);
        l.expected = test_calloc((size_t)n_rows * 3, sizeof(float));
        l.found = test_calloc((size_t)n_rows * 3, sizeof(float));
        l.segs[0] = (struct dyn_segment){0, n_rows, {&l.patch[2], 1}};
        o.ops->gemm(o.dev, l.expected, x, &l.weight, n_rows);
        o.ops->lowrank(o.dev, l.expected, x, l.segs, 1);
        o.ops->linear(o.dev, &(struct dyn_linear){l.found, &l.weight, l.segs, 1}, 1, x, n_rows);
        ops_same(l.found, l.expected, (size_t)n_rows * 3);
        close_layer(&l, &o);
        ops_close(&o);
        test_free(x);
}

// More rows and ranks than the scratch has room for.
static void what_does_not_fit_the_scratch_gives_the_same_bits(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                if (dyn_backend_at(b)->linear)
                        more_than_the_scratch(ops_backend(b));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(gives_the_bits_of_gemm_and_lowrank),
                cmocka_unit_test(what_does_not_fit_the_scratch_gives_the_same_bits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
