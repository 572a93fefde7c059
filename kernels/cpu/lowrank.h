// The two halves of a low-rank patch, for a part of its ranks or outputs: what lowrank and linear are spread over the
// team by. The bits of an output do not depend on how the work is cut.
#ifndef DYNLORA_KERNELS_CPU_LOWRANK_H
#define DYNLORA_KERNELS_CPU_LOWRANK_H

#include "cpu/isa.h"
#include "dynlora/backend.h"

// v[i][r] = A[first + r] . x[i] for n ranks. x: (n_rows, n_in), v: (n_rows, n), v_step elements from row to row.
void lowrank_shrink(const struct dyn_lowrank *, float *v, size_t v_step, const float *x, int n_rows, int first, int n);

// y[i][o] += weight * scale * B[o] . v[i] over all ranks, for n_out outputs from o on, o a multiple of TILE_COLUMNS.
// y: (n_rows, patch's n_out), v: (n_rows, rank).
void lowrank_expand(const struct dyn_term *, float *y, const float *v, size_t v_step, int n_rows, int o, int n_out);

#endif
