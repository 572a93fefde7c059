#include "base/quant.h"

#include <assert.h>
#include <string.h>

#include "base/half.h"

// One reader for each element type: n_blocks blocks at p into dst. Loops run over a whole block with fixed bounds and
// without branches, so that the compiler vectorises them. The order of operations is ggml's (reference dequantisers in
// ggml-quants.c), so that results agree to the bit; the build forbids fused multiply-adds.

static inline float half_at(const uint8_t *p)
{
        uint16_t h;

        memcpy(&h, p, sizeof h);
        return half_from_f16(h);
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
                dst[i] = half_from_f16(h);
        }
}

static void read_bf16(float *restrict dst, const uint8_t *restrict p, int64_t n)
{
        for (int64_t i = 0; i < n; i++) {
                uint16_t h;

                memcpy(&h, p + 2 * i, sizeof h);
                dst[i] = half_from_bf16(h);
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
                        h[i] = half_to_f16(src[i]);
        else
                for (int64_t i = 0; i < n; i++)
                        h[i] = half_to_bf16(src[i]);
}
