// merge and restore against a double loop rounded once, and against gemm with the patch beside it.
#include "ops.h"

#include <float.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/quant.h"
#include "cpu/half.h"

#define MAX_TERMS 3
#define MAX_ROWS  5

// A matrix as stored, and terms for it.
struct site {
        struct ops_matrix stored, a[MAX_TERMS], b[MAX_TERMS];
        int n_out, n_in, n_terms;
};

static struct site site(enum dyn_dtype stored, enum dyn_dtype patch, int n_out, int n_in, const int *ranks)
{
        struct site s = {.stored = ops_matrix(stored, n_out, n_in), .n_out = n_out, .n_in = n_in};

        for (; s.n_terms < MAX_TERMS && ranks[s.n_terms]; s.n_terms++) {
                s.a[s.n_terms] = ops_matrix(patch, ranks[s.n_terms], n_in);
                s.b[s.n_terms] = ops_matrix(patch, n_out, ranks[s.n_terms]);
        }
        return s;
}

static void site_free(struct site *s)
{
        ops_matrix_free(&s->stored);
        for (int t = 0; t < s->n_terms; t++) {
                ops_matrix_free(&s->a[t]);
                ops_matrix_free(&s->b[t]);
        }
}

// Patches differ in scale and weight, and one of them is taken away.
static float scale_of(int t)
{
        return 0.25f + (float)t;
}

static float weight_of(int t)
{
        return t == 1 ? -1 : 1.0f / (float)(1 + t);
}

struct loaded {
        struct ops o;
        const struct site *s;
        struct dyn_weight w;
        struct dyn_lowrank p[MAX_TERMS];
        struct dyn_term terms[MAX_TERMS];
};

static struct loaded load(const char *backend, int n_threads, const struct site *s)
{
        struct loaded l = {.o = ops_open(backend, n_threads), .s = s};

        assert_int_equal(l.o.ops->weight_load(l.o.dev, &l.w, &s->stored.t, NULL), DYN_OK);
        for (int t = 0; t < s->n_terms; t++) {
                assert_int_equal(
                        l.o.ops->lowrank_load(l.o.dev, &l.p[t], &s->a[t].t, &s->b[t].t, scale_of(t), NULL), DYN_OK);
                l.terms[t].weight = weight_of(t);
        }
        return l;
}

static void loaded_free(struct loaded *l)
{
        l->o.ops->weight_free(l->o.dev, &l->w);
        for (int t = 0; t < l->s->n_terms; t++)
                l->o.ops->lowrank_free(l->o.dev, &l->p[t]);
        ops_close(&l->o);
}

static enum dyn_status merge(struct loaded *l, int first, int n, struct dyn_error *err)
{
        for (int t = 0; t < l->s->n_terms; t++)
                l->terms[t].patch = &l->p[t];
        enum dyn_status st = l->o.ops->merge(l->o.dev, &l->w, &l->s->stored.t, l->terms + first, n, err);

        l->o.ops->sync(l->o.dev);
        return st;
}

static void merge_all(struct loaded *l)
{
        assert_int_equal(merge(l, 0, l->s->n_terms, NULL), DYN_OK);
        assert_int_equal(l->w.dtype, l->s->stored.t.dtype);
        assert_ptr_equal(l->w.data, l->w.owned);
}

static double element(enum dyn_dtype dtype, const void *data, int i)
{
        return dtype == DYN_F32 ? (double)((const float *)data)[i] : ops_decode(dtype, ((const uint16_t *)data)[i]);
}

static double rounded(enum dyn_dtype dtype, double v)
{
        if (dtype == DYN_F32)
                return (double)(float)v;
        return ops_decode(dtype, dtype == DYN_F16 ? half_to_f16((float)v) : half_to_bf16((float)v));
}

// The f32 sum lies within a few roundings of the exact one, so the result lies between what those ends round to: one
// value, unless a border between two lies there.
static void check_element(const struct site *s, int o, int k, double found)
{
        enum dyn_dtype dtype = s->stored.t.dtype;
        double sum = s->stored.value[o * s->n_in + k], magnitude = fabs(sum);
        int n = 3;

        for (int t = 0; t < s->n_terms; t++) {
                int rank = (int)s->a[t].t.shape[0];

                for (int r = 0; r < rank; r++) {
                        double term = (double)(scale_of(t) * weight_of(t)) * s->b[t].value[o * rank + r] *
                                      s->a[t].value[r * s->n_in + k];

                        sum += term;
                        magnitude += fabs(term);
                }
                n += rank;
        }
        double bound = s->n_terms ? n * 0x1p-24 * magnitude + n * 0x1p-149 : 0;
        double low = rounded(dtype, sum - bound), high = rounded(dtype, sum + bound);

        if (!(found >= low && found <= high))
                fail_msg("(%d, %d) of (%d, %d) %s: expected %.9g .. %.9g, found %.9g", o, k, s->n_out, s->n_in,
                        dyn_dtype_name(dtype), low, high, found);
}

static void check(const struct loaded *l)
{
        for (int o = 0; o < l->s->n_out; o++)
                for (int k = 0; k < l->s->n_in; k++)
                        check_element(l->s, o, k, element(l->w.dtype, l->w.data, o * l->s->n_in + k));
}

static void equals_the_double_loop_rounded_once(void **state)
{
        static const int ranks[][MAX_TERMS] = {{0}, {1}, {16}, {13, 3}, {64}, {17, 40, 1}, {300}, {7, 256}};
        static const int shapes[][2] = {{0, 0}, {0, 0}, {70, 96}, {1, 1}, {2, 33}, {129, 544}};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES * N_DTYPES; d++)
                        for (int i = 0; i < 8; i++) {
                                const int *shape = shapes[(i + d) % 6];
                                int n_out = shape[0] ? shape[0] : ops_pick(1, 150);
                                int n_in = shape[1] ? shape[1] : ops_pick(1, 150);
                                struct site s =
                                        site(ops_dtypes[d % N_DTYPES], ops_dtypes[d / N_DTYPES], n_out, n_in, ranks[i]);
                                struct loaded l = load(ops_backend(b), 2, &s);

                                merge_all(&l);
                                check(&l);
                                loaded_free(&l);
                                site_free(&s);
                        }
}

static void teams_of_every_size_give_the_same_bits(void **state)
{
        static const int shapes[][2] = {{1000, 576}, {701, 1003}};
        static const int ranks[MAX_TERMS] = {16, 5};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < 2 * N_DTYPES; d++) {
                        const int *shape = shapes[d / N_DTYPES];
                        struct site s = site(ops_dtypes[d % N_DTYPES], DYN_BF16, shape[0], shape[1], ranks);
                        struct loaded one = load(ops_backend(b), 1, &s);

                        merge_all(&one);
                        for (int n_threads = 2; n_threads <= 3; n_threads++) {
                                struct loaded l = load(ops_backend(b), n_threads, &s);

                                merge_all(&l);
                                assert_memory_equal(l.w.data, one.w.data, s.stored.t.bytes);
                                loaded_free(&l);
                        }
                        loaded_free(&one);
                        site_free(&s);
                }
}

static void merge_over_a_merge_equals_a_fresh_one(void **state)
{
        static const int ranks[MAX_TERMS] = {16, 9, 30};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct site s = site(ops_dtypes[d], DYN_F16, 90, 160, ranks);
                        struct loaded fresh = load(ops_backend(b), 1, &s), again = load(ops_backend(b), 1, &s);

                        assert_int_equal(merge(&fresh, 1, 2, NULL), DYN_OK);
                        assert_int_equal(merge(&again, 0, 1, NULL), DYN_OK);
                        assert_memory_not_equal(again.w.data, fresh.w.data, s.stored.t.bytes);
                        assert_int_equal(merge(&again, 1, 2, NULL), DYN_OK);
                        assert_memory_equal(again.w.data, fresh.w.data, s.stored.t.bytes);
                        loaded_free(&fresh);
                        loaded_free(&again);
                        site_free(&s);
                }
}

static float *product(const struct loaded *l, const float *x)
{
        float *y = test_calloc((size_t)(MAX_ROWS * l->s->n_out), sizeof *y);

        l->o.ops->gemm(l->o.dev, y, x, &l->w, MAX_ROWS);
        l->o.ops->sync(l->o.dev);
        return y;
}

static void restored(const struct loaded *l)
{
        assert_ptr_equal(l->w.data, l->s->stored.t.data);
        assert_null(l->w.owned);
        assert_int_equal(l->w.dtype, l->s->stored.t.dtype);
}

static void restore_gives_the_stored_bytes_and_answers_back(void **state)
{
        static const int ranks[MAX_TERMS] = {16, 8};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct site s = site(ops_dtypes[d], DYN_BF16, 131, 96, ranks);
                        struct loaded l = load(ops_backend(b), 2, &s);
                        float *x = ops_floats((size_t)(MAX_ROWS * s.n_in)), *before = product(&l, x);
                        size_t n = (size_t)(MAX_ROWS * s.n_out);
                        char *stored = test_malloc(s.stored.t.bytes);

                        memcpy(stored, s.stored.t.data, s.stored.t.bytes);
                        for (int cycle = 0; cycle < 5; cycle++) {
                                merge_all(&l);
                                float *merged = product(&l, x);

                                ops_restore(&l.o, &l.w, &s.stored.t);
                                restored(&l);
                                float *after = product(&l, x);

                                assert_memory_not_equal(merged, before, n * sizeof *before);
                                ops_same(after, before, n);
                                test_free(merged);
                                test_free(after);
                        }
                        assert_memory_equal(s.stored.t.data, stored, s.stored.t.bytes);
                        test_free(stored);
                        test_free(before);
                        test_free(x);
                        loaded_free(&l);
                        site_free(&s);
                }
}

static size_t resident_bytes(void)
{
        FILE *f = fopen("/proc/self/statm", "r");
        unsigned long size, resident = 0;

        assert_non_null(f);
        assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
        fclose(f);
        return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void restore_gives_the_memory_back(void **state)
{
        enum { N = 5 };
        static const int ranks[MAX_TERMS] = {2};
        struct site s = site(DYN_BF16, DYN_BF16, 2000, 2048, ranks); // 8 MB
        struct loaded l = load("cpu", 2, &s);
        struct dyn_weight w[N];
        size_t before = resident_bytes(), bytes = s.stored.t.bytes;

        l.terms[0].patch = &l.p[0];
        for (int i = 0; i < N; i++) {
                w[i] = l.w;
                assert_int_equal(l.o.ops->merge(l.o.dev, &w[i], &s.stored.t, l.terms, 1, NULL), DYN_OK);
        }
        assert_true(resident_bytes() > before + (N - 1) * bytes);
        for (int i = 0; i < N; i++)
                ops_restore(&l.o, &w[i], &s.stored.t);
        assert_true(resident_bytes() < before + bytes * 3 / 4); // not even the last one is kept
        loaded_free(&l);
        site_free(&s);
}

// Row o and column k of the stored matrix become `stored`, and the patch adds `more` there.
static void put(struct site *s, int o, int k, float stored, float more)
{
        const struct dyn_tensor *a = &s->a[0].t, *b = &s->b[0].t;

        half_store((void *)s->stored.t.data, s->stored.t.dtype, (size_t)(o * s->n_in + k), stored);
        memset((void *)a->data, 0, a->bytes);
        memset((void *)b->data, 0, b->bytes);
        half_store((void *)a->data, a->dtype, (size_t)k, more / scale_of(0) / weight_of(0));
        half_store((void *)b->data, b->dtype, (size_t)o * (size_t)b->shape[1], 1);
}

static void sum_that_the_type_cannot_hold_is_refused_and_restored(void **state)
{
        // A stored value, what is added and stays within the type, and what does not.
        static const float values[N_DTYPES][3] = {
                {FLT_MAX, 0x1.fp102f, 0x1p104f}, {65504, 15.99f, 16}, {0x1.fep127f, 0x1.fp118f, 0x1p119f}};
        static const int places[][2] = {{0, 0}, {98, 96}, {40, 63}, {64, 95}, {97, 3}};
        static const int ranks[MAX_TERMS] = {1};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++)
                        for (int i = 0; i < 5; i++) {
                                struct site s = site(ops_dtypes[d], DYN_F32, 99, 97, ranks);
                                int o = places[i][0], k = places[i][1], sign = i % 2 ? -1 : 1;
                                struct dyn_error err;

                                for (int more = 1; more <= 3; more++) {
                                        float add = more == 3 ? half_from_bits(0x7fffffff) : values[d][more] * sign;

                                        put(&s, o, k, values[d][0] * sign, add);
                                        struct loaded l = load(ops_backend(b), 2, &s);

                                        if (more == 1) {
                                                merge_all(&l);
                                                assert_true(element(l.w.dtype, l.w.data, o * s.n_in + k) ==
                                                            (double)values[d][0] * sign);
                                        } else {
                                                assert_int_equal(merge(&l, 0, 0, NULL), DYN_OK);
                                                assert_int_equal(merge(&l, 0, 1, &err), DYN_INVALID);
                                                assert_non_null(strstr(err.text, dyn_dtype_name(ops_dtypes[d])));
                                                restored(&l);
                                        }
                                        loaded_free(&l);
                                }
                                site_free(&s);
                        }
}

// Memory that the backend takes for itself may hold anything: here, infinity.
static void soil_the_heap(void)
{
        for (size_t n = 1024; n <= 16384; n += 128) {
                float *p = mem_array(n, sizeof *p);

                for (size_t i = 0; i < n; i++)
                        p[i] = INFINITY;
                __asm__ volatile("" ::"r"(p) : "memory"); // or the compiler leaves it all out
                mem_free(p);
        }
}

// In sums of tiles as well, and only what is written counts, however many columns a row has.
static void sum_of_many_ranks_is_refused_if_it_overflows_and_else_never(void **state)
{
        static const int ranks[MAX_TERMS] = {16}, columns[] = {7, 32, 64, 70, 96, 97, 128, 160, 161};

        for (int b = 0; ops_backend(b); b++)
                for (int i = 0; i < 9; i++) {
                        struct site s = site(DYN_BF16, DYN_BF16, 70, columns[i], ranks);
                        struct loaded l = load(ops_backend(b), 1, &s);

                        soil_the_heap();
                        merge_all(&l);
                        check(&l);
                        loaded_free(&l);
                        put(&s, 69, columns[i] - 1, 0x1.fep127f, 0x1p119f);
                        l = load(ops_backend(b), 1, &s);
                        assert_int_equal(merge(&l, 0, 1, NULL), DYN_INVALID);
                        restored(&l);
                        loaded_free(&l);
                        site_free(&s);
                }
}

// Each output's weights were rounded once more by the merge: by half a unit in the last of their digits.
static void check_product(const struct loaded *l, const float *x, const float *merged, const float *beside, int row)
{
        static const double roundings[] = {[DYN_F32] = 0x1p-24, [DYN_F16] = 0x1p-11, [DYN_BF16] = 0x1p-8};
        const struct site *s = l->s;

        for (int o = 0; o < s->n_out; o++) {
                double bound = 1e-6;

                for (int k = 0; k < s->n_in; k++) {
                        double magnitude = fabs(s->stored.value[o * s->n_in + k]), w = s->stored.value[o * s->n_in + k];

                        for (int t = 0; t < s->n_terms; t++)
                                for (int r = 0, rank = (int)s->a[t].t.shape[0]; r < rank; r++) {
                                        double term = (double)(scale_of(t) * weight_of(t)) *
                                                      s->b[t].value[o * rank + r] * s->a[t].value[r * s->n_in + k];

                                        w += term;
                                        magnitude += fabs(term);
                                }
                        bound += fabs((double)x[row * s->n_in + k]) *
                                 (fabs(w) * roundings[s->stored.t.dtype] + 30 * 0x1p-24 * magnitude + 0x1p-24);
                }
                assert_true(fabs((double)merged[row * s->n_out + o] - (double)beside[row * s->n_out + o]) <= bound);
        }
}

static void merged_answers_are_those_of_the_patch_beside_it(void **state)
{
        static const int ranks[MAX_TERMS] = {16, 5};

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct site s = site(ops_dtypes[d], DYN_BF16, 77, 130, ranks);
                        struct loaded l = load(ops_backend(b), 2, &s);
                        float *x = ops_floats((size_t)(MAX_ROWS * s.n_in)), *beside = product(&l, x);

                        merge_all(&l); // sets the patches of the terms too
                        float *merged = product(&l, x);

                        for (int t = 0; t < s.n_terms; t++)
                                l.o.ops->lowrank(l.o.dev, beside, x,
                                        &(struct dyn_segment){0, MAX_ROWS, {&l.p[t], weight_of(t)}}, 1);
                        l.o.ops->sync(l.o.dev);
                        for (int row = 0; row < MAX_ROWS; row++)
                                check_product(&l, x, merged, beside, row);
                        test_free(merged);
                        test_free(beside);
                        test_free(x);
                        loaded_free(&l);
                        site_free(&s);
                }
}

// A quantised matrix merges as its values in f32 do, narrowed once at the end; the values are base/quant.h's, which has
// tests of its own. restore gives the blocks back.
static void quantised_matrix_merges_into_bf16(void **state)
{
        static const enum dyn_dtype dtypes[] = {DYN_Q4_0, DYN_Q4_1, DYN_Q8_0, DYN_Q4_K, DYN_Q6_K};
        static const int ranks[MAX_TERMS] = {16, 3};

        static const int n_ins[] = {1280, 96, 1312}; // with tiles that are not whole

        for (int b = 0; ops_backend(b); b++)
                for (int i_in = 0; i_in < 3; i_in++)
                        for (int d = 0; d < 5; d++) {
                                if (n_ins[i_in] % dyn_dtype_block(dtypes[d]) != 0)
                                        continue;
                                struct site s = site(DYN_F32, DYN_F16, 67, n_ins[i_in], ranks);
                                size_t n = (size_t)s.n_out * (size_t)s.n_in,
                                       bytes = dyn_dtype_bytes(dtypes[d], (int64_t)n);
                                uint8_t *blocks = test_malloc(bytes);
                                struct dyn_tensor stored = {dtypes[d], 2, {s.n_out, s.n_in, 1, 1}, blocks, bytes};

                                for (size_t i = 0; i < bytes; i++) // numbers below 2 wherever a scale in f16 may be
                                        blocks[i] = (uint8_t)(ops_random() & 0x3f);
                                quant_to_f32((float *)s.stored.t.data, dtypes[d], blocks, (int64_t)n);
                                struct loaded wide = load(ops_backend(b), 2, &s), l = load(ops_backend(b), 2, &s);

                                merge_all(&wide);
                                l.o.ops->weight_free(l.o.dev, &l.w);
                                assert_int_equal(l.o.ops->weight_load(l.o.dev, &l.w, &stored, NULL), DYN_OK);
                                for (int t = 0; t < s.n_terms; t++)
                                        l.terms[t].patch = &l.p[t];
                                assert_int_equal(
                                        l.o.ops->merge(l.o.dev, &l.w, &stored, l.terms, s.n_terms, NULL), DYN_OK);
                                assert_int_equal(l.w.dtype, DYN_BF16);
                                for (size_t i = 0; i < n; i++)
                                        assert_int_equal(((const uint16_t *)l.w.data)[i],
                                                half_to_bf16(((const float *)wide.w.data)[i]));
                                ops_restore(&l.o, &l.w, &stored);
                                assert_int_equal(l.w.dtype, dtypes[d]);
                                assert_ptr_equal(l.w.data, blocks);
                                loaded_free(&wide);
                                loaded_free(&l);
                                site_free(&s);
                                test_free(blocks);
                        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                // First: what others freed may go back to the system while this one counts.
                cmocka_unit_test(restore_gives_the_memory_back),
                cmocka_unit_test(equals_the_double_loop_rounded_once),
                cmocka_unit_test(teams_of_every_size_give_the_same_bits),
                cmocka_unit_test(merge_over_a_merge_equals_a_fresh_one),
                cmocka_unit_test(restore_gives_the_stored_bytes_and_answers_back),
                cmocka_unit_test(sum_that_the_type_cannot_hold_is_refused_and_restored),
                cmocka_unit_test(sum_of_many_ranks_is_refused_if_it_overflows_and_else_never),
                cmocka_unit_test(merged_answers_are_those_of_the_patch_beside_it),
                cmocka_unit_test(quantised_matrix_merges_into_bf16),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
