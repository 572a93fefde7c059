// The inner loop of gemm over quantised weights: four, eight or sixteen rows of W are unpacked beside each other, a
// column of four bytes of all in a vector, so that integer dots of a block come out in its lanes, one for each output.
// Weights are read as ggml's blocks lie in the checkpoint; nothing is repacked at load.
//
// An output is the sum over its blocks, in order, of scale * (exact integer dot) + least * (sum of x), in f32 with
// fused multiply-adds. That is all of the rounding, so the bits depend neither on the tile nor on the instructions.
#ifndef DYNLORA_KERNELS_CPU_QUANT_DOTS_H
#define DYNLORA_KERNELS_CPU_QUANT_DOTS_H

#include "cpu/quant_rows.h"
#include "dynlora/tensor.h"

// y[t][o] = w[o] . x[t] for o < n_out, t < n_rows.
struct quant_dots {
        const char *w;               // (n_out, n_blocks * QUANT_BLOCK) as stored
        size_t w_bytes;              // from one row of w to the next
        const struct quant_block *x; // (n_rows, n_blocks)
        float *y;                    // (n_rows, n_out)
        size_t y_step;               // elements
        int n_blocks, n_out, n_rows;
};

typedef void quant_dots_of(enum dyn_dtype, const struct quant_dots *);

// For AVX2, for AVX2 with AVX-VNNI, for AVX-512 with VNNI, for every aarch64 and for those with dot products of bytes.
// Which of them this processor runs: quant_loops.h.
quant_dots_of quant_dots_avx2, quant_dots_vnni, quant_dots_avx512, quant_dots_neon, quant_dots_dotprod;

#endif
