// The two inner loops that gemm, low-rank patches and attention are made of: dot products of rows with rows, and sums
// of scaled rows. Each output is accumulated in an order of its own that its length alone fixes: VEC lanes in steps
// of VEC and one tree for dots, term by term for sums; so neither the tile that an output falls in nor the rows
// beside it show in its bits. Matrices are of a plain dtype and need not be aligned beyond their element.
#ifndef DYNLORA_KERNELS_CPU_TILE_H
#define DYNLORA_KERNELS_CPU_TILE_H

#include <stddef.h>

#include "cpu/isa.h"
#include "dynlora/tensor.h"

// y[t][o] = w[o] . x[t] for o < n_out, t < n_rows.
struct tile_dots {
        const void *w;  // (n_out, n)
        size_t w_bytes; // from one row of w to the next
        const float *x; // (n_rows, n)
        size_t x_step;  // elements, as y_step
        float *y;       // (n_rows, n_out)
        size_t y_step;
        int n, n_out, n_rows;
};

// Fetches what is TILE_AHEAD behind the byte of w that is used: measured best for one large matrix that is in no cache.
void tile_dots(enum dyn_dtype, const struct tile_dots *);
#define TILE_AHEAD 1024

// Columns of a block of b below.
#define TILE_COLUMNS 64

// y[t] += scale * sum over r of c[t][r] b[r], for t < n_rows.
struct tile_sums {
        const void *b;      // (n, n_out), in blocks of TILE_COLUMNS columns
        size_t b_bytes;     // from one row of a block to the next
        size_t block_bytes; // from one block to the next
        const float *c;     // (n_rows, n)
        size_t c_step;      // elements, as y_step
        float *y;           // (n_rows, n_out)
        size_t y_step;
        float scale;
        int n, n_out, n_rows;
        ptrdiff_t ahead; // what is fetched while a byte of b is used: the one this far behind it
};

void tile_sums(enum dyn_dtype, const struct tile_sums *);

#endif
