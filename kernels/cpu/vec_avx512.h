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

VEC_INLINE vec vec_read_bf16(const void *p, const bool spare)
{
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
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

VEC_INLINE __m256i vec_bf16(vec v)
{
        __m512i bits = _mm512_castps_si512(v);
        __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));

        bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
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

// The upper eight lanes on the lower, then as of eight: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)).
VEC_INLINE __m256 vec_folded(vec v)
{
        return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

VEC_INLINE void vec_sum4(float sums[4], vec a, vec b, vec c, vec d)
{
        __m256 ab = _mm256_hadd_ps(vec_folded(a), vec_folded(b)), cd = _mm256_hadd_ps(vec_folded(c), vec_folded(d));
        __m256 pairs = _mm256_hadd_ps(ab, cd);

        _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
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
