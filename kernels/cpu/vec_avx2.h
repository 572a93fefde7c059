// Vectors of eight floats: AVX2, FMA and F16C. What each name means is in vec.h.
#ifndef DYNLORA_KERNELS_CPU_VEC_AVX2_H
#define DYNLORA_KERNELS_CPU_VEC_AVX2_H

#include <immintrin.h>

#define VEC 8

#define VEC_REGISTER "+x"

typedef __m256 vec;
typedef int32_t vec_ints __attribute__((vector_size(4 * VEC)));

VEC_INLINE vec vec_set1(float f)
{
        return _mm256_set1_ps(f);
}

VEC_INLINE vec vec_read(const float *p)
{
        return _mm256_loadu_ps(p);
}

VEC_INLINE void vec_write(float *p, vec v)
{
        _mm256_storeu_ps(p, v);
}

VEC_INLINE vec vec_read_f16(const void *p)
{
        return _mm256_cvtph_ps(_mm_loadu_si128(p));
}

static const int8_t vec_bf16_order[32] __attribute__((aligned(32))) = {-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1,
        6, 7, -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15};

// Both halves get all eight, then one shuffle puts each element over zeros; its order is an operand in memory unless
// there is a register to spare.
VEC_INLINE vec vec_read_bf16(const void *p, const bool spare)
{
        __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128(p));

        if (spare)
                both = _mm256_shuffle_epi8(both, _mm256_load_si256((const __m256i *)vec_bf16_order));
        else
                __asm__("vpshufb %1, %0, %0" : "+x"(both) : "m"(vec_bf16_order));
        return _mm256_castsi256_ps(both);
}

VEC_INLINE __m128i vec_f16(vec v)
{
        return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
}

VEC_INLINE void vec_write_f16(uint16_t *p, vec v)
{
        _mm_storeu_si128((__m128i *)p, vec_f16(v));
}

VEC_INLINE void vec_write_i8(int8_t *p, vec v)
{
        __m256i ints = _mm256_cvtps_epi32(v);
        __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(ints), _mm256_extracti128_si256(ints, 1));

        _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}

VEC_INLINE void vec_put_bits(void *p, __m256i bits, bool stream)
{
        if (stream)
                _mm256_stream_si256(p, bits);
        else
                _mm256_storeu_si256(p, bits);
}

VEC_INLINE void vec_put(float *p, vec v, bool stream)
{
        vec_put_bits(p, _mm256_castps_si256(v), stream);
}

// The upper halves of the result are zero.
VEC_INLINE __m256i vec_bf16(vec v)
{
        __m256i bits = _mm256_castps_si256(v);
        __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));

        bits = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        return _mm256_srli_epi32(bits, 16);
}

VEC_INLINE void vec_put_halves(void *p, enum dyn_dtype dtype, vec a, vec b, bool stream)
{
        if (dtype == DYN_F16)
                vec_put_bits(p, _mm256_set_m128i(vec_f16(b), vec_f16(a)), stream);
        else
                vec_put_bits(p,
                        _mm256_permute4x64_epi64(
                                _mm256_packus_epi32(vec_bf16(a), vec_bf16(b)), _MM_SHUFFLE(3, 1, 2, 0)),
                        stream);
}

VEC_INLINE void vec_fence(void)
{
        _mm_sfence();
}

VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
        return _mm256_fmadd_ps(a, b, c);
}

VEC_INLINE vec vec_fms(vec a, vec b, vec c)
{
        return _mm256_fmsub_ps(a, b, c);
}

VEC_INLINE vec vec_fnma(vec a, vec b, vec c)
{
        return _mm256_fnmadd_ps(a, b, c);
}

VEC_INLINE vec vec_max(vec a, vec b)
{
        return _mm256_max_ps(a, b);
}

VEC_INLINE vec vec_min(vec a, vec b)
{
        return _mm256_min_ps(a, b);
}

VEC_INLINE vec vec_round(vec v)
{
        return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// Each as ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)).
VEC_INLINE void vec_sum4(float sums[4], vec a, vec b, vec c, vec d)
{
        __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));

        _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
}

VEC_INLINE float vec_largest(vec v)
{
        __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

        m = _mm_max_ps(m, _mm_movehl_ps(m, m));
        return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

VEC_INLINE vec_ints vec_ints_max(vec_ints a, vec_ints b)
{
        return (vec_ints)_mm256_max_epi32((__m256i)a, (__m256i)b);
}

VEC_INLINE int32_t vec_ints_largest(vec_ints v)
{
        __m128i m = _mm_max_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));

        m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
        return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

#endif
