// gemm and embed over quantised weights. The weights' values are those of base/quant.h, which has tests of its own
// against ggml; the sums are plain loops in double.
#include "ops.h"

#include "base/quant.h"

#if defined __x86_64__ || defined __aarch64__
#include "cpu/quant_loops.h"
#define FAST // there are backends that round activations
#endif

#define N_TYPES 5
static const enum dyn_dtype types[N_TYPES] = {DYN_Q8_0, DYN_Q4_0, DYN_Q4_1, DYN_Q4_K, DYN_Q6_K};

#define BLOCK 32 // activations that share a scale

struct product {
        int n_in, n_out, n_rows;
        struct dyn_tensor t;
        char *block;  // the matrix starts one byte behind its start, and ends where it ends
        float *value; // (n_out, n_in)
        float *x;     // (n_rows, n_in)
};

// Random blocks. Their scales are made ordinary halves of either sign; every other byte is as it comes, and in every
// 16th row it is the same extreme one.
static void random_blocks(uint8_t *p, enum dyn_dtype dtype, int n_out, size_t row_bytes)
{
        static const uint8_t extremes[] = {0x80, 0xff, 0x7f, 0x00};
        size_t block = dyn_dtype_bytes(dtype, dyn_dtype_block(dtype)), scales = dtype == DYN_Q6_K ? 208 : 0;
        int n_scales = dtype == DYN_Q4_1 || dtype == DYN_Q4_K ? 2 : 1;

        for (size_t i = 0; i < (size_t)n_out * row_bytes; i++)
                p[i] = i / row_bytes % 16 == 5 ? extremes[i / row_bytes / 16 % 4] : (uint8_t)(ops_random() >> 13);
        for (size_t i = 0; i < (size_t)n_out * row_bytes; i += block)
                for (int k = 0; k < n_scales; k++) {
                        uint16_t half = ops_half(DYN_F16);

                        memcpy(p + i + scales + 2 * (size_t)k, &half, sizeof half);
                }
}

static struct product product(enum dyn_dtype dtype, int n_out, int n_in, int n_rows)
{
        size_t row_bytes = dyn_dtype_bytes(dtype, n_in), n = (size_t)n_out * (size_t)n_in;
        struct product p = {n_in, n_out, n_rows, .block = test_malloc((size_t)n_out * row_bytes + 1),
                .value = test_malloc(n * sizeof(float)), .x = ops_floats((size_t)n_rows * (size_t)n_in)};

        random_blocks((uint8_t *)p.block + 1, dtype, n_out, row_bytes);
        p.t = (struct dyn_tensor){.dtype = dtype,
                .n_dims = 2,
                .shape = {n_out, n_in, 1, 1},
                .data = p.block + 1,
                .bytes = (size_t)n_out * row_bytes};
        quant_to_f32(p.value, dtype, p.t.data, (int64_t)n);
        return p;
}

static void product_free(struct product *p)
{
        test_free(p->block);
        test_free(p->value);
        test_free(p->x);
}

// y: rows from `first` on.
static void run(struct ops *o, const struct product *p, float *y, int first, int n_rows)
{
        struct dyn_weight w;

        assert_int_equal(o->ops->weight_load(o->dev, &w, &p->t, NULL), DYN_OK);
        o->ops->gemm(o->dev, y, p->x + (size_t)first * (size_t)p->n_in, &w, n_rows);
        o->ops->sync(o->dev);
        o->ops->weight_free(o->dev, &w);
}

static int some_width(enum dyn_dtype dtype)
{
        static const int blocks[] = {1, 2, 3, 18, 31, 32, 33, 64, 65}, wide[] = {8, 16, 24, 32, 40, 72};

        return BLOCK * (dyn_dtype_block(dtype) == BLOCK ? blocks[ops_pick(0, 8)] : wide[ops_pick(0, 5)]);
}

static int some_height(void)
{
        static const int n_outs[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 97, 200};

        return n_outs[ops_pick(0, 10)];
}

// x as the kernel rounds it, by the definition in quant_rows.h.
static void round_row(double *to, const float *x, int n)
{
        for (int k = 0; k < n; k += BLOCK) {
                float most = 0;

                for (int i = k; i < k + BLOCK; i++)
                        most = fmaxf(most, fabsf(x[i]));
                float scale = most / 127, by = 127 / most;

                for (int i = k; i < k + BLOCK; i++)
                        to[i] = most < 0x1p-100f ? 0 : (double)scale * (double)rintf(x[i] * by);
        }
}

static void check(const struct product *p, const float *y, bool rounds)
{
        double *x = test_malloc((size_t)p->n_in * sizeof *x);

        for (int i = 0; i < p->n_rows; i++) {
                for (int k = 0; k < p->n_in; k++)
                        x[k] = (double)p->x[i * p->n_in + k];
                if (rounds)
                        round_row(x, p->x + (size_t)i * (size_t)p->n_in, p->n_in);
                for (int o = 0; o < p->n_out; o++) {
                        double sum = 0, magnitude = 0;

                        for (int k = 0; k < p->n_in; k++) {
                                double term = (double)p->value[o * p->n_in + k] * x[k];

                                sum += term;
                                magnitude += fabs(term);
                        }
                        // A minimum and what stands above it may cancel: then both are larger than their sum.
                        magnitude *= p->t.dtype == DYN_Q4_1 || p->t.dtype == DYN_Q4_K ? 8 : 1;
                        ops_near(y[i * p->n_out + o], sum, magnitude, 6 + p->n_in / 64.0);
                }
        }
        test_free(x);
}

static void every_shape(const char *backend, bool rounds)
{
        for (int d = 0; d < N_TYPES; d++) {
                struct ops o = ops_open(backend, 2);

                assert_true(o.ops->weight_dtype(o.dev, types[d]) || !rounds);
                for (int n_rows = 1; n_rows <= 70; n_rows += n_rows < 10 ? 1 : ops_pick(5, 15)) {
                        struct product p = product(types[d], some_height(), some_width(types[d]), n_rows);
                        float *y = test_malloc((size_t)n_rows * (size_t)p.n_out * sizeof *y);

                        run(&o, &p, y, 0, n_rows);
                        check(&p, y, rounds);
                        test_free(y);
                        product_free(&p);
                }
                ops_close(&o);
        }
}

static void plain_equals_the_loop_over_dequantised_weights(void **state)
{
        every_shape("plain", false);
}

static void row_alone_and_in_batches(const char *backend)
{
        for (int d = 0; d < N_TYPES; d++)
                for (int s = 0; s < 3; s++) {
                        struct product p = product(types[d], ops_pick(1, 300), some_width(types[d]), 70);
                        size_t n_out = (size_t)p.n_out;
                        float *alone = test_malloc(70 * n_out * sizeof *alone);
                        float *y = test_malloc(70 * n_out * sizeof *y);
                        struct ops one = ops_open(backend, 1);

                        for (int i = 0; i < 70; i++)
                                run(&one, &p, alone + (size_t)i * n_out, i, 1);
                        ops_close(&one);
                        for (int n_threads = 1; n_threads <= 3; n_threads++) {
                                struct ops o = ops_open(backend, n_threads);

                                for (int n_rows = 1; n_rows <= 70; n_rows += n_rows < 13 ? 1 : 19) {
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

static void row_has_the_same_bits_in_every_batch_and_team(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                if (ops_fast(b))
                        row_alone_and_in_batches(ops_backend(b));
}

static void embedding_is_the_row_as_its_format_defines_it(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_TYPES; d++) {
                        struct ops o = ops_open(ops_backend(b), 2);
                        struct product p = product(types[d], 50, some_width(types[d]), 1);
                        size_t n_in = (size_t)p.n_in;
                        int32_t ids[] = {49, 0, 17, 17};
                        float *y = test_malloc(4 * n_in * sizeof *y);
                        struct dyn_weight w;

                        assert_int_equal(o.ops->weight_load(o.dev, &w, &p.t, NULL), DYN_OK);
                        o.ops->embed(o.dev, y, &w, ids, 4);
                        for (size_t i = 0; i < 4; i++)
                                ops_same(y + i * n_in, p.value + (size_t)ids[i] * n_in, n_in);
                        o.ops->weight_free(o.dev, &w);
                        test_free(y);
                        product_free(&p);
                        ops_close(&o);
                }
}

#ifdef FAST
static void equals_the_loop_over_rounded_activations_at_every_shape(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                if (ops_fast(b))
                        every_shape(ops_backend(b), true);
}

// Rounding moves each of n activations by up to half a step, evenly: a sum by sqrt(sum of (w * step)^2 / 12) in the
// root mean square, and no sum by more than the sum of |w * step| / 2.
static void rounding_activations_costs_what_eight_bits_cost(void **state)
{
        for (int d = 0; d < N_TYPES; d++) {
                struct ops o = ops_open("cpu", 2);
                struct product p = product(types[d], 96, 1024, 128);
                float *y = test_malloc(128 * 96 * sizeof *y);
                double square = 0;

                run(&o, &p, y, 0, 128);
                for (int i = 0; i < 128; i++)
                        for (int n = 0; n < 96; n++) {
                                double off = (double)y[i * 96 + n], expected = 0, most = 0;

                                for (int k = 0; k < 1024; k += BLOCK) {
                                        float top = 0;

                                        for (int j = k; j < k + BLOCK; j++)
                                                top = fmaxf(top, fabsf(p.x[i * 1024 + j]));
                                        for (int j = k; j < k + BLOCK; j++) {
                                                double w = (double)p.value[n * 1024 + j];

                                                off -= w * (double)p.x[i * 1024 + j];
                                                expected += pow(w * (double)top / 127, 2) / 12;
                                                most += fabs(w) * (double)top / 127 / 2;
                                        }
                                }
                                assert_true(fabs(off) <= most * 1.001);
                                square += expected > 0 ? off * off / expected / (128 * 96) : 0;
                        }
                print_message("%s: %.3f of the error that rounding to 8 bits is expected to make\n",
                        dyn_dtype_name(types[d]), sqrt(square));
                assert_true(sqrt(square) > 0.85 && sqrt(square) < 1.15);
                test_free(y);
                product_free(&p);
                ops_close(&o);
        }
}

static void largest_products(const char *backend)
{
        for (int d = 0; d < N_TYPES; d++) {
                struct ops o = ops_open(backend, 1);
                struct product p = product(types[d], 64, 512, 8);
                float *y = test_malloc(8 * 64 * sizeof *y);

                for (int i = 0; i < 8 * 512; i++)
                        p.x[i] = i / 512 < 2 ? 1 : i / 512 < 4 ? -1 : ops_random() % 2 ? 1 : -1;
                run(&o, &p, y, 0, 8);
                check(&p, y, true);
                test_free(y);
                product_free(&p);
                ops_close(&o);
        }
}

static void largest_products_do_not_saturate(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                if (ops_fast(b))
                        largest_products(ops_backend(b));
}

static void tiny_and_broken_activations(const char *backend)
{
        for (int d = 0; d < N_TYPES; d++) {
                struct ops o = ops_open(backend, 1);
                struct product p = product(types[d], 9, 512, 4);
                float y[4 * 9];

                for (int i = 0; i < 512; i++)
                        p.x[i] = (i % 2 ? 1 : -1) * 0x1p-120f;
                p.x[512 + 77] = NAN;
                p.x[2 * 512 + 500] = -INFINITY;
                for (int i = 0; i < 512; i++)
                        p.x[3 * 512 + i] *= 0x1p90f;
                run(&o, &p, y, 0, 4);
                for (int i = 0; i < 9; i++) {
                        assert_true(y[i] == 0);
                        assert_true(isnan(y[9 + i]));
                        assert_false(isfinite(y[18 + i]));
                        assert_true(isfinite(y[27 + i]));
                }
                product_free(&p);
                ops_close(&o);
        }
}

static void tiny_activations_are_zero_and_broken_ones_show(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                if (ops_fast(b))
                        tiny_and_broken_activations(ops_backend(b));
}

// Any block of activations that quant_rows can make.
static void random_block(struct quant_block *x)
{
        int sum[2] = {0};

        for (int i = 0; i < BLOCK; i++) {
                x->q[i] = (int8_t)ops_pick(-127, 127);
                sum[i / (BLOCK / 2)] += x->q[i];
        }
        x->half[0] = (int16_t)sum[0];
        x->half[1] = (int16_t)sum[1];
        x->scale = fabsf(ops_value());
        x->sum = x->scale * (float)(sum[0] + sum[1]);
        x->sum8 = -8 * (sum[0] + sum[1]);
}

static void loops_do_not_show_in_the_bits(void **state)
{
        quant_dots_of *loops[QUANT_LOOPS];
        int n_loops = quant_loops(loops);

        assert_true(n_loops >= 1 && n_loops <= QUANT_LOOPS);
        for (int d = 0; d < N_TYPES; d++)
                for (int n_rows = 1; n_rows <= 20; n_rows++) {
                        struct product p = product(types[d], some_height(), some_width(types[d]), n_rows);
                        size_t n = (size_t)n_rows * (size_t)p.n_out, n_blocks = (size_t)p.n_in / BLOCK;
                        struct quant_block *x = test_malloc((size_t)n_rows * n_blocks * sizeof *x);
                        float *y = test_malloc(n * sizeof *y), *first = test_malloc(n * sizeof *first);
                        struct quant_dots dots = {.w = p.t.data,
                                .w_bytes = dyn_dtype_bytes(types[d], p.n_in),
                                .x = x,
                                .y_step = (size_t)p.n_out,
                                .n_blocks = (int)n_blocks,
                                .n_out = p.n_out,
                                .n_rows = n_rows};

                        for (size_t i = 0; i < (size_t)n_rows * n_blocks; i++)
                                random_block(&x[i]);
                        for (int i = 0; i < n_loops; i++) {
                                dots.y = i == 0 ? first : y;
                                memset(dots.y, 0xff, n * sizeof *y);
                                loops[i](types[d], &dots);
                                ops_same(dots.y, first, n);
                        }
                        test_free(x);
                        test_free(y);
                        test_free(first);
                        product_free(&p);
                }
}

// Activations are rounded and summed alike whatever the vectors are.
static void instructions_do_not_show_in_the_bits(void **state)
{
        for (int d = 0; d < N_TYPES; d++) {
                struct product p = product(types[d], 97, some_width(types[d]), 9);
                float y[9 * 97], first[9 * 97];

                for (int b = 0; ops_backend(b); b++) {
                        struct ops o = ops_open(ops_backend(b), 1);

                        run(&o, &p, b == 0 ? first : y, 0, 9);
                        if (b > 0 && ops_fast(b))
                                ops_same(y, first, 9 * 97);
                        ops_close(&o);
                }
                product_free(&p);
        }
}
#endif

static void types_without_a_kernel_are_refused_by_name(void **state)
{
        static const enum dyn_dtype others[] = {DYN_Q5_0, DYN_Q5_1, DYN_Q5_K};
        struct ops o = ops_open("cpu", 1);

        for (int i = 0; i < 3; i++) {
                struct dyn_tensor t = {.dtype = others[i], .n_dims = 2, .shape = {4, 256, 1, 1}};
                struct dyn_weight w;
                struct dyn_error err;

                assert_false(o.ops->weight_dtype(o.dev, others[i]));
                assert_int_equal(o.ops->weight_load(o.dev, &w, &t, &err), DYN_UNSUPPORTED);
                assert_non_null(strstr(err.text, dyn_dtype_name(others[i])));
        }
        ops_close(&o);
}

// What the adapter adds is far below a step of the stored matrix: the merged one must be finer.
static void merge_makes_bf16_of_it_and_restore_brings_it_back(void **state)
{
        for (int d = 0; d < N_TYPES; d++) {
                struct ops o = ops_open("plain", 2);
                struct product p = product(types[d], 37, 512, 1);
                struct ops_matrix a = ops_matrix(DYN_F32, 3, 512), b = ops_matrix(DYN_F32, 37, 3);
                struct dyn_lowrank patch;
                struct dyn_weight w;

                assert_int_equal(o.ops->weight_load(o.dev, &w, &p.t, NULL), DYN_OK);
                assert_int_equal(o.ops->lowrank_load(o.dev, &patch, &a.t, &b.t, 0.01f, NULL), DYN_OK);
                struct dyn_term term = {&patch, 1};
                assert_int_equal(o.ops->merge(o.dev, &w, &p.t, &term, 1, NULL), DYN_OK);
                assert_int_equal(w.dtype, DYN_BF16);
                for (int i = 0; i < 37 * 512; i++) {
                        double sum = (double)p.value[i];

                        for (int r = 0; r < 3; r++)
                                sum += (double)0.01f * b.value[i / 512 * 3 + r] * a.value[r * 512 + i % 512];
                        double found = ops_decode(DYN_BF16, ((const uint16_t *)w.data)[i]);
                        double bound = 0x1.01p-8 * fabs(sum) + 0x1p-21 * fabs((double)p.value[i]) + 1e-7;

                        if (!(fabs(found - sum) <= bound))
                                fail_msg("%s: expected %g within %g, found %g", dyn_dtype_name(types[d]), sum, bound,
                                        found);
                }
                ops_restore(&o, &w, &p.t);
                assert_true(w.dtype == types[d] && w.data == p.t.data && w.owned == NULL);
                o.ops->lowrank_free(o.dev, &patch);
                o.ops->weight_free(o.dev, &w);
                ops_matrix_free(&a);
                ops_matrix_free(&b);
                product_free(&p);
                ops_close(&o);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(plain_equals_the_loop_over_dequantised_weights),
                cmocka_unit_test(embedding_is_the_row_as_its_format_defines_it),
                cmocka_unit_test(types_without_a_kernel_are_refused_by_name),
                cmocka_unit_test(merge_makes_bf16_of_it_and_restore_brings_it_back),
                cmocka_unit_test(row_has_the_same_bits_in_every_batch_and_team),
#ifdef FAST
                cmocka_unit_test(equals_the_loop_over_rounded_activations_at_every_shape),
                cmocka_unit_test(rounding_activations_costs_what_eight_bits_cost),
                cmocka_unit_test(largest_products_do_not_saturate),
                cmocka_unit_test(tiny_activations_are_zero_and_broken_ones_show),
                cmocka_unit_test(loops_do_not_show_in_the_bits),
                cmocka_unit_test(instructions_do_not_show_in_the_bits),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
