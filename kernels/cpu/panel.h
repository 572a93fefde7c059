// VEC rows of a quantised matrix beside each other: a block of 32 columns as eight vectors of bytes, the four bytes 4c
// .. 4c + 3 of row i in element i of vector c, with the rows' scales in vectors of floats. For quant_dots.c, which is
// compiled for vectors of four, eight and sixteen. Layouts: ggml's block types, as in base/quant.c.
#ifndef DYNLORA_KERNELS_CPU_PANEL_H
#define DYNLORA_KERNELS_CPU_PANEL_H

#include "cpu/quant_rows.h"
#include "cpu/vec.h"

// What one block needs, by type: value = scale * q + least where q is q[] (Q4_1, Q4_K), q[] - 8 (Q4_0), or q[] signed
// (Q8_0). Q6_K: scale * group * (q[] - 32).
struct panel {
        vec_ints q[QUANT_BLOCK / 4];
        vec scale, least;
        vec_ints group[2], groups; // int16: the scale of columns 0 .. 15 twice, of 16 .. 31 twice, one of each
};

// The rows' blocks that are unpacked next.
struct panel_rows {
        const char *row[VEC];
};

// By instruction set: 16 bytes of each row, from `at` on, as four columns, and the half at `at` of each row.
VEC_INLINE void panel_columns(vec_ints to[4], const struct panel_rows *, size_t at);
VEC_INLINE vec panel_halves(const struct panel_rows *, size_t at);

#ifdef __aarch64__
#include "cpu/panel_neon.h"
#else
#include "cpu/panel_x86.h"
#endif

// The same byte in every place.
#define PANEL_BYTES(byte) ((int32_t)(0x01010101u * (byte)))

VEC_INLINE vec_ints panel_nibbles(vec_ints v, const int shift)
{
        return (v >> shift) & PANEL_BYTES(15);
}

VEC_INLINE void panel_q4_0(struct panel *p, const struct panel_rows *s)
{
        vec_ints v[4];

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
        vec_ints v[4];

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
VEC_INLINE vec panel_byte(vec_ints v, const int i)
{
        return __builtin_convertvector((v >> 8 * i) & 255, vec);
}

// The eight blocks of 256 columns. Their 6-bit scales and minima lie in three words of each row, those of the last four
// blocks with their upper two bits in the top of the first two words.
VEC_INLINE void panel_q4_k(struct panel *p, const struct panel_rows *s)
{
        const int32_t six = PANEL_BYTES(63), four = PANEL_BYTES(15), two = PANEL_BYTES(0x30);
        vec d = panel_halves(s, 0), dmin = 0.0f - panel_halves(s, 2);
        vec_ints words[4], scales[2], leasts[2];

        panel_columns(words, s, 0); // after d and dmin
        scales[0] = words[1] & six;
        leasts[0] = words[2] & six;
        scales[1] = (words[3] & four) | ((words[1] >> 2) & two);
        leasts[1] = ((words[3] >> 4) & four) | ((words[2] >> 2) & two);
        VEC_UNROLL
        for (int i = 0; i < 8; i++) {
                p[i].scale = d * panel_byte(scales[i / 4], i % 4);
                p[i].least = dmin * panel_byte(leasts[i / 4], i % 4);
        }
        VEC_KEEP_LOOP
        for (int i = 0; i < 8; i += 2) {
                vec_ints v[8];

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
VEC_INLINE vec_ints panel_upper(vec_ints low, vec_ints high, int i)
{
        vec_ints up = i < 2 ? high << (4 - 2 * i) : high >> (2 * i - 4);

        return low | (up & PANEL_BYTES(0x30));
}

// int16 pairs of what stands in the low halves of elements.
VEC_INLINE vec_ints panel_pair(vec_ints low, vec_ints high)
{
        return (low & 0xffff) | (high << 16);
}

// Four of the eight blocks of 256 columns: blocks 0 and 2 share the bytes of their nibbles, as 1 and 3 do, and all four
// those of their upper bits. scales: the int8 scales of their eight groups, columns of four.
VEC_INLINE void panel_q6_k_half(
        struct panel *p, const struct panel_rows *s, size_t low_at, size_t high_at, const vec_ints scales[2])
{
        vec_ints high[8], low[8];

        panel_columns(high, s, high_at);
        panel_columns(high + 4, s, high_at + 16);
        VEC_UNROLL
        for (int i = 0; i < 4; i++) {
                // Bytes 2 (i % 2) and the next, sign-extended to the words of each element.
                vec_ints pair = scales[i / 2] << (i % 2 ? 0 : 16), first = (pair << 8) >> 24, second = pair >> 24;

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
        vec d = panel_halves(s, 208);
        vec_ints scales[4];

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
