// Integer dots of a panel's block with a block of x, exact whatever the instructions are, and what they add to the sums
// of its rows. For quant_dots.c.
#ifndef DYNLORA_KERNELS_CPU_PANEL_DOTS_H
#define DYNLORA_KERNELS_CPU_PANEL_DOTS_H

#include "cpu/panel.h"

VEC_INLINE vec_ints panel_dots_set(int32_t i)
{
        return i - (vec_ints){0};
}

// Four bytes of x for every output.
VEC_INLINE vec_ints panel_dots_four(const struct quant_block *x, int c)
{
        int32_t four;

        memcpy(&four, x->q + (size_t)c * 4, sizeof four);
        return panel_dots_set(four);
}

// By instruction set: sum + the dots of q (0 .. 15) with x; the dots of q (signed) with x; the sum over both groups of
// group * the dots of q (0 .. 63) less 32 with x.
VEC_INLINE vec_ints panel_dots_nibbles(vec_ints sum, const vec_ints *q, const struct quant_block *x);
VEC_INLINE vec_ints panel_dots_bytes(const vec_ints *q, const struct quant_block *x);
VEC_INLINE vec_ints panel_dots_sixes(const struct panel *, const struct quant_block *x);

#ifdef __aarch64__
#include "cpu/panel_dots_neon.h"
#else
#include "cpu/panel_dots_x86.h"
#endif

// acc + a block of the panel times one of x.
VEC_INLINE vec panel_dots(const enum dyn_dtype dtype, vec acc, const struct panel *p, const struct quant_block *x)
{
        vec_ints dots;

        if (dtype == DYN_Q8_0)
                dots = panel_dots_bytes(p->q, x);
        else if (dtype == DYN_Q6_K)
                dots = panel_dots_sixes(p, x);
        else
                dots = panel_dots_nibbles(panel_dots_set(dtype == DYN_Q4_0 ? x->sum8 : 0), p->q, x);
        acc = vec_fma(__builtin_convertvector(dots, vec), p->scale * x->scale, acc);
        if (dtype == DYN_Q4_1 || dtype == DYN_Q4_K)
                acc = vec_fma(p->least, vec_set1(x->sum), acc);
        return acc;
}

#endif
