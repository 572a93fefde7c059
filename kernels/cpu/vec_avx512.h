// Vectors of sixteen floats: AVX-512 F, BW, DQ and VL. What each name means is in vec.h.
#ifndef DYNLORA_KERNELS_CPU_VEC_AVX512_H
#define DYNLORA_KERNELS_CPU_VEC_AVX512_H

#include <immintrin.h>

#define VEC 16

#define VEC_REGISTER "+v"

typedef __m512 vec;
typedef int32_t vec_ints __attribute__((vector_size(4 * VEC)));

VEC_INLINE vec vec_set1(float f)
{
        return _mm512_set1_ps(f);
}

VEC_INLINE vec vec_read(const float *p)
{
        return _mm512_loadu_ps(p);
}

VEC_INLINE void vec_write(float *p, vec v)
{
        _mm512_storeu_ps(p, v);
}

VEC_INLINE vec vec_read_f16(const void *p)
{
        return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

static const int16_t vec_bf16_order[32] __attribute__((aligned(64))) = {
        0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15};

// Each element over a zero, in one shuffle.
VEC_INLINE vec vec_read_bf16(const void *p, const bool spare)
{
        __m512i all = _mm512_castsi256_si512(_mm256_loadu_si256(p)), order = _mm512_load_si512(vec_bf16_order);

        return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, order, all));
}

VEC_INLINE __m256i vec_f16(vec v)
{
        return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
}

VEC_INLINE void vec_write_f16(uint16_t *p, vec v)
{
        _mm256_storeu_si256((__m256i *)p, vec_f16(v));
}

VEC_INLINE void vec_write_i8(int8_t *p, vec v)
{
        _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}

VEC_INLINE void vec_put_bits(void *p, __m512i bits, bool stream)
{
        if (stream)
                _mm512_stream_si512(p, bits);
        else
                _mm512_storeu_si512(p, bits);
}

VEC_INLINE void vec_put(float *p, vec v, bool stream)
{
        vec_put_bits(p, _mm512_castps_si512(v), stream);
}

// Rounded to the nearest even in the high halves.
VEC_INLINE __m512i vec_bf16_high(vec v)
{
        __m512i bits = _mm512_castps_si512(v), up = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
        __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));

        return _mm512_mask_add_epi32(up, odd, up, _mm512_set1_epi32(1));
}

VEC_INLINE __m256i vec_bf16(vec v)
{
        return _mm512_cvtepi32_epi16(_mm512_srli_epi32(vec_bf16_high(v), 16));
}

VEC_INLINE void vec_put_halves(void *p, enum dyn_dtype dtype, vec a, vec b, bool stream)
{
        __m256i low = dtype == DYN_F16 ? vec_f16(a) : vec_bf16(a);
        __m256i high = dtype == DYN_F16 ? vec_f16(b) : vec_bf16(b);

        vec_put_bits(p, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), stream);
}

VEC_INLINE void vec_fence(void)
{
        _mm_sfence();
}

VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
        return _mm512_fmadd_ps(a, b, c);
}

VEC_INLINE vec vec_fms(vec a, vec b, vec c)
{
        return _mm512_fmsub_ps(a, b, c);
}

VEC_INLINE vec vec_fnma(vec a, vec b, vec c)
{
        return _mm512_fnmadd_ps(a, b, c);
}

VEC_INLINE vec vec_max(vec a, vec b)
{
        return _mm512_max_ps(a, b);
}

VEC_INLINE vec vec_min(vec a, vec b)
{
        return _mm512_min_ps(a, b);
}

VEC_INLINE vec vec_round(vec v)
{
        return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// A lane of 128 bits as (0 + 2) + (1 + 3), then those as (0 + 2) + (1 + 3).
VEC_INLINE void vec_sum4(float sums[4], vec a, vec b, vec c, vec d)
{
        __m512 ab = _mm512_unpacklo_ps(a, b) + _mm512_unpackhi_ps(a, b);
        __m512 cd = _mm512_unpacklo_ps(c, d) + _mm512_unpackhi_ps(c, d);
        __m512 all = _mm512_shuffle_ps(ab, cd, 0x44) + _mm512_shuffle_ps(ab, cd, 0xee);
        __m256 half = _mm512_castps512_ps256(all) + _mm512_extractf32x8_ps(all, 1);

        _mm_storeu_ps(sums, _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1));
}

VEC_INLINE float vec_largest(vec v)
{
        return _mm512_reduce_max_ps(v);
}

VEC_INLINE vec_ints vec_ints_max(vec_ints a, vec_ints b)
{
        return (vec_ints)_mm512_max_epi32((__m512i)a, (__m512i)b);
}

VEC_INLINE int32_t vec_ints_largest(vec_ints v)
{
        return _mm512_reduce_max_epi32((__m512i)v);
}

#endif
