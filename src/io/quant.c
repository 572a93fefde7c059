#include "io/quant.h"

#include <assert.h>
#include <string.h>

// One reader for each element type: n_blocks blocks at p into dst. Loops run over a whole block with fixed bounds and
// without branches, so that the compiler vectorises them. The order of operations is ggml's (reference dequantisers in
// ggml-quants.c), so that results agree to the bit; the build forbids fused multiply-adds.

static inline float as_float(uint32_t bits)
{
        float f;

        memcpy(&f, &bits, sizeof f);
        return f;
}

static inline uint32_t as_bits(float f)
{
        uint32_t bits;

        memcpy(&bits, &f, sizeof bits);
        return bits;
}

// a where the condition holds, else b: without a branch, whatever the compiler thinks of computing both.
static inline uint32_t choose(int condition, uint32_t a, uint32_t b)
{
        uint32_t mask = -(uint32_t)(condition != 0);

        return (a & mask) | (b & ~mask);
}

// Plain types
// ---------------------------------------------------------------------------------------------------------------

float quant_bf16_to_f32(uint16_t h)
{
        return as_float((uint32_t)h << 16);
}

// Adding half of what is cut off, less one when the last kept bit is even, rounds to nearest even. NaN stays NaN.
static inline uint16_t to_bf16(float f)
{
        uint32_t u = as_bits(f), rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;

        return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : rounded);
}

uint16_t quant_f32_to_bf16(float f)
{
        return to_bf16(f);
}

// The exponent is moved from bias 15 to 127; infinities and NaN go to the top. A subnormal half h is h units of 2^-24:
// placed as the low mantissa bits of 2^-14 (whose unit that is) and then freed of it.
static inline float from_f16(uint16_t h)
{
        uint32_t u = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
        uint32_t normal = u + (112u << 23) + (u >= 0x0f800000 ? 112u << 23 : 0);
        uint32_t small = as_bits(as_float(u + (113u << 23)) - as_float(113u << 23));

        return as_float(choose(u < 0x00800000, small, normal) | sign);
}

float quant_f16_to_f32(uint16_t h)
{
        return from_f16(h);
}

// Below 2^-14 the result counts units of 2^-24, the last place of 0.5f: the addition rounds. Above, the exponent is
// moved and the cut is rounded as for bf16; what would be 65520 or more is infinite.
static inline uint16_t to_f16(float f)
{
        uint32_t u = as_bits(f) & 0x7fffffff, sign = as_bits(f) >> 16 & 0x8000;
        uint32_t small = as_bits(as_float(u) + 0.5f) - as_bits(0.5f);
        uint32_t normal = (u - (112u << 23) + 0xfff + (u >> 13 & 1)) >> 13;
        uint32_t top = u > 0x7f800000 ? 0x7e00 | (u >> 13 & 0x3ff) : 0x7c00;

        return (uint16_t)(choose(u >= 0x477ff000, top, choose(u < 0x38800000, small, normal)) | sign);
}

uint16_t quant_f32_to_f16(float f)
{
        return to_f16(f);
}

static inline float half_at(const uint8_t *p)
{
        uint16_t h;

        memcpy(&h, p, sizeof h);
        return from_f16(h);
}

static void read_f32(float *restrict dst, const uint8_t *restrict p, int64_t n)
{
        memcpy(dst, p, (size_t)n * sizeof *dst);
}

static void read_f16(float *restrict dst, const uint8_t *restrict p, int64_t n)
{
        for (int64_t i = 0; i < n; i++) {
                uint16_t h;

                memcpy(&h, p + 2 * i, sizeof h);
                dst[i] = from_f16(h);
        }
}

static void read_bf16(float *restrict dst, const uint8_t *restrict p, int64_t n)
{
        for (int64_t i = 0; i < n; i++) {
                uint16_t h;

                memcpy(&h, p + 2 * i, sizeof h);
                dst[i] = as_float((uint32_t)h << 16);
        }
}

// Blocks of 32: a scale, perhaps a minimum, then 4, 5 or 8 bits an element. Byte j of the low nibbles holds elements j
// and j + 16; the fifth bits stand together in one word.
// ---------------------------------------------------------------------------------------------------------------

static void read_q4_0(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; dst += 32, p += 18) {
                float d = half_at(p);

                for (int j = 0; j < 16; j++) {
                        dst[j] = (float)((p[2 + j] & 15) - 8) * d;
                        dst[j + 16] = (float)((p[2 + j] >> 4) - 8) * d;
                }
        }
}

static void read_q4_1(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; dst += 32, p += 20) {
                float d = half_at(p), least = half_at(p + 2);

                for (int j = 0; j < 16; j++) {
                        dst[j] = (float)(p[4 + j] & 15) * d + least;
                        dst[j + 16] = (float)(p[4 + j] >> 4) * d + least;
                }
        }
}

static inline uint32_t word_at(const uint8_t *p)
{
        uint32_t w;

        memcpy(&w, p, sizeof w);
        return w;
}

static void read_q5_0(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; dst += 32, p += 22) {
                float d = half_at(p);
                uint32_t high = word_at(p + 2);

                for (int j = 0; j < 16; j++) {
                        dst[j] = (float)((int)((p[6 + j] & 15) | (high >> j & 1) << 4) - 16) * d;
                        dst[j + 16] = (float)((int)(p[6 + j] >> 4 | (high >> (j + 16) & 1) << 4) - 16) * d;
                }
        }
}

static void read_q5_1(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; dst += 32, p += 24) {
                float d = half_at(p), least = half_at(p + 2);
                uint32_t high = word_at(p + 4);

                for (int j = 0; j < 16; j++) {
                        dst[j] = (float)(int)((p[8 + j] & 15) | (high >> j & 1) << 4) * d + least;
                        dst[j + 16] = (float)(int)(p[8 + j] >> 4 | (high >> (j + 16) & 1) << 4) * d + least;
                }
        }
}

static void read_q8_0(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; dst += 32, p += 34) {
                float d = half_at(p);

                for (int j = 0; j < 32; j++)
                        dst[j] = (float)(int8_t)p[2 + j] * d;
        }
}

// Blocks of 256, in groups of 32 (Q6_K: 16) with a scale and minimum of their own, which are quantised too
// ---------------------------------------------------------------------------------------------------------------

// Scale and minimum of group i of 8: 6 bits each, packed in 12 bytes; the last four groups keep their upper 2 bits in
// the top of the first eight bytes.
static inline void group_scale(const uint8_t *s, int i, int *scale, int *least)
{
        if (i < 4) {
                *scale = s[i] & 63;
                *least = s[i + 4] & 63;
        } else {
                *scale = (s[i + 4] & 15) | s[i - 4] >> 6 << 4;
                *least = s[i + 4] >> 4 | s[i] >> 6 << 4;
        }
}

static void read_q4_k(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; p += 144) {
                float d = half_at(p), dmin = half_at(p + 2);

                for (int i = 0; i < 8; i++, dst += 32) {
                        const uint8_t *q = p + 16 + i / 2 * 32;
                        int shift = i % 2 * 4, scale, least;

                        group_scale(p + 4, i, &scale, &least);
                        float step = d * (float)scale, base = dmin * (float)least;

                        for (int j = 0; j < 32; j++)
                                dst[j] = step * (float)(q[j] >> shift & 15) - base;
                }
        }
}

static void read_q5_k(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; p += 176) {
                float d = half_at(p), dmin = half_at(p + 2);
                const uint8_t *high = p + 16;

                for (int i = 0; i < 8; i++, dst += 32) {
                        const uint8_t *q = p + 48 + i / 2 * 32;
                        int shift = i % 2 * 4, scale, least;

                        group_scale(p + 4, i, &scale, &least);
                        float step = d * (float)scale, base = dmin * (float)least;

                        for (int j = 0; j < 32; j++)
                                dst[j] = step * (float)((q[j] >> shift & 15) + (high[j] >> i & 1) * 16) - base;
                }
        }
}

// Group i of 16 (16 elements). Each half of the block has 64 bytes of low nibbles, a byte serving two elements 64
// apart, and 32 bytes of upper bits, a byte serving four elements 32 apart.
static void read_q6_k(float *restrict dst, const uint8_t *restrict p, int64_t n_blocks)
{
        for (; n_blocks-- > 0; p += 210) {
                float d = half_at(p + 208);

                for (int i = 0; i < 16; i++, dst += 16) {
                        const uint8_t *low = p + i / 8 * 64 + i % 4 * 16, *high = p + 128 + i / 8 * 32 + i % 2 * 16;
                        float step = d * (float)(int8_t)p[192 + i];
                        int nibble = i % 8 / 4 * 4, pair = i % 8 / 2 * 2;

                        for (int j = 0; j < 16; j++)
                                dst[j] = step * (float)(((low[j] >> nibble & 15) | (high[j] >> pair & 3) << 4) - 32);
                }
        }
}

void quant_to_f32(float *dst, enum dyn_dtype dtype, const void *src, int64_t n)
{
        static void (*const readers[DYN_N_DTYPES])(float *restrict, const uint8_t *restrict, int64_t) = {
                [DYN_F32] = read_f32,
                [DYN_F16] = read_f16,
                [DYN_BF16] = read_bf16,
                [DYN_Q4_0] = read_q4_0,
                [DYN_Q4_1] = read_q4_1,
                [DYN_Q5_0] = read_q5_0,
                [DYN_Q5_1] = read_q5_1,
                [DYN_Q8_0] = read_q8_0,
                [DYN_Q4_K] = read_q4_k,
                [DYN_Q5_K] = read_q5_k,
                [DYN_Q6_K] = read_q6_k,
        };

        assert(n >= 0 && n % dyn_dtype_block(dtype) == 0);
        readers[dtype](dst, src, n / dyn_dtype_block(dtype));
}

void quant_from_f32(void *dst, enum dyn_dtype dtype, const float *src, int64_t n)
{
        uint16_t *restrict h = dst;

        assert(dtype == DYN_F32 || dtype == DYN_F16 || dtype == DYN_BF16);
        if (dtype == DYN_F32)
                memcpy(dst, src, (size_t)n * sizeof *src);
        else if (dtype == DYN_F16)
                for (int64_t i = 0; i < n; i++)
                        h[i] = to_f16(src[i]);
        else
                for (int64_t i = 0; i < n; i++)
                        h[i] = to_bf16(src[i]);
}
