// Vectors of four floats: the Advanced SIMD that every ARMv8 processor has. A wider vector would be two registers, and
// a tile of more vectors is as well. What each name means is in vec.h.
#ifndef DYNLORA_KERNELS_CPU_VEC_NEON_H
#define DYNLORA_KERNELS_CPU_VEC_NEON_H

#include <arm_neon.h>

#define VEC 4

#define VEC_REGISTER "+w"

typedef float32x4_t vec;
typedef int32x4_t vec_ints;

VEC_INLINE vec vec_set1(float f)
{
        return vdupq_n_f32(f);
}

VEC_INLINE vec vec_read(const float *p)
{
        return vld1q_f32(p);
}

VEC_INLINE void vec_write(float *p, vec v)
{
        vst1q_f32(p, v);
}

VEC_INLINE vec vec_read_f16(const void *p)
{
        return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

VEC_INLINE vec vec_read_bf16(const void *p, const bool spare)
{
        return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

VEC_INLINE uint16x4_t vec_f16(vec v)
{
        return vreinterpret_u16_f16(vcvt_f16_f32(v));
}

VEC_INLINE void vec_write_f16(uint16_t *p, vec v)
{
        vst1_u16(p, vec_f16(v));
}

VEC_INLINE void vec_write_i8(int8_t *p, vec v)
{
        int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(v));
        int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));

        memcpy(p, &bytes, VEC);
}

VEC_INLINE void vec_put(float *p, vec v, bool stream)
{
        vst1q_f32(p, v);
}

VEC_INLINE uint16x4_t vec_bf16(vec v)
{
        uint32x4_t bits = vreinterpretq_u32_f32(v), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));

        return vshrn_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16);
}

VEC_INLINE void vec_put_halves(void *p, enum dyn_dtype dtype, vec a, vec b, bool stream)
{
        uint16x4_t low = dtype == DYN_F16 ? vec_f16(a) : vec_bf16(a);
        uint16x4_t high = dtype == DYN_F16 ? vec_f16(b) : vec_bf16(b);

        vst1q_u16(p, vcombine_u16(low, high));
}

VEC_INLINE void vec_fence(void)
{
}

VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
        return vfmaq_f32(c, a, b);
}

VEC_INLINE vec vec_fms(vec a, vec b, vec c)
{
        return vfmaq_f32(vnegq_f32(c), a, b);
}

VEC_INLINE vec vec_fnma(vec a, vec b, vec c)
{
        return vfmsq_f32(c, a, b);
}

VEC_INLINE vec vec_max(vec a, vec b)
{
        return vmaxq_f32(a, b);
}

VEC_INLINE vec vec_min(vec a, vec b)
{
        return vminq_f32(a, b);
}

VEC_INLINE vec vec_round(vec v)
{
        return vrndnq_f32(v);
}

// Each as (0 + 1) + (2 + 3).
VEC_INLINE void vec_sum4(float sums[4], vec a, vec b, vec c, vec d)
{
        vst1q_f32(sums, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}

VEC_INLINE float vec_largest(vec v)
{
        return vmaxvq_f32(v);
}

VEC_INLINE vec_ints vec_ints_max(vec_ints a, vec_ints b)
{
        return vmaxq_s32(a, b);
}

VEC_INLINE int32_t vec_ints_largest(vec_ints v)
{
        return vmaxvq_s32(v);
}

#endif
