// How rows come beside each other in vectors of eight (AVX2) and sixteen (AVX-512). For panel.h.
#ifndef DYNLORA_KERNELS_CPU_PANEL_X86_H
#define DYNLORA_KERNELS_CPU_PANEL_X86_H

#include "cpu/panel.h"

#if VEC == 16
#define PANEL(op) _mm512_##op
typedef __m512i panel_bits;
#else
#define PANEL(op) _mm256_##op
typedef __m256i panel_bits;
#endif

// 16 bytes of rows i, i + 4, ..., from `at` on.
VEC_INLINE panel_bits panel_lanes(const struct panel_rows *s, int i, size_t at)
{
        __m128i lane[VEC / 4];

        VEC_UNROLL
        for (int k = 0; k < VEC / 4; k++)
                lane[k] = _mm_loadu_si128((const __m128i *)(s->row[i + 4 * k] + at));
        __m256i low = _mm256_set_m128i(lane[1], lane[0]);

#if VEC == 16
        return _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_set_m128i(lane[3], lane[2]), 1);
#else
        return low;
#endif
}

VEC_INLINE void panel_columns(vec_ints to[4], const struct panel_rows *s, size_t at)
{
        panel_bits a = panel_lanes(s, 0, at), b = panel_lanes(s, 1, at);
        panel_bits c = panel_lanes(s, 2, at), d = panel_lanes(s, 3, at);
        panel_bits ab = PANEL(unpacklo_epi32)(a, b), cd = PANEL(unpacklo_epi32)(c, d);
        panel_bits ab2 = PANEL(unpackhi_epi32)(a, b), cd2 = PANEL(unpackhi_epi32)(c, d);

        to[0] = (vec_ints)PANEL(unpacklo_epi64)(ab, cd);
        to[1] = (vec_ints)PANEL(unpackhi_epi64)(ab, cd);
        to[2] = (vec_ints)PANEL(unpacklo_epi64)(ab2, cd2);
        to[3] = (vec_ints)PANEL(unpackhi_epi64)(ab2, cd2);
}

VEC_INLINE __m128i panel_four_halves(const struct panel_rows *s, int first, size_t at)
{
        uint16_t h[4];

        VEC_UNROLL
        for (int i = 0; i < 4; i++)
                memcpy(&h[i], s->row[first + i] + at, sizeof h[i]);
        __m128i v = _mm_cvtsi32_si128(h[0]);

        v = _mm_insert_epi16(v, h[1], 1);
        v = _mm_insert_epi16(v, h[2], 2);
        return _mm_insert_epi16(v, h[3], 3);
}

VEC_INLINE vec panel_halves(const struct panel_rows *s, size_t at)
{
        __m128i low = _mm_unpacklo_epi64(panel_four_halves(s, 0, at), panel_four_halves(s, 4, at));

#if VEC == 16
        __m128i high = _mm_unpacklo_epi64(panel_four_halves(s, 8, at), panel_four_halves(s, 12, at));

        return _mm512_cvtph_ps(_mm256_set_m128i(high, low));
#else
        return _mm256_cvtph_ps(low);
#endif
}

#endif
