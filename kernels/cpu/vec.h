// Vectors of eight floats (AVX2, FMA, F16C): loads that widen the 16-bit types, sums of lanes in one fixed order, exp.
// For the files of the fast backend alone, which are compiled for these instructions.
#ifndef DYNLORA_KERNELS_CPU_VEC_H
#define DYNLORA_KERNELS_CPU_VEC_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dynlora/tensor.h"

#define VEC 8

#define VEC_INLINE static inline __attribute__((always_inline))

// Keeps gcc from turning a load that several products share back into a memory operand of each of them.
#define VEC_PIN(v) __asm__("" : "+x"(v))

// VEC_UNROLL comes before loops over the registers of a tile: unrolled early they stay in registers. VEC_KEEP_LOOP
// before a loop that would need more registers unrolled.
#ifdef __clang__
#define VEC_UNROLL    _Pragma("clang loop unroll(full)")
#define VEC_KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define VEC_UNROLL    _Pragma("GCC unroll 16")
#define VEC_KEEP_LOOP _Pragma("GCC unroll 1")
#endif

static const int8_t vec_bf16_order[32] __attribute__((aligned(32))) = {-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1,
        6, 7, -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15};

VEC_INLINE size_t vec_bytes(enum dyn_dtype dtype)
{
        return dtype == DYN_F32 ? sizeof(float) : sizeof(uint16_t);
}

// Eight elements from p on. bfloat16: both halves get all eight, then one shuffle puts each element over zeros; its
// order is an operand in memory unless the caller can spare a register for it.
VEC_INLINE __m256 vec_load_with(const void *p, enum dyn_dtype dtype, const bool spare)
{
        if (dtype == DYN_F32)
                return _mm256_loadu_ps(p);
        if (dtype == DYN_F16)
                return _mm256_cvtph_ps(_mm_loadu_si128(p));
        __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128(p));

        if (spare)
                both = _mm256_shuffle_epi8(both, _mm256_load_si256((const __m256i *)vec_bf16_order));
        else
                __asm__("vpshufb %1, %0, %0" : "+x"(both) : "m"(vec_bf16_order));
        return _mm256_castsi256_ps(both);
}

VEC_INLINE __m256 vec_load(const void *p, enum dyn_dtype dtype)
{
        return vec_load_with(p, dtype, true);
}

// The first n < 8 elements, zeros behind them; reads nothing beyond.
VEC_INLINE __m256 vec_load_part(const void *p, enum dyn_dtype dtype, size_t n)
{
        float padded[VEC] = {0};

        memcpy(padded, p, n * vec_bytes(dtype));
        return vec_load_with(padded, dtype, false);
}

VEC_INLINE void vec_store_part(float *p, __m256 v, size_t n)
{
        float whole[VEC];

        _mm256_storeu_ps(whole, v);
        memcpy(p, whole, n * sizeof *p);
}

// The four sums of the lanes of a, b, c and d, each as ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)).
VEC_INLINE __m128 vec_sum4(__m256 a, __m256 b, __m256 c, __m256 d)
{
        __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));

        return _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
}

VEC_INLINE float vec_sum(__m256 a)
{
        return _mm_cvtss_f32(vec_sum4(a, a, a, a));
}

VEC_INLINE float vec_max(__m256 a)
{
        __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

        m = _mm_max_ps(m, _mm_movehl_ps(m, m));
        return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

// e^x within 2 units in the last place; 0 below -87, x is held to 88 above, NaN stays NaN. x = n ln 2 + r with |r| <=
// ln 2 / 2; e^r by its Taylor polynomial of degree 7, whose remainder is below 2^-27; ln 2 in two parts, the first
// exact in products with n (Cody and Waite, "Software Manual for the Elementary Functions", 1980).
VEC_INLINE __m256 vec_exp(__m256 x)
{
        __m256 inside = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0f), _CMP_NLT_UQ);

        x = _mm256_min_ps(_mm256_set1_ps(88.0f), _mm256_max_ps(_mm256_set1_ps(-87.0f), x));
        __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), _MM_FROUND_TO_NEAREST_INT);
        __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);

        r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
        __m256 e = _mm256_set1_ps(1.0f / 5040);

        e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 720));
        e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 120));
        e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 24));
        e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 6));
        e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(0.5f));
        e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f));
        e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f));
        __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);

        return _mm256_and_ps(inside, _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(e), power)));
}

#endif
