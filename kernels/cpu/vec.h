// Vectors of VEC floats, for the files of the fast backend alone, which are compiled once for each instruction set.
// This page says what there is for all of them; vec_avx2.h, vec_avx512.h and vec_neon.h say how, and give:
//
//   vec, vec_ints, VEC                     VEC floats, or as many int32_t; + - * / & < and casts are the compiler's
//   vec_set1, vec_read, vec_write          one float in every lane; VEC floats from and to memory, aligned to nothing
//   vec_read_f16, vec_read_bf16            VEC elements of memory, widened
//   vec_write_f16, vec_write_i8            VEC elements to memory, rounded to the nearest even; integers saturate
//   vec_put_halves                         2 VEC elements of a 16-bit type, rounded to the nearest even, on a line's
//                                          half or whole of their own; past the caches if told so and if there is a way
//   vec_put, vec_fence                     the same for floats; what went past the caches is seen after the fence
//   vec_fma, vec_fms, vec_fnma             a b + c, a b - c, c - a b, rounded once
//   vec_max, vec_min, vec_round            where b is NaN so is the result; to the nearest even integer
//   vec_sum4                               the sums of the lanes of four vectors, each in one fixed order
//   vec_largest, vec_ints_max, ..._largest the largest lane; lane by lane; the largest lane
#ifndef DYNLORA_KERNELS_CPU_VEC_H
#define DYNLORA_KERNELS_CPU_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dynlora/tensor.h"

#define VEC_INLINE static inline __attribute__((always_inline))

// VEC_UNROLL comes before loops over the registers of a tile: unrolled early they stay in registers. VEC_KEEP_LOOP
// before a loop that would need more registers unrolled.
#ifdef __clang__
#define VEC_UNROLL    _Pragma("clang loop unroll(full)")
#define VEC_KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define VEC_UNROLL    _Pragma("GCC unroll 16")
#define VEC_KEEP_LOOP _Pragma("GCC unroll 1")
#endif

#if defined __aarch64__
#include "cpu/vec_neon.h"
#elif defined __AVX512F__
#include "cpu/vec_avx512.h"
#else
#include "cpu/vec_avx2.h"
#endif

// Keeps gcc from turning a load that several products share back into a memory operand of each of them.
#define VEC_PIN(v) __asm__("" : VEC_REGISTER(v))

VEC_INLINE size_t vec_bytes(enum dyn_dtype dtype)
{
        return dtype == DYN_F32 ? sizeof(float) : sizeof(uint16_t);
}

VEC_INLINE void vec_fetch(const void *p)
{
        __builtin_prefetch(p, 0, 3);
}

VEC_INLINE vec vec_zero(void)
{
        return (vec){0};
}

// VEC elements from p on. spare: the caller has a register left, for what the load may want to keep.
VEC_INLINE vec vec_load_with(const void *p, enum dyn_dtype dtype, const bool spare)
{
        if (dtype == DYN_F32)
                return vec_read(p);
        return dtype == DYN_F16 ? vec_read_f16(p) : vec_read_bf16(p, spare);
}

VEC_INLINE vec vec_load(const void *p, enum dyn_dtype dtype)
{
        return vec_load_with(p, dtype, true);
}

// The first n < VEC elements, zeros behind them; reads nothing beyond.
VEC_INLINE vec vec_load_part(const void *p, enum dyn_dtype dtype, size_t n)
{
        float padded[VEC] = {0};

        memcpy(padded, p, n * vec_bytes(dtype));
        return vec_load_with(padded, dtype, false);
}

VEC_INLINE void vec_store_part(float *p, vec v, size_t n)
{
        float whole[VEC];

        vec_write(whole, v);
        memcpy(p, whole, n * sizeof *p);
}

VEC_INLINE float vec_sum(vec a)
{
        float sums[4];

        vec_sum4(sums, a, a, a, a);
        return sums[0];
}

// The first n lanes, zeros behind them.
VEC_INLINE vec vec_first(vec v, int n)
{
        static const int32_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        vec_ints lanes;

        memcpy(&lanes, numbers, sizeof lanes);
        return (vec)((vec_ints)v & (lanes < n));
}

// The magnitudes' bits, which compare as they do; NaN is above infinity.
VEC_INLINE vec_ints vec_magnitude(vec v)
{
        return (vec_ints)v & 0x7fffffff;
}

// e^x within 2 units in the last place; 0 below -87, x is held to 88 above, NaN stays NaN. x = n ln 2 + r with |r| <=
// ln 2 / 2; e^r by its Taylor polynomial of degree 7, whose remainder is below 2^-27; ln 2 in two parts, the first
// exact in products with n (Cody and Waite, "Software Manual for the Elementary Functions", 1980).
VEC_INLINE vec vec_exp(vec x)
{
        vec_ints outside = x < -87.0f;

        x = vec_min(vec_set1(88.0f), vec_max(vec_set1(-87.0f), x));
        vec n = vec_round(x * 0x1.715476p+0f);
        vec r = vec_fnma(n, vec_set1(0x1.62e4p-1f), x);

        r = vec_fnma(n, vec_set1(0x1.7f7d1cp-20f), r);
        vec e = vec_set1(1.0f / 5040);

        e = vec_fma(e, r, vec_set1(1.0f / 720));
        e = vec_fma(e, r, vec_set1(1.0f / 120));
        e = vec_fma(e, r, vec_set1(1.0f / 24));
        e = vec_fma(e, r, vec_set1(1.0f / 6));
        e = vec_fma(e, r, vec_set1(0.5f));
        e = vec_fma(e, r, vec_set1(1.0f));
        e = vec_fma(e, r, vec_set1(1.0f));
        vec_ints power = __builtin_convertvector(n, vec_ints) << 23;

        return (vec)(((vec_ints)e + power) & ~outside);
}

#endif
