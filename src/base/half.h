// The 16-bit float formats, number by number and inline: IEEE binary16 and bfloat16. Narrowing rounds to the nearest
// even. Without branches, so that loops over them become vectors.
#ifndef DYNLORA_BASE_HALF_H
#define DYNLORA_BASE_HALF_H

#include <stdint.h>
#include <string.h>

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

// a where the condition holds, else b: without a branch, whatever the compiler thinks of computing both.
static inline uint32_t half_choose(int condition, uint32_t a, uint32_t b)
{
        uint32_t mask = -(uint32_t)(condition != 0);

        return (a & mask) | (b & ~mask);
}

static inline float half_from_bf16(uint16_t h)
{
        return half_from_bits((uint32_t)h << 16);
}

// Adding half of what is cut off, less one when the last kept bit is even, rounds to nearest even. NaN stays NaN.
static inline uint16_t half_to_bf16(float f)
{
        uint32_t u = half_bits(f), rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;

        return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : rounded);
}

// The exponent is moved from bias 15 to 127; infinities and NaN go to the top. A subnormal half h is h units of 2^-24:
// placed as the low mantissa bits of 2^-14 (whose unit that is) and then freed of it.
static inline float half_from_f16(uint16_t h)
{
        uint32_t u = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
        uint32_t normal = u + (112u << 23) + (u >= 0x0f800000 ? 112u << 23 : 0);
        uint32_t small = half_bits(half_from_bits(u + (113u << 23)) - half_from_bits(113u << 23));

        return half_from_bits(half_choose(u < 0x00800000, small, normal) | sign);
}

// Below 2^-14 the result counts units of 2^-24, the last place of 0.5f: the addition rounds. Above, the exponent is
// moved and the cut is rounded as for bf16; what would be 65520 or more is infinite.
static inline uint16_t half_to_f16(float f)
{
        uint32_t u = half_bits(f) & 0x7fffffff, sign = half_bits(f) >> 16 & 0x8000;
        uint32_t small = half_bits(half_from_bits(u) + 0.5f) - half_bits(0.5f);
        uint32_t normal = (u - (112u << 23) + 0xfff + (u >> 13 & 1)) >> 13;
        uint32_t top = u > 0x7f800000 ? 0x7e00 | (u >> 13 & 0x3ff) : 0x7c00;

        return (uint16_t)(half_choose(u >= 0x477ff000, top, half_choose(u < 0x38800000, small, normal)) | sign);
}

#endif
