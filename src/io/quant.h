// Between stored element types and f32: exact readers for every dtype and round-to-nearest-even writers for f16 and
// bf16. Layouts: ggml's block types. Any thread.
#ifndef DYNLORA_IO_QUANT_H
#define DYNLORA_IO_QUANT_H

#include "dynlora/tensor.h"

// n elements (a multiple of the block) starting at src, which may be unaligned.
void quant_to_f32(float *dst, enum dyn_dtype dtype, const void *src, int64_t n);

// dtype: F32, F16 or BF16. dst aligned to its element.
void quant_from_f32(void *dst, enum dyn_dtype dtype, const float *src, int64_t n);

uint16_t quant_f32_to_bf16(float);
float quant_bf16_to_f32(uint16_t);
uint16_t quant_f32_to_f16(float);
float quant_f16_to_f32(uint16_t);

#endif
