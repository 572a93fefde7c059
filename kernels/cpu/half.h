// Elements of plain data, one by one.
#ifndef DYNLORA_KERNELS_CPU_HALF_H
#define DYNLORA_KERNELS_CPU_HALF_H

#include <stddef.h>
#include <stdint.h>

#include "base/half.h"
#include "dynlora/tensor.h"

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
