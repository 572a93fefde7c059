// What the tests of the operations share: random tensors of the plain dtypes with their values in double, devices with
// a number of threads, and comparisons. The oracle is always a plain loop in double over the values as stored.
#ifndef DYNLORA_TESTS_OPS_H
#define DYNLORA_TESTS_OPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dynlora/backend.h"

// Whether it is one that is written for an instruction set.
static inline bool ops_fast(int b)
{
        return strncmp(dyn_backend_at(b)->name, "cpu-", 4) == 0;
}

// The backends to test: ops_backend(0), 1, ... until NULL. All that this machine can run, the fast ones first, or only
// those where the processor is emulated: plain C is slow there, and nothing new.
static inline const char *ops_backend(int b)
{
        const struct dyn_backend_ops *ops = dyn_backend_at(b);

#ifdef OPS_FAST_ONLY
        if (ops && !ops_fast(b))
                return NULL;
#endif
        return ops ? ops->name : NULL;
}

#define N_DTYPES 3
static const enum dyn_dtype ops_dtypes[N_DTYPES] = {DYN_F32, DYN_F16, DYN_BF16};

static uint64_t ops_seed = 1;

static inline uint32_t ops_random(void)
{
        ops_seed = ops_seed * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(ops_seed >> 32);
}

static inline int ops_pick(int from, int to)
{
        return from + (int)(ops_random() % (uint32_t)(to - from + 1));
}

// -1 .. 1, now and then very small, so that halves and floats are denormal too.
static inline float ops_value(void)
{
        float f = (float)(int32_t)ops_random() * 0x1p-31f;
        uint32_t kind = ops_random() % 64;

        if (kind == 0)
                return f * 0x1p-16f;
        return kind == 1 ? f * 0x1p-130f : f;
}

static inline float *ops_floats(size_t n)
{
        float *f = test_calloc(n ? n : 1, sizeof *f);

        for (size_t i = 0; i < n; i++)
                f[i] = ops_value();
        return f;
}

// A 16-bit pattern with a value near -1 .. 1, or denormal.
static inline uint16_t ops_half(enum dyn_dtype dtype)
{
        uint32_t bits = ops_random();
        uint32_t sign = bits >> 16 & 0x8000;

        if (bits % 61 == 0)
                return (uint16_t)(sign | (bits & (dtype == DYN_F16 ? 0x3ff : 0x7f)));
        if (dtype == DYN_F16)
                return (uint16_t)(sign | (8 + bits % 7) << 10 | (bits >> 8 & 0x3ff));
        return (uint16_t)(sign | (119 + bits % 8) << 7 | (bits >> 8 & 0x7f));
}

// The value of a pattern, from the definition of the format.
static inline double ops_decode(enum dyn_dtype dtype, uint16_t h)
{
        int mantissa_bits = dtype == DYN_F16 ? 10 : 7, bias = dtype == DYN_F16 ? 15 : 127;
        int exponent = (h & 0x7fff) >> mantissa_bits, mantissa = h & ((1 << mantissa_bits) - 1);
        double v = exponent == 0 ? ldexp(mantissa, 1 - bias - mantissa_bits)
                                 : ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);

        return h & 0x8000 ? -v : v;
}

// A random matrix that starts one element behind an aligned place and ends where its block ends.
struct ops_matrix {
        struct dyn_tensor t;
        void *block;
        double *value; // (rows, columns)
};

static inline struct ops_matrix ops_matrix(enum dyn_dtype dtype, int rows, int columns)
{
        size_t n = (size_t)rows * (size_t)columns, size = dtype == DYN_F32 ? 4 : 2;
        struct ops_matrix m = {.block = test_malloc((n + 1) * size), .value = test_malloc(n * sizeof(double))};

        m.t = (struct dyn_tensor){.dtype = dtype,
                .n_dims = 2,
                .shape = {rows, columns, 1, 1},
                .data = (char *)m.block + size,
                .bytes = n * size};
        for (size_t i = 0; i < n; i++)
                if (dtype == DYN_F32) {
                        ((float *)m.block)[i + 1] = ops_value();
                        m.value[i] = ((float *)m.block)[i + 1];
                } else {
                        ((uint16_t *)m.block)[i + 1] = ops_half(dtype);
                        m.value[i] = ops_decode(dtype, ((uint16_t *)m.block)[i + 1]);
                }
        return m;
}

// Its elements with other exponents: their own, or those of denormal numbers, raised by so many.
static inline void ops_matrix_exponents(struct ops_matrix *m, bool own, unsigned raised)
{
        enum dyn_dtype dtype = m->t.dtype;
        uint32_t exponent = dtype == DYN_F32 ? 0x7f800000 : dtype == DYN_F16 ? 0x7c00 : 0x7f80;
        uint32_t keep = own ? UINT32_MAX : ~exponent, add = raised * (exponent & -exponent);

        for (int64_t i = 0; i < m->t.shape[0] * m->t.shape[1]; i++)
                if (dtype == DYN_F32) {
                        float *f = (float *)m->block + i + 1;
                        uint32_t bits;

                        memcpy(&bits, f, sizeof bits);
                        bits = (bits & keep) + add;
                        memcpy(f, &bits, sizeof bits);
                        m->value[i] = *f;
                } else {
                        uint16_t *bits = (uint16_t *)m->block + i + 1;

                        *bits = (uint16_t)((*bits & keep) + add);
                        m->value[i] = ops_decode(dtype, *bits);
                }
}

static inline void ops_matrix_denormal(struct ops_matrix *m)
{
        ops_matrix_exponents(m, false, 0);
}

// Up to 2^15 times what it was in f16, up to 2^100 times in the others.
static inline void ops_matrix_large(struct ops_matrix *m)
{
        ops_matrix_exponents(m, true, m->t.dtype == DYN_F16 ? 15 : 100);
}

static inline void ops_matrix_free(struct ops_matrix *m)
{
        test_free(m->block);
        test_free(m->value);
}

struct ops {
        const struct dyn_backend_ops *ops;
        struct dyn_device *dev;
};

static inline struct ops ops_open(const char *backend, int n_threads)
{
        struct ops o = {.ops = dyn_backend_find(backend, NULL)};
        struct dyn_device_options options = {
                .n_threads = n_threads, .max_rows = 128, .max_width = 4096, .max_context = 4096};

        assert_non_null(o.ops);
        assert_int_equal(o.ops->open(&o.dev, &options, NULL), DYN_OK);
        return o;
}

static inline void ops_close(struct ops *o)
{
        o->ops->close(o->dev);
}

// Gives back what a merge took.
static inline void ops_restore(const struct ops *o, struct dyn_weight *w, const struct dyn_tensor *stored)
{
        o->ops->weight_free(o->dev, w);
        assert_int_equal(o->ops->weight_load(o->dev, w, stored, NULL), DYN_OK);
}

// |found - expected| within `units` roundings of the sum of the terms' magnitudes.
static inline void ops_near(float found, double expected, double magnitude, double units)
{
        double bound = units * 0x1p-24 * magnitude + 1e-37;

        if (!(fabs((double)found - expected) <= bound))
                fail_msg("expected %.9g within %.3g, found %.9g", expected, bound, (double)found);
}

static inline void ops_same(const float *found, const float *expected, size_t n)
{
        assert_memory_equal(found, expected, n * sizeof *found);
}

#endif
