// Rows of a quantised matrix beside each other: a block of 32 columns as eight vectors of bytes, the four bytes 4c ..
// 4c
// + 3 of row i in element i of vector c, with the rows' scales in vectors of floats. For quant_dots.c, which is
// compiled for vectors of eight and of sixteen. Layouts: ggml's block types, as in base/quant.c.
#ifndef DYNLORA_KERNELS_CPU_PANEL_H
#define DYNLORA_KERNELS_CPU_PANEL_H

#include "cpu/quant_rows.h"
#include "cpu/vec.h"

// Rows of W in a panel: as many as a vector has 32-bit elements.
#ifdef __AVX512VNNI__
#define PANEL_OUTS 16
#define PANEL(op)  _mm512_##op
typedef __m512i panel_ints;
typedef __m512 panel_floats;
#else
#define PANEL_OUTS 8
#define PANEL(op)  _mm256_##op
typedef __m256i panel_ints;
typedef __m256 panel_floats;
#endif

// What one block needs, by type: value = scale * q + least where q is q[] (Q4_1, Q4_K), q[] - 8 (Q4_0), or q[] signed
// (Q8_0). Q6_K: scale * group * (q[] - 32).
struct panel {
        panel_ints q[QUANT_BLOCK / 4];
        panel_floats scale, least;
        panel_ints group[2], groups; // int16: the scale of columns 0 .. 15 twice, of 16 .. 31 twice, one of each
};

// The rows' blocks that are unpacked next.
struct panel_rows {
        const char *row[PANEL_OUTS];
};

// 16 bytes of rows i, i + 4, ..., from `at` on.
VEC_INLINE panel_ints panel_lanes(const struct panel_rows *s, int i, size_t at)
{
        __m128i lane[PANEL_OUTS / 4];

        VEC_UNROLL
        for (int k = 0; k < PANEL_OUTS / 4; k++)
                lane[k] = _mm_loadu_si128((const __m128i *)(s->row[i + 4 * k] + at));
        __m256i low = _mm256_set_m128i(lane[1], lane[0]);

#ifdef __AVX512VNNI__
        return _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_set_m128i(lane[3], lane[2]), 1);
#else
        return low;
#endif
}

// 16 bytes of each row, from `at` on, as four columns.
VEC_INLINE void panel_columns(panel_ints to[4], const struct panel_rows *s, size_t at)
{
        panel_ints a = panel_lanes(s, 0, at), b = panel_lanes(s, 1, at);
        panel_ints c = panel_lanes(s, 2, at), d = panel_lanes(s, 3, at);
        panel_ints ab = PANEL(unpacklo_epi32)(a, b), cd = PANEL(unpacklo_epi32)(c, d);
        panel_ints ab2 = PANEL(unpackhi_epi32)(a, b), cd2 = PANEL(unpackhi_epi32)(c, d);

        to[0] = PANEL(unpacklo_epi64)(ab, cd);
        to[1] = PANEL(unpackhi_epi64)(ab, cd);
        to[2] = PANEL(unpacklo_epi64)(ab2, cd2);
        to[3] = PANEL(unpackhi_epi64)(ab2, cd2);
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

// The half at `at` of each row.
VEC_INLINE panel_floats panel_halves(const struct panel_rows *s, size_t at)
{
        __m128i low = _mm_unpacklo_epi64(panel_four_halves(s, 0, at), panel_four_halves(s, 4, at));

#ifdef __AVX512VNNI__
        __m128i high = _mm_unpacklo_epi64(panel_four_halves(s, 8, at), panel_four_halves(s, 12, at));

        return _mm512_cvtph_ps(_mm256_set_m128i(high, low));
#else
        return _mm256_cvtph_ps(low);
#endif
}

VEC_INLINE panel_ints panel_nibbles(panel_ints v, const int shift)
{
        return (shift ? PANEL(srli_epi16)(v, shift) : v) & PANEL(set1_epi8)(15);
}

VEC_INLINE void panel_q4_0(struct panel *p, const struct panel_rows *s)
{
        panel_ints v[4];

        p->scale = panel_halves(s, 0);
        panel_columns(v, s, 2);
        VEC_UNROLL
        for (int c = 0; c < 4; c++) {
                p->q[c] = panel_nibbles(v[c], 0);
                p->q[c + 4] = panel_nibbles(v[c], 4);
        }
}

VEC_INLINE void panel_q4_1(struct panel *p, const struct panel_rows *s)
{
        panel_ints v[4];

        p->scale = panel_halves(s, 0);
        p->least = panel_halves(s, 2);
        panel_columns(v, s, 4);
        VEC_UNROLL
        for (int c = 0; c < 4; c++) {
                p->q[c] = panel_nibbles(v[c], 0);
                p->q[c + 4] = panel_nibbles(v[c], 4);
        }
}

VEC_INLINE void panel_q8_0(struct panel *p, const struct panel_rows *s)
{
        p->scale = panel_halves(s, 0);
        panel_columns(p->q, s, 2);
        panel_columns(p->q + 4, s, 18);
}

// Byte i of each element as an integer.
VEC_INLINE panel_floats panel_byte(panel_ints v, const int i)
{
        return PANEL(cvtepi32_ps)(PANEL(srli_epi32)(v, 8 * i) & PANEL(set1_epi32)(255));
}

// The eight blocks of 256 columns. Their 6-bit scales and minima lie in three words of each row, those of the last four
// blocks with their upper two bits in the top of the first two words.
VEC_INLINE void panel_q4_k(struct panel *p, const struct panel_rows *s)
{
        const panel_ints six = PANEL(set1_epi8)(63), four = PANEL(set1_epi8)(15), two = PANEL(set1_epi8)(0x30);
        panel_floats d = panel_halves(s, 0), dmin = PANEL(sub_ps)(PANEL(setzero_ps)(), panel_halves(s, 2));
        panel_ints words[4], scales[2], leasts[2];

        panel_columns(words, s, 0); // after d and dmin
        scales[0] = words[1] & six;
        leasts[0] = words[2] & six;
        scales[1] = (words[3] & four) | (PANEL(srli_epi32)(words[1], 2) & two);
        leasts[1] = (PANEL(srli_epi32)(words[3], 4) & four) | (PANEL(srli_epi32)(words[2], 2) & two);
        VEC_UNROLL
        for (int i = 0; i < 8; i++) {
                p[i].scale = PANEL(mul_ps)(d, panel_byte(scales[i / 4], i % 4));
                p[i].least = PANEL(mul_ps)(dmin, panel_byte(leasts[i / 4], i % 4));
        }
        VEC_KEEP_LOOP
        for (int i = 0; i < 8; i += 2) {
                panel_ints v[8];

                panel_columns(v, s, 16 + (size_t)i * 16);
                panel_columns(v + 4, s, 32 + (size_t)i * 16);
                VEC_UNROLL
                for (int c = 0; c < 8; c++) {
                        p[i].q[c] = panel_nibbles(v[c], 0);
                        p[i + 1].q[c] = panel_nibbles(v[c], 4);
                }
        }
}

// The upper two bits of block i of four, put over the nibbles.
VEC_INLINE panel_ints panel_upper(panel_ints low, panel_ints high, int i)
{
        panel_ints up = i < 2 ? PANEL(slli_epi16)(high, 4 - 2 * i) : PANEL(srli_epi16)(high, 2 * i - 4);

        return low | (up & PANEL(set1_epi8)(0x30));
}

// int16 pairs of what stands in the low halves of elements.
VEC_INLINE panel_ints panel_pair(panel_ints low, panel_ints high)
{
        return (low & PANEL(set1_epi32)(0xffff)) | PANEL(slli_epi32)(high, 16);
}

// Four of the eight blocks of 256 columns: blocks 0 and 2 share the bytes of their nibbles, as 1 and 3 do, and all four
// those of their upper bits. scales: the int8 scales of their eight groups, columns of four.
VEC_INLINE void panel_q6_k_half(
        struct panel *p, const struct panel_rows *s, size_t low_at, size_t high_at, const panel_ints scales[2])
{
        panel_ints high[8], low[8];

        panel_columns(high, s, high_at);
        panel_columns(high + 4, s, high_at + 16);
        VEC_UNROLL
        for (int i = 0; i < 4; i++) {
                // Bytes 2 (i % 2) and the next, sign-extended to the words of each element.
                panel_ints pair = PANEL(slli_epi32)(scales[i / 2], i % 2 ? 0 : 16), first, second;

                first = PANEL(srai_epi32)(PANEL(slli_epi32)(pair, 8), 24);
                second = PANEL(srai_epi32)(pair, 24);
                p[i].groups = panel_pair(first, second);
                p[i].group[0] = panel_pair(first, first);
                p[i].group[1] = panel_pair(second, second);
        }
        VEC_UNROLL
        for (int i = 0; i < 2; i++) {
                panel_columns(low, s, low_at + (size_t)i * 32);
                panel_columns(low + 4, s, low_at + (size_t)i * 32 + 16);
                VEC_UNROLL
                for (int c = 0; c < 8; c++) {
                        p[i].q[c] = panel_upper(panel_nibbles(low[c], 0), high[c], i);
                        p[i + 2].q[c] = panel_upper(panel_nibbles(low[c], 4), high[c], i + 2);
                }
        }
}

VEC_INLINE void panel_q6_k(struct panel *p, const struct panel_rows *s)
{
        panel_floats d = panel_halves(s, 208);
        panel_ints scales[4];

        panel_columns(scales, s, 192);
        VEC_UNROLL
        for (int i = 0; i < 8; i++)
                p[i].scale = d;
        panel_q6_k_half(p, s, 0, 128, scales);
        panel_q6_k_half(p + 4, s, 64, 160, scales + 2);
}

// The next blocks of all rows: as many as a block of the type has columns, in 32s.
VEC_INLINE void panel_unpack(const enum dyn_dtype dtype, struct panel *p, const struct panel_rows *s)
{
        if (dtype == DYN_Q4_0)
                panel_q4_0(p, s);
        else if (dtype == DYN_Q4_1)
                panel_q4_1(p, s);
        else if (dtype == DYN_Q8_0)
                panel_q8_0(p, s);
        else if (dtype == DYN_Q4_K)
                panel_q4_k(p, s);
        else
                panel_q6_k(p, s);
}

#endif
