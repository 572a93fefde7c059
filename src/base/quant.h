// Between stored element types and f32: exact readers for every dtype and round-to-nearest-even writers for f16 and
// bf16. Layouts: ggml's block types. Any thread.
#ifndef DYNLORA_BASE_QUANT_H
#define DYNLORA_BASE_QUANT_H

#include "dynlora/tensor.h"

// n elements (a multiple of the block) starting at src, which may be unaligned.
void quant_to_f32(float *dst, enum dyn_dtype dtype, const void *src, int64_t n);

// dtype: F32, F16 or BF16. dst aligned to its element.
void quant_from_f32(void *dst, enum dyn_dtype dtype, const float *src, int64_t n);

#endif
