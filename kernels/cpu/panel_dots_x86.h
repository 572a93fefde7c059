// Dots of bytes by AVX-VNNI or AVX-512 VNNI where the file is compiled for them, and by pairs in 16 bits where not. For
// panel_dots.h.
#ifndef DYNLORA_KERNELS_CPU_PANEL_DOTS_X86_H
#define DYNLORA_KERNELS_CPU_PANEL_DOTS_X86_H

#include "cpu/panel_dots.h"

// 16-bit sums of two products: of a, which has no signs, with b, which has; of 16-bit a and b, in 32 bits.
VEC_INLINE vec_ints panel_maddubs(vec_ints a, vec_ints b)
{
        return (vec_ints)PANEL(maddubs_epi16)((panel_bits)a, (panel_bits)b);
}

VEC_INLINE vec_ints panel_madd(vec_ints a, vec_ints b)
{
        return (vec_ints)PANEL(madd_epi16)((panel_bits)a, (panel_bits)b);
}

VEC_INLINE vec_ints panel_add16(vec_ints a, vec_ints b)
{
        return (vec_ints)PANEL(add_epi16)((panel_bits)a, (panel_bits)b);
}

// The two 16-bit halves of every element, added.
VEC_INLINE vec_ints panel_pairs(vec_ints v)
{
        return (vec_ints)PANEL(madd_epi16)((panel_bits)v, PANEL(set1_epi16)(1));
}

#if defined __AVX512VNNI__ || defined __AVXVNNI__
VEC_INLINE vec_ints panel_dpbusd(vec_ints sum, vec_ints a, vec_ints b)
{
#ifdef __AVX512VNNI__
        return (vec_ints)_mm512_dpbusd_epi32((panel_bits)sum, (panel_bits)a, (panel_bits)b);
#else
        return (vec_ints)_mm256_dpbusd_avx_epi32((panel_bits)sum, (panel_bits)a, (panel_bits)b);
#endif
}

VEC_INLINE vec_ints panel_dots_nibbles(vec_ints sum, const vec_ints *q, const struct quant_block *x)
{
        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                sum = panel_dpbusd(sum, q[c], panel_dots_four(x, c));
        return sum;
}

// q + 128 has no sign.
VEC_INLINE vec_ints panel_dots_bytes(const vec_ints *q, const struct quant_block *x)
{
        vec_ints sum = panel_dots_set(x->sum8 * 16);

        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                sum = panel_dpbusd(sum, q[c] ^ PANEL_BYTES(0x80u), panel_dots_four(x, c));
        return sum;
}
#else
// At most 8 * 2 * 15 * 127 stands in 16 bits.
VEC_INLINE vec_ints panel_dots_nibbles(vec_ints sum, const vec_ints *q, const struct quant_block *x)
{
        vec_ints even = panel_maddubs(q[0], panel_dots_four(x, 0)), odd = panel_maddubs(q[1], panel_dots_four(x, 1));

        VEC_UNROLL
        for (int c = 2; c < 8; c += 2) {
                even = panel_add16(even, panel_maddubs(q[c], panel_dots_four(x, c)));
                odd = panel_add16(odd, panel_maddubs(q[c + 1], panel_dots_four(x, c + 1)));
        }
        return sum + panel_pairs(panel_add16(even, odd));
}

// maddubs wants one side without sign: |q| <= 128 by x with the sign of q is within 16 bits for two products, since no
// x is -128.
VEC_INLINE vec_ints panel_dots_bytes(const vec_ints *q, const struct quant_block *x)
{
        vec_ints sum = {0};

        VEC_UNROLL
        for (int c = 0; c < 8; c++) {
                panel_bits by = (panel_bits)q[c], four = (panel_bits)panel_dots_four(x, c);

                sum += panel_pairs((vec_ints)PANEL(maddubs_epi16)(PANEL(abs_epi8)(by), PANEL(sign_epi8)(four, by)));
        }
        return sum;
}
#endif

// 16 bits hold two products of maddubs.
VEC_INLINE vec_ints panel_dots_sixes(const struct panel *p, const struct quant_block *x)
{
        vec_ints sum = {0};
        int32_t halves;

        memcpy(&halves, x->half, sizeof halves);
        VEC_UNROLL
        for (int c = 0; c < 8; c += 2) {
                vec_ints two = panel_add16(panel_maddubs(p->q[c], panel_dots_four(x, c)),
                        panel_maddubs(p->q[c + 1], panel_dots_four(x, c + 1)));

                sum += panel_madd(two, p->group[c / 4]);
        }
        return sum - (panel_madd(p->groups, panel_dots_set(halves)) << 5);
}

#endif
