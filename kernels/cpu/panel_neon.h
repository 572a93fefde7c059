// How four rows come beside each other. For panel.h.
#ifndef DYNLORA_KERNELS_CPU_PANEL_NEON_H
#define DYNLORA_KERNELS_CPU_PANEL_NEON_H

#include "cpu/panel.h"

VEC_INLINE int32x4_t panel_lane(const struct panel_rows *s, int i, size_t at)
{
        return vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)s->row[i] + at));
}

VEC_INLINE void panel_columns(vec_ints to[4], const struct panel_rows *s, size_t at)
{
        int32x4_t a = panel_lane(s, 0, at), b = panel_lane(s, 1, at), c = panel_lane(s, 2, at),
                  d = panel_lane(s, 3, at);
        int64x2_t ab = vreinterpretq_s64_s32(vzip1q_s32(a, b)), cd = vreinterpretq_s64_s32(vzip1q_s32(c, d));
        int64x2_t ab2 = vreinterpretq_s64_s32(vzip2q_s32(a, b)), cd2 = vreinterpretq_s64_s32(vzip2q_s32(c, d));

        to[0] = vreinterpretq_s32_s64(vzip1q_s64(ab, cd));
        to[1] = vreinterpretq_s32_s64(vzip2q_s64(ab, cd));
        to[2] = vreinterpretq_s32_s64(vzip1q_s64(ab2, cd2));
        to[3] = vreinterpretq_s32_s64(vzip2q_s64(ab2, cd2));
}

VEC_INLINE vec panel_halves(const struct panel_rows *s, size_t at)
{
        uint16_t h[4];

        VEC_UNROLL
        for (int i = 0; i < 4; i++)
                memcpy(&h[i], s->row[i] + at, sizeof h[i]);
        return vec_read_f16(h);
}

#endif
