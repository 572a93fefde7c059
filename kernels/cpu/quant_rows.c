#include "cpu/quant_rows.h"

#include "cpu/vec.h"

#define LEAST 0x1p-100f

// The four vectors of a block as integers, in order, as bytes.
VEC_INLINE __m256i narrow(__m256i a, __m256i b, __m256i c, __m256i d)
{
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));

        return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// The largest magnitude as an integer compares floats: NaN is above infinity, and so neither is lost.
VEC_INLINE float largest(const __m256 x[4])
{
        const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
        __m256i most = _mm256_and_si256(_mm256_castps_si256(x[0]), magnitude);

        for (int i = 1; i < 4; i++)
                most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(x[i]), magnitude));
        __m128i m = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));

        m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
        m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
        return _mm_cvtss_f32(_mm_castsi128_ps(m));
}

static void fill(struct quant_block *to, const float *p)
{
        __m256 x[4];
        __m256i q[4];

        for (int i = 0; i < 4; i++)
                x[i] = _mm256_loadu_ps(p + (size_t)i * VEC);
        float most = largest(x);
        bool nothing = most < LEAST;
        __m256 by = _mm256_set1_ps(nothing ? 0 : 127 / most);

        for (int i = 0; i < 4; i++)
                q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], by));
        __m256i bytes = narrow(q[0], q[1], q[2], q[3]);
        __m256i words = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
        __m256i sums = _mm256_madd_epi16(words, _mm256_set1_epi16(1));
        __m256i halves = _mm256_hadd_epi32(sums, sums);

        halves = _mm256_hadd_epi32(halves, halves);
        to->half[0] = (int16_t)_mm256_extract_epi32(halves, 0);
        to->half[1] = (int16_t)_mm256_extract_epi32(halves, 4);
        int32_t sum = to->half[0] + to->half[1];

        to->scale = nothing ? 0 : most / 127;
        to->sum = to->scale * (float)sum;
        to->sum8 = -8 * sum;
        _mm256_storeu_si256((__m256i *)to->q, bytes);
}

void quant_rows(struct quant_block *to, const float *x, size_t n)
{
        for (size_t i = 0; i < n / QUANT_BLOCK; i++)
                fill(to + i, x + i * QUANT_BLOCK);
}
