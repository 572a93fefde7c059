// Some outputs of y = W x: what gemm and linear are spread over the team by.
#ifndef DYNLORA_KERNELS_CPU_GEMM_H
#define DYNLORA_KERNELS_CPU_GEMM_H

#include "cpu/isa.h"
#include "cpu/quant_dots.h"
#include "dynlora/backend.h"

// What an element of x costs to quantise, about, in nanoseconds.
#define QUANT_NS 0.15

// Outputs first .. first + n - 1 of all rows. quantised: x again for weights that are, (n_rows, n_in / QUANT_BLOCK).
void gemm_outputs(const struct dyn_device *, const struct dyn_weight *, float *y, const float *x,
        const struct quant_block *quantised, int n_rows, int first, int n);

// How many outputs make one item of a loop.
int gemm_block(const struct dyn_device *, const struct dyn_weight *);

#endif
