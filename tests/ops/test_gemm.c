// gemm against a plain loop, and a row against itself in other company.
#include <float.h>

#include "ops.h"

// The large matrix is 6 MiB of bf16, less where every access is watched or the processor emulated; and there every team
// meets fewer numbers of rows.
#if defined OPS_FAST_ONLY
#define LARGE_OUT 200
#define TEAM_STEP 9
#elif defined __SANITIZE_ADDRESS__
#define LARGE_OUT 700
#define TEAM_STEP 9
#else
#define LARGE_OUT 2000
#define TEAM_STEP 3
#endif
#define LARGE_IN 1536

struct product {
        int n_in, n_out, n_rows;
        struct ops_matrix m;
        float *x;
};

static struct product product(enum dyn_dtype dtype, int n_out, int n_in, int n_rows)
{
        return (struct product){
                n_in, n_out, n_rows, ops_matrix(dtype, n_out, n_in), ops_floats((size_t)n_rows * (size_t)n_in)};
}

static void product_free(struct product *p)
{
        ops_matrix_free(&p->m);
        test_free(p->x);
}

// y: rows from `first` on.
static void run(struct ops *o, const struct product *p, float *y, int first, int n_rows)
{
        struct dyn_weight w;

        assert_int_equal(o->ops->weight_load(o->dev, &w, &p->m.t, NULL), DYN_OK);
        o->ops->gemm(o->dev, y, p->x + (size_t)first * (size_t)p->n_in, &w, n_rows);
        o->ops->sync(o->dev);
        o->ops->weight_free(o->dev, &w);
}

static void check(const struct product *p, const float *y)
{
        for (int i = 0; i < p->n_rows; i++)
                for (int o = 0; o < p->n_out; o++) {
                        double sum = 0, magnitude = 0;

                        for (int k = 0; k < p->n_in; k++) {
                                double term = p->m.value[o * p->n_in + k] * (double)p->x[i * p->n_in + k];

                                sum += term;
                                magnitude += fabs(term);
                        }
                        ops_near(y[i * p->n_out + o], sum, magnitude, 6 + p->n_in / 64.0);
                }
}

static struct product some_product(enum dyn_dtype dtype, int n_rows)
{
        static const int n_ins[] = {1, 7, 8, 9, 31, 64, 100, 257, 576}, n_outs[] = {1, 2, 3, 4, 5, 11, 12, 64, 97, 200};

        return product(dtype, n_outs[ops_pick(0, 9)], n_ins[ops_pick(0, 8)], n_rows);
}

static void run_and_check(struct ops *o, const struct product *p, const struct product *expected)
{
        float *y = test_malloc((size_t)p->n_rows * (size_t)p->n_out * sizeof *y);

        run(o, p, y, 0, p->n_rows);
        check(expected, y);
        test_free(y);
}

static void equals_the_plain_loop_at_every_shape(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct ops o = ops_open(ops_backend(b), 2);

                        for (int n_rows = 1; n_rows <= 70; n_rows++) {
                                struct product p = some_product(ops_dtypes[d], n_rows);

                                run_and_check(&o, &p, &p);
                                product_free(&p);
                        }
                        ops_close(&o);
                }
}

// Whether W meets x in tiles, which take every number below the least normal one as zero.
static bool in_tiles(int backend, enum dyn_dtype dtype)
{
        return strcmp(ops_backend(backend), "cpu-amx") == 0 && dtype == DYN_BF16;
}

// What tiles make of x: each of the three bf16 that it is cut into is there or zero.
static float taken(float x)
{
        float all = 0;

        for (int part = 0; part < 3; part++) {
                uint32_t bits;
                float high;

                memcpy(&bits, &x, sizeof bits);
                bits &= 0xffff0000;
                memcpy(&high, &bits, sizeof high);
                all += fabsf(high) < FLT_MIN ? 0 : high;
                x -= high;
        }
        return all;
}

// x is as large as W is small.
static void denormal_weights_count_and_are_zero_in_tiles(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct ops o = ops_open(ops_backend(b), 2);

                        for (int n_rows = 1; n_rows <= 70; n_rows += ops_pick(5, 15)) {
                                struct product p = some_product(ops_dtypes[d], n_rows), expected = p;

                                ops_matrix_denormal(&p.m);
                                for (int i = 0; i < n_rows * p.n_in; i++)
                                        p.x[i] *= 0x1p100f;
                                if (in_tiles(b, ops_dtypes[d]))
                                        memset(p.m.value, 0, (size_t)(p.n_out * p.n_in) * sizeof(double));
                                run_and_check(&o, &p, &expected);
                                product_free(&p);
                        }
                        ops_close(&o);
                }
}

// W is large, and x smaller from row to row until all of it is denormal.
static void denormal_activations_count_and_their_parts_are_zero_in_tiles(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct ops o = ops_open(ops_backend(b), 2);

                        for (int n_rows = 1; n_rows <= 70; n_rows += ops_pick(5, 15)) {
                                struct product p = some_product(ops_dtypes[d], n_rows), expected = p;

                                ops_matrix_large(&p.m);
                                expected.x = test_malloc((size_t)(n_rows * p.n_in) * sizeof(float));
                                for (int i = 0; i < n_rows * p.n_in; i++) {
                                        p.x[i] = ldexpf(p.x[i], -108 - i / p.n_in % 24);
                                        expected.x[i] = in_tiles(b, ops_dtypes[d]) ? taken(p.x[i]) : p.x[i];
                                }
                                run_and_check(&o, &p, &expected);
                                test_free(expected.x);
                                product_free(&p);
                        }
                        ops_close(&o);
                }
}

// In the outputs of its own row, and of no other.
static void infinite_activations_show_and_are_not_numbers_in_tiles(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct ops o = ops_open(ops_backend(b), 2);
                        struct product p = product(ops_dtypes[d], 97, 100, 20);
                        float y[20 * 97];

                        p.x[7 * 100 + 31] = INFINITY;
                        run(&o, &p, y, 0, 20);
                        for (int i = 0; i < 20 * 97; i++) {
                                double w = p.m.value[i % 97 * 100 + 31];
                                bool infinite = w != 0 && !in_tiles(b, ops_dtypes[d]);

                                if (i / 97 != 7)
                                        assert_true(isfinite(y[i]));
                                else
                                        assert_true(infinite ? isinf(y[i]) && (y[i] > 0) == (w > 0) : isnan(y[i]));
                        }
                        product_free(&p);
                        ops_close(&o);
                }
}

// With one matrix or another, all numbers of rows are met.
static void row_has_the_same_bits_in_every_batch_and_team(void **state)
{
        static const int n_ins[] = {5, 64, 203, 576};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++)
                        for (int s = 0; s < 4; s++) {
                                struct product p = product(ops_dtypes[d], ops_pick(1, 400), n_ins[s], 70);
                                size_t n_out = (size_t)p.n_out;
                                float *alone = test_malloc(70 * n_out * sizeof *alone);
                                float *y = test_malloc(70 * n_out * sizeof *y);
                                struct ops one = ops_open(ops_backend(b), 1);

                                for (int i = 0; i < 70; i++)
                                        run(&one, &p, alone + (size_t)i * n_out, i, 1);
                                ops_close(&one);
                                for (int n_threads = 1; n_threads <= 3; n_threads++) {
                                        struct ops o = ops_open(ops_backend(b), n_threads);

                                        for (int n_rows = 1 + (3 * d + s + n_threads) % TEAM_STEP; n_rows <= 70;
                                                n_rows += TEAM_STEP) {
                                                int first = ops_pick(0, 70 - n_rows);

                                                run(&o, &p, y, first, n_rows);
                                                ops_same(y, alone + (size_t)first * n_out, (size_t)n_rows * n_out);
                                        }
                                        ops_close(&o);
                                }
                                test_free(alone);
                                test_free(y);
                                product_free(&p);
                        }
}

// Where an instruction set wants long blocks for more than 64 rows, these are cut by size as well.
static void large_matrix_gives_the_sums_and_bits_of_rows_alone(void **state)
{
        for (int b = 0; ops_backend(b); b++) {
                struct product p = product(DYN_BF16, LARGE_OUT, LARGE_IN, 70);
                size_t n = 70 * (size_t)LARGE_OUT;
                float *alone = test_malloc(n * sizeof *alone), *y = test_malloc(n * sizeof *y);
                struct ops one = ops_open(ops_backend(b), 1);

                for (int i = 0; i < 70; i++)
                        run(&one, &p, alone + i * LARGE_OUT, i, 1);
                check(&p, alone);
                ops_close(&one);
                for (int n_threads = 1; n_threads <= 3; n_threads++) {
                        struct ops o = ops_open(ops_backend(b), n_threads);

                        memset(y, 0xff, n * sizeof *y);
                        run(&o, &p, y, 0, 70);
                        ops_same(y, alone, n);
                        ops_close(&o);
                }
                test_free(alone);
                test_free(y);
                product_free(&p);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(equals_the_plain_loop_at_every_shape),
                cmocka_unit_test(denormal_weights_count_and_are_zero_in_tiles),
                cmocka_unit_test(denormal_activations_count_and_their_parts_are_zero_in_tiles),
                cmocka_unit_test(infinite_activations_show_and_are_not_numbers_in_tiles),
                cmocka_unit_test(row_has_the_same_bits_in_every_batch_and_team),
                cmocka_unit_test(large_matrix_gives_the_sums_and_bits_of_rows_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
