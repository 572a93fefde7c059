// Activations for the integer dot products with quantised weights: each 32 numbers of a row as int8 and a scale. The
// same form serves every type of weights, so rows are brought to it once for a gemm.
#ifndef DYNLORA_KERNELS_CPU_QUANT_ROWS_H
#define DYNLORA_KERNELS_CPU_QUANT_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/isa.h"

#define QUANT_BLOCK 32

// x[k] is about scale * q[k]. scale = max |x| / 127, q = x * (127 / max |x|) rounded to the nearest even. A block
// whose numbers are all below 2^-100 is zero; one with a NaN or an infinity has a scale that is none either.
struct quant_block {
        float scale;
        float sum;       // scale * (the sum of q)
        int32_t sum8;    // -8 * (the sum of q)
        int16_t half[2]; // the sums of q over 16 each
        int8_t q[QUANT_BLOCK];
};

// x: (n), a multiple of QUANT_BLOCK; to: (n / QUANT_BLOCK)
void quant_rows(struct quant_block *to, const float *x, size_t n);

#endif
