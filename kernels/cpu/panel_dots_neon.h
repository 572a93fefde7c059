// Dots of bytes by the instruction for them where the file is compiled for it, and by widening products where not. For
// panel_dots.h.
#ifndef DYNLORA_KERNELS_CPU_PANEL_DOTS_NEON_H
#define DYNLORA_KERNELS_CPU_PANEL_DOTS_NEON_H

#include "cpu/panel_dots.h"

// sum + four products of each element.
VEC_INLINE vec_ints panel_dots_add(vec_ints sum, vec_ints q, vec_ints x)
{
        int8x16_t a = vreinterpretq_s8_s32(q), b = vreinterpretq_s8_s32(x);

#ifdef __ARM_FEATURE_DOTPROD
        return vdotq_s32(sum, a, b);
#else
        int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);

        return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

VEC_INLINE vec_ints panel_dots_nibbles(vec_ints sum, const vec_ints *q, const struct quant_block *x)
{
        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                sum = panel_dots_add(sum, q[c], panel_dots_four(x, c));
        return sum;
}

VEC_INLINE vec_ints panel_dots_bytes(const vec_ints *q, const struct quant_block *x)
{
        return panel_dots_nibbles((vec_ints){0}, q, x);
}

VEC_INLINE vec_ints panel_dots_sixes(const struct panel *p, const struct quant_block *x)
{
        vec_ints dots[2] = {{0}, {0}}, first = (p->groups << 16) >> 16, second = p->groups >> 16;

        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                dots[c / 4] = panel_dots_add(dots[c / 4], p->q[c], panel_dots_four(x, c));
        return first * (dots[0] - 32 * x->half[0]) + second * (dots[1] - 32 * x->half[1]);
}

#endif
