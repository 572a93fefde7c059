// Eight rows of a quantised matrix beside each other: a block of 32 columns as eight vectors of bytes, the four bytes
// 4c .. 4c + 3 of row i in element i of vector c, with the rows' scales in vectors of eight floats. For quant_dots.c.
// Layouts: ggml's block types, as in base/quant.c.
#ifndef DYNLORA_KERNELS_CPU_QUANT_PANEL_H
#define DYNLORA_KERNELS_CPU_QUANT_PANEL_H

#include "cpu/quant_rows.h"
#include "cpu/vec.h"

#define QUANT_OUTS 8 // rows of W in a panel

// What one block needs, by type: value = scale * q + least where q is q[] (Q4_1, Q4_K), q[] - 8 (Q4_0), or q[] signed
// (Q8_0). Q6_K: scale * group * (q[] - 32).
struct quant_panel {
        __m256i q[QUANT_BLOCK / 4];
        __m256 scale, least;
        __m256i group[2], groups; // int16: the scale of columns 0 .. 15 twice, of 16 .. 31 twice, one of each
};

// The rows' blocks that are unpacked next.
struct quant_source {
        const char *row[QUANT_OUTS];
};

VEC_INLINE __m256i two_of(const char *low, const char *high)
{
        return _mm256_inserti128_si256(
                _mm256_castsi128_si256(_mm_loadu_si128((const void *)low)), _mm_loadu_si128((const void *)high), 1);
}

// 16 bytes of each row, from `at` on, as four columns.
VEC_INLINE void columns_of(__m256i to[4], const struct quant_source *s, size_t at)
{
        __m256i a = two_of(s->row[0] + at, s->row[4] + at), b = two_of(s->row[1] + at, s->row[5] + at);
        __m256i c = two_of(s->row[2] + at, s->row[6] + at), d = two_of(s->row[3] + at, s->row[7] + at);
        __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
        __m256i ab2 = _mm256_unpackhi_epi32(a, b), cd2 = _mm256_unpackhi_epi32(c, d);

        to[0] = _mm256_unpacklo_epi64(ab, cd);
        to[1] = _mm256_unpackhi_epi64(ab, cd);
        to[2] = _mm256_unpacklo_epi64(ab2, cd2);
        to[3] = _mm256_unpackhi_epi64(ab2, cd2);
}

VEC_INLINE int half_bits_at(const char *p)
{
        uint16_t h;

        memcpy(&h, p, sizeof h);
        return h;
}

// The half at `at` of each row.
VEC_INLINE __m256 halves_of(const struct quant_source *s, size_t at)
{
        __m128i low = _mm_cvtsi32_si128(half_bits_at(s->row[0] + at));
        __m128i high = _mm_cvtsi32_si128(half_bits_at(s->row[4] + at));

        low = _mm_insert_epi16(low, half_bits_at(s->row[1] + at), 1);
        low = _mm_insert_epi16(low, half_bits_at(s->row[2] + at), 2);
        low = _mm_insert_epi16(low, half_bits_at(s->row[3] + at), 3);
        high = _mm_insert_epi16(high, half_bits_at(s->row[5] + at), 1);
        high = _mm_insert_epi16(high, half_bits_at(s->row[6] + at), 2);
        high = _mm_insert_epi16(high, half_bits_at(s->row[7] + at), 3);
        return _mm256_cvtph_ps(_mm_unpacklo_epi64(low, high));
}

VEC_INLINE __m256i nibbles(__m256i v, const int shift)
{
        return _mm256_and_si256(shift ? _mm256_srli_epi16(v, shift) : v, _mm256_set1_epi8(15));
}

VEC_INLINE void unpack_q4_0(struct quant_panel *p, const struct quant_source *s)
{
        __m256i v[4];

        p->scale = halves_of(s, 0);
        columns_of(v, s, 2);
        VEC_UNROLL
        for (int c = 0; c < 4; c++) {
                p->q[c] = nibbles(v[c], 0);
                p->q[c + 4] = nibbles(v[c], 4);
        }
}

VEC_INLINE void unpack_q4_1(struct quant_panel *p, const struct quant_source *s)
{
        __m256i v[4];

        p->scale = halves_of(s, 0);
        p->least = halves_of(s, 2);
        columns_of(v, s, 4);
        VEC_UNROLL
        for (int c = 0; c < 4; c++) {
                p->q[c] = nibbles(v[c], 0);
                p->q[c + 4] = nibbles(v[c], 4);
        }
}

VEC_INLINE void unpack_q8_0(struct quant_panel *p, const struct quant_source *s)
{
        p->scale = halves_of(s, 0);
        columns_of(p->q, s, 2);
        columns_of(p->q + 4, s, 18);
}

// Byte i of each element as an integer.
VEC_INLINE __m256 byte_of(__m256i v, const int i)
{
        return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(v, 8 * i), _mm256_set1_epi32(255)));
}

// The eight blocks of 256 columns. Their 6-bit scales and minima lie in three words of each row, those of the last four
// blocks with their upper two bits in the top of the first two words.
VEC_INLINE void unpack_q4_k(struct quant_panel *p, const struct quant_source *s)
{
        const __m256i six = _mm256_set1_epi8(63), four = _mm256_set1_epi8(15), two = _mm256_set1_epi8(0x30);
        __m256 d = halves_of(s, 0), dmin = _mm256_sub_ps(_mm256_setzero_ps(), halves_of(s, 2));
        __m256i words[4], scales[2], leasts[2];

        columns_of(words, s, 0); // after d and dmin
        scales[0] = _mm256_and_si256(words[1], six);
        leasts[0] = _mm256_and_si256(words[2], six);
        scales[1] = _mm256_or_si256(
                _mm256_and_si256(words[3], four), _mm256_and_si256(_mm256_srli_epi32(words[1], 2), two));
        leasts[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(words[3], 4), four),
                _mm256_and_si256(_mm256_srli_epi32(words[2], 2), two));
        VEC_UNROLL
        for (int i = 0; i < 8; i++) {
                p[i].scale = _mm256_mul_ps(d, byte_of(scales[i / 4], i % 4));
                p[i].least = _mm256_mul_ps(dmin, byte_of(leasts[i / 4], i % 4));
        }
        VEC_KEEP_LOOP
        for (int i = 0; i < 8; i += 2) {
                __m256i v[8];

                columns_of(v, s, 16 + (size_t)i * 16);
                columns_of(v + 4, s, 32 + (size_t)i * 16);
                VEC_UNROLL
                for (int c = 0; c < 8; c++) {
                        p[i].q[c] = nibbles(v[c], 0);
                        p[i + 1].q[c] = nibbles(v[c], 4);
                }
        }
}

// The upper two bits of block i of four, put over the nibbles.
VEC_INLINE __m256i with_upper(__m256i low, __m256i high, int i)
{
        __m256i up = i < 2 ? _mm256_slli_epi16(high, 4 - 2 * i) : _mm256_srli_epi16(high, 2 * i - 4);

        return _mm256_or_si256(low, _mm256_and_si256(up, _mm256_set1_epi8(0x30)));
}

// Four of the eight blocks of 256 columns: blocks 0 and 2 share the bytes of their nibbles, as 1 and 3 do, and all four
// those of their upper bits. scales: the int8 scales of their eight groups, columns of four.
VEC_INLINE void unpack_q6_k_half(
        struct quant_panel *p, const struct quant_source *s, size_t low_at, size_t high_at, const __m256i scales[2])
{
        __m256i high[8], low[8];

        columns_of(high, s, high_at);
        columns_of(high + 4, s, high_at + 16);
        VEC_UNROLL
        for (int i = 0; i < 4; i++) {
                // Bytes 2 (i % 2) and the next, sign-extended to the words of each element.
                __m256i pair = _mm256_slli_epi32(scales[i / 2], i % 2 ? 0 : 16), first, second;

                first = _mm256_srai_epi32(_mm256_slli_epi32(pair, 8), 24);
                second = _mm256_srai_epi32(pair, 24);
                p[i].groups = _mm256_blend_epi16(first, _mm256_slli_epi32(second, 16), 0xaa);
                p[i].group[0] = _mm256_blend_epi16(first, _mm256_slli_epi32(first, 16), 0xaa);
                p[i].group[1] = _mm256_blend_epi16(second, _mm256_slli_epi32(second, 16), 0xaa);
        }
        VEC_UNROLL
        for (int i = 0; i < 2; i++) {
                columns_of(low, s, low_at + (size_t)i * 32);
                columns_of(low + 4, s, low_at + (size_t)i * 32 + 16);
                VEC_UNROLL
                for (int c = 0; c < 8; c++) {
                        p[i].q[c] = with_upper(nibbles(low[c], 0), high[c], i);
                        p[i + 2].q[c] = with_upper(nibbles(low[c], 4), high[c], i + 2);
                }
        }
}

VEC_INLINE void unpack_q6_k(struct quant_panel *p, const struct quant_source *s)
{
        __m256 d = halves_of(s, 208);
        __m256i scales[4];

        columns_of(scales, s, 192);
        VEC_UNROLL
        for (int i = 0; i < 8; i++)
                p[i].scale = d;
        unpack_q6_k_half(p, s, 0, 128, scales);
        unpack_q6_k_half(p + 4, s, 64, 160, scales + 2);
}

// The next blocks of all rows: as many as a block of the type has columns, in 32s.
VEC_INLINE void quant_unpack(const enum dyn_dtype dtype, struct quant_panel *p, const struct quant_source *s)
{
        if (dtype == DYN_Q4_0)
                unpack_q4_0(p, s);
        else if (dtype == DYN_Q4_1)
                unpack_q4_1(p, s);
        else if (dtype == DYN_Q8_0)
                unpack_q8_0(p, s);
        else if (dtype == DYN_Q4_K)
                unpack_q4_k(p, s);
        else
                unpack_q6_k(p, s);
}

#endif
