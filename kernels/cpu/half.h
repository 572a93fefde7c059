// The 16-bit float formats, element by element, in plain C: IEEE binary16 and bfloat16. Narrowing rounds to the nearest
// even.
#ifndef DYNLORA_KERNELS_CPU_HALF_H
#define DYNLORA_KERNELS_CPU_HALF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dynlora/tensor.h"

static inline float half_from_bits(uint32_t bits)
{
        float f;

        memcpy(&f, &bits, sizeof f);
        return f;
}

static inline uint32_t half_bits(float f)
{
        uint32_t bits;

        memcpy(&bits, &f, sizeof bits);
        return bits;
}

static inline float half_from_bf16(uint16_t h)
{
        return half_from_bits((uint32_t)h << 16);
}

// Shifted into place the exponent is 112 too small; the product mends that for denormals too.
static inline float half_from_f16(uint16_t h)
{
        uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
        uint32_t bits = half_bits(half_from_bits(rest) * 0x1p112f);

        if (rest >= 0x7c00 << 13)
                bits = rest | 0x7f800000;
        return half_from_bits(bits | sign);
}

static inline uint16_t half_to_f16(float f)
{
        uint32_t bits = half_bits(f), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;

        if (rest > 0x7f800000)
                return (uint16_t)(sign | 0x7e00);
        if (rest >= 0x47800000) // 65536: beyond what rounds to a finite value
                return (uint16_t)(sign | 0x7c00);
        if (rest < 0x38800000) // below 2^-14 a step is 2^-24, as it is for floats in 0.5 .. 1
                return (uint16_t)(sign | (half_bits(half_from_bits(rest) + 0.5f) - 0x3f000000));
        rest += 0xfff + (rest >> 13 & 1);
        return (uint16_t)(sign | (rest - (112u << 23)) >> 13);
}

static inline uint16_t half_to_bf16(float f)
{
        uint32_t bits = half_bits(f);

        if ((bits & 0x7fffffff) > 0x7f800000)
                return (uint16_t)(bits >> 16 | 0x40);
        return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Element i of plain data that may be aligned to its element only. Inlined with a constant dtype it is one load.
static inline __attribute__((always_inline)) float half_load(const void *p, enum dyn_dtype dtype, size_t i)
{
        if (dtype == DYN_F32)
                return ((const float *)p)[i];
        if (dtype == DYN_F16)
                return half_from_f16(((const uint16_t *)p)[i]);
        return half_from_bf16(((const uint16_t *)p)[i]);
}

static inline void half_store(void *p, enum dyn_dtype dtype, size_t i, float f)
{
        if (dtype == DYN_F32)
                ((float *)p)[i] = f;
        else
                ((uint16_t *)p)[i] = dtype == DYN_F16 ? half_to_f16(f) : half_to_bf16(f);
}

#endif
