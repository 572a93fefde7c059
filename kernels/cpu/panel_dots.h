// Integer dots of a panel's block with a block of x, exact whatever the instructions are, and what they add to the sums
// of its rows. For quant_dots.c.
#ifndef DYNLORA_KERNELS_CPU_PANEL_DOTS_H
#define DYNLORA_KERNELS_CPU_PANEL_DOTS_H

#include "cpu/panel.h"

#if defined __AVX512VNNI__
#define PANEL_VNNI
#define PANEL_DPBUSD _mm512_dpbusd_epi32
#elif defined __AVXVNNI__
#define PANEL_VNNI
#define PANEL_DPBUSD _mm256_dpbusd_avx_epi32
#endif

// Four bytes of x for every output.
VEC_INLINE panel_ints panel_dots_four(const struct quant_block *x, int c)
{
        int32_t four;

        memcpy(&four, x->q + (size_t)c * 4, sizeof four);
        return PANEL(set1_epi32)(four);
}

// sum + the dots of q (0 .. 15) with x. At most 8 * 2 * 15 * 127 stands in 16 bits.
VEC_INLINE panel_ints panel_dots_nibbles(panel_ints sum, const panel_ints *q, const struct quant_block *x)
{
#ifdef PANEL_VNNI
        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                sum = PANEL_DPBUSD(sum, q[c], panel_dots_four(x, c));
        return sum;
#else
        panel_ints even = PANEL(maddubs_epi16)(q[0], panel_dots_four(x, 0)),
                   odd = PANEL(maddubs_epi16)(q[1], panel_dots_four(x, 1));

        VEC_UNROLL
        for (int c = 2; c < 8; c += 2) {
                even = PANEL(add_epi16)(even, PANEL(maddubs_epi16)(q[c], panel_dots_four(x, c)));
                odd = PANEL(add_epi16)(odd, PANEL(maddubs_epi16)(q[c + 1], panel_dots_four(x, c + 1)));
        }
        return PANEL(add_epi32)(sum, PANEL(madd_epi16)(PANEL(add_epi16)(even, odd), PANEL(set1_epi16)(1)));
#endif
}

// The dots of q (signed) with x. maddubs wants one side without sign: |q| <= 128 by x with the sign of q is within 16
// bits for two products, since no x is -128.
VEC_INLINE panel_ints panel_dots_bytes(const panel_ints *q, const struct quant_block *x)
{
#ifdef PANEL_VNNI
        panel_ints sum = PANEL(slli_epi32)(PANEL(set1_epi32)(x->sum8), 4);

        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                sum = PANEL_DPBUSD(sum, q[c] ^ PANEL(set1_epi8)(-128), panel_dots_four(x, c));
        return sum;
#else
        panel_ints sum = PANEL(set1_epi32)(0);

        VEC_UNROLL
        for (int c = 0; c < 8; c++) {
                panel_ints two =
                        PANEL(maddubs_epi16)(PANEL(abs_epi8)(q[c]), PANEL(sign_epi8)(panel_dots_four(x, c), q[c]));

                sum = PANEL(add_epi32)(sum, PANEL(madd_epi16)(two, PANEL(set1_epi16)(1)));
        }
        return sum;
#endif
}

// The sum over both groups of group * the dots of q (0 .. 63) less 32 with x. 16 bits hold two products of maddubs.
VEC_INLINE panel_ints panel_dots_sixes(const struct panel *p, const struct quant_block *x)
{
        panel_ints sum = PANEL(set1_epi32)(0);
        int32_t halves;

        memcpy(&halves, x->half, sizeof halves);
        VEC_UNROLL
        for (int c = 0; c < 8; c += 2) {
                panel_ints two = PANEL(add_epi16)(PANEL(maddubs_epi16)(p->q[c], panel_dots_four(x, c)),
                        PANEL(maddubs_epi16)(p->q[c + 1], panel_dots_four(x, c + 1)));

                sum = PANEL(add_epi32)(sum, PANEL(madd_epi16)(two, p->group[c / 4]));
        }
        panel_ints base = PANEL(madd_epi16)(p->groups, PANEL(set1_epi32)(halves));

        return PANEL(sub_epi32)(sum, PANEL(slli_epi32)(base, 5));
}

// acc + a block of the panel times one of x.
VEC_INLINE panel_floats panel_dots(
        const enum dyn_dtype dtype, panel_floats acc, const struct panel *p, const struct quant_block *x)
{
        panel_ints dots;

        if (dtype == DYN_Q8_0)
                dots = panel_dots_bytes(p->q, x);
        else if (dtype == DYN_Q6_K)
                dots = panel_dots_sixes(p, x);
        else
                dots = panel_dots_nibbles(
                        dtype == DYN_Q4_0 ? PANEL(set1_epi32)(x->sum8) : PANEL(set1_epi32)(0), p->q, x);
        acc = PANEL(fmadd_ps)(PANEL(cvtepi32_ps)(dots), PANEL(mul_ps)(p->scale, PANEL(set1_ps)(x->scale)), acc);
        if (dtype == DYN_Q4_1 || dtype == DYN_Q4_K)
                acc = PANEL(fmadd_ps)(p->least, PANEL(set1_ps)(x->sum), acc);
        return acc;
}

#endif
