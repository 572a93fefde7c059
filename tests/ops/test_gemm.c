// gemm against a plain loop, and a row against itself in other company.
#include "ops.h"

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

static void equals_the_plain_loop_at_every_shape(void **state)
{
        static const int n_ins[] = {1, 7, 8, 9, 31, 64, 100, 257, 576}, n_outs[] = {1, 2, 3, 4, 5, 11, 12, 64, 97, 200};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct ops o = ops_open(ops_backend(b), 2);

                        for (int n_rows = 1; n_rows <= 70; n_rows += n_rows < 10 ? 1 : ops_pick(5, 15)) {
                                struct product p =
                                        product(ops_dtypes[d], n_outs[ops_pick(0, 9)], n_ins[ops_pick(0, 8)], n_rows);
                                float *y = test_malloc((size_t)n_rows * (size_t)p.n_out * sizeof *y);

                                run(&o, &p, y, 0, n_rows);
                                check(&p, y);
                                test_free(y);
                                product_free(&p);
                        }
                        ops_close(&o);
                }
}

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

                                        for (int n_rows = 1; n_rows <= 70; n_rows += n_rows < 9 ? 1 : 20) {
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(equals_the_plain_loop_at_every_shape),
                cmocka_unit_test(row_has_the_same_bits_in_every_batch_and_team),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
