// The operations that touch each element once or twice, against plain loops.
#include "ops.h"

static const int dims[] = {1, 7, 8, 9, 64, 100, 576, 1001};
static const int row_counts[] = {1, 3, 70};

#define N_DIMS 8

// Calls body(o, dim, n_rows) for both backends, every width and some numbers of rows.
static void each_shape(void (*body)(struct ops *, int dim, int n_rows))
{
        for (int b = 0; ops_backend(b); b++) {
                struct ops o = ops_open(ops_backend(b), 2);

                for (int d = 0; d < N_DIMS; d++)
                        for (int r = 0; r < 3; r++)
                                body(&o, dims[d], row_counts[r]);
                ops_close(&o);
        }
}

static void embed(struct ops *o, int dim, int n_rows)
{
        for (int d = 0; d < N_DTYPES; d++) {
                struct ops_matrix m = ops_matrix(ops_dtypes[d], 50, dim);
                float *y = ops_floats((size_t)(n_rows * dim));
                int32_t ids[70];
                struct dyn_weight w;

                for (int i = 0; i < n_rows; i++)
                        ids[i] = ops_pick(0, 49);
                assert_int_equal(o->ops->weight_load(o->dev, &w, &m.t, NULL), DYN_OK);
                o->ops->embed(o->dev, y, &w, ids, n_rows);
                for (int i = 0; i < n_rows * dim; i++)
                        assert_true((double)y[i] == m.value[ids[i / dim] * dim + i % dim]);
                o->ops->weight_free(o->dev, &w);
                ops_matrix_free(&m);
                test_free(y);
        }
}

static void embed_gives_the_rows_exactly(void **state)
{
        each_shape(embed);
}

static void rmsnorm(struct ops *o, int dim, int n_rows)
{
        float *x = ops_floats((size_t)(n_rows * dim)), *y = ops_floats((size_t)(n_rows * dim));
        float *again = ops_floats((size_t)dim), *weight = ops_floats((size_t)dim);

        o->ops->rmsnorm(o->dev, y, x, weight, 1e-5f, dim, n_rows);
        for (int i = 0; i < n_rows; i++) {
                double sum = 0;

                for (int k = 0; k < dim; k++)
                        sum += (double)x[i * dim + k] * (double)x[i * dim + k];
                for (int k = 0; k < dim; k++) {
                        double expected = (double)x[i * dim + k] / sqrt(sum / dim + 1e-5f) * (double)weight[k];

                        ops_near(y[i * dim + k], expected, fabs(expected), 8);
                }
                o->ops->rmsnorm(o->dev, again, x + i * dim, weight, 1e-5f, dim, 1);
                ops_same(again, y + i * dim, (size_t)dim);
        }
        o->ops->rmsnorm(o->dev, x, x, weight, 1e-5f, dim, n_rows); // in place
        ops_same(x, y, (size_t)(n_rows * dim));
        test_free(x);
        test_free(y);
        test_free(again);
        test_free(weight);
}

static void rmsnorm_equals_the_plain_loop_in_place_too(void **state)
{
        each_shape(rmsnorm);
}

static void rope(struct ops *o, int dim, int n_rows)
{
        int half = dim, head_dim = 2 * half, n_heads = dim > 100 ? 1 : 3;
        size_t n = (size_t)(n_rows * n_heads * head_dim);
        float *x = ops_floats(n), *y = test_malloc(n * sizeof *y), *table = ops_floats((size_t)(n_rows * head_dim));
        float *pairs = test_malloc(n * sizeof *pairs);

        memcpy(y, x, n * sizeof *y);
        for (size_t i = 0; i < n / 2; i++) {
                size_t head = i / (size_t)half * (size_t)head_dim, k = i % (size_t)half;

                pairs[2 * i] = x[head + k];
                pairs[2 * i + 1] = x[head + (size_t)half + k];
        }
        o->ops->rope(o->dev, y, table, false, n_heads, head_dim, n_rows);
        o->ops->rope(o->dev, pairs, table, true, n_heads, head_dim, n_rows);
        ops_same(pairs, y, n);
        for (int i = 0; i < n_rows * n_heads; i++)
                for (int k = 0; k < half; k++) {
                        double c = (double)table[i / n_heads * head_dim + k];
                        double s = (double)table[i / n_heads * head_dim + half + k];
                        double a = (double)x[i * head_dim + k], b = (double)x[i * head_dim + half + k];

                        ops_near(y[i * head_dim + k], a * c - b * s, fabs(a * c) + fabs(b * s), 2);
                        ops_near(y[i * head_dim + half + k], b * c + a * s, fabs(b * c) + fabs(a * s), 2);
                }
        test_free(x);
        test_free(y);
        test_free(pairs);
        test_free(table);
}

static void rope_turns_the_halves_against_each_other(void **state)
{
        each_shape(rope);
}

static void silu_mul(struct ops *o, int dim, int n_rows)
{
        size_t n = (size_t)(n_rows * dim);
        float *gate = ops_floats(n), *up = ops_floats(n), *y = test_malloc(n * sizeof *y);
        float *last = test_malloc(sizeof *last);

        for (size_t i = 0; i < n; i++)
                gate[i] *= i % 3 ? 10 : i % 2 ? 80 : 1;
        memcpy(y, gate, n * sizeof *y);
        *last = gate[n - 1];
        o->ops->silu_mul(o->dev, y, up, n);
        for (size_t i = 0; i < n; i++) {
                double expected = (double)gate[i] / (1 + exp(-(double)gate[i])) * (double)up[i];

                ops_near(y[i], expected, fabs(expected), 8);
        }
        o->ops->silu_mul(o->dev, last, up + n - 1, 1);
        ops_same(last, y + n - 1, 1);
        test_free(gate);
        test_free(up);
        test_free(y);
        test_free(last);
}

static void silu_mul_equals_the_plain_loop_over_the_whole_range(void **state)
{
        each_shape(silu_mul);
}

static void silu_mul_of_huge_and_undefined_values_is_the_limit(void **state)
{
        for (int b = 0; ops_backend(b); b++) {
                struct ops o = ops_open(ops_backend(b), 1);
                float gate[] = {-1e30f, -300, 0, 300, 1e30f, INFINITY, NAN}, up[] = {1, 1, 1, 1, 1, 1, 1};

                o.ops->silu_mul(o.dev, gate, up, 7);
                assert_true(fabsf(gate[0]) < 1e-6f && fabsf(gate[1]) < 1e-6f && gate[2] == 0);
                assert_true(gate[3] == 300 && gate[4] == 1e30f && gate[5] == INFINITY && isnan(gate[6]));
                ops_close(&o);
        }
}

static void adds(struct ops *o, int dim, int n_rows)
{
        size_t n = (size_t)(n_rows * dim);
        float *y = ops_floats(n), *x = ops_floats(n), *sum = test_malloc(n * sizeof *sum);

        memcpy(sum, y, n * sizeof *sum);
        o->ops->add(o->dev, sum, x, n);
        for (size_t i = 0; i < n; i++)
                assert_true(sum[i] == y[i] + x[i]);
        o->ops->add_bias(o->dev, y, x, dim, n_rows);
        for (size_t i = 0; i < n; i++)
                if (i / (size_t)dim == 0)
                        assert_true(y[i] == sum[i]);
        memcpy(sum, y, n * sizeof *sum);
        o->ops->add_bias(o->dev, y, x, dim, n_rows);
        for (size_t i = 0; i < n; i++)
                assert_true(y[i] == sum[i] + x[i % (size_t)dim]);
        test_free(x);
        test_free(y);
        test_free(sum);
}

static void add_and_add_bias_add_each_element_once(void **state)
{
        each_shape(adds);
}

static void gather(struct ops *o, int dim, int n_rows)
{
        float *x = ops_floats((size_t)(n_rows * dim)), *y = ops_floats((size_t)(5 * dim));
        int32_t rows[5];

        for (int i = 0; i < 5; i++)
                rows[i] = ops_pick(0, n_rows - 1);
        o->ops->gather(o->dev, y, x, rows, 5, dim);
        for (int i = 0; i < 5; i++)
                ops_same(y + i * dim, x + rows[i] * dim, (size_t)dim);
        test_free(x);
        test_free(y);
}

static void gather_copies_the_rows_named(void **state)
{
        each_shape(gather);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(embed_gives_the_rows_exactly),
                cmocka_unit_test(rmsnorm_equals_the_plain_loop_in_place_too),
                cmocka_unit_test(rope_turns_the_halves_against_each_other),
                cmocka_unit_test(silu_mul_equals_the_plain_loop_over_the_whole_range),
                cmocka_unit_test(silu_mul_of_huge_and_undefined_values_is_the_limit),
                cmocka_unit_test(add_and_add_bias_add_each_element_once),
                cmocka_unit_test(gather_copies_the_rows_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
