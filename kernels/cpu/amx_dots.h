// The inner loop of gemm over bf16 weights where the processor has tiles (AMX, since 2023's Xeons): W as it lies times
// rows of x that amx_rows has prepared. Ten times the products of AVX2 in a second, so that reading W takes the time
// for up to some fifty rows.
//
// An output is summed over blocks of AMX_INS elements in order, and in each over the three parts of x: so its bits
// depend neither on the rows beside it nor on the tile it falls in. Source: Intel, "Architecture Instruction Set
// Extensions Programming Reference", chapter 3 (TDPBF16PS).
#ifndef DYNLORA_KERNELS_CPU_AMX_DOTS_H
#define DYNLORA_KERNELS_CPU_AMX_DOTS_H

#include <stdbool.h>
#include <stddef.h>

// y[t][o] = w[o] . x[t] for o < n_out, t < n_rows.
struct amx_dots {
        const void *w;  // (n_out, n_in) of bf16
        size_t w_bytes; // from one row of w to the next
        const void *x;  // n_rows rows from amx_rows
        float *y;       // (n_rows, n_out)
        size_t y_step;  // elements
        int n_in, n_out, n_rows;
};

void amx_dots(const struct amx_dots *);

// Whether the processor has tiles of bf16; asks the system, once for the process, to let its threads use them.
bool amx_dots_enable(void);

#endif
