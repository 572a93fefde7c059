// The two inner loops that gemm, low-rank patches and attention share: a tile of dot products, and sums of scaled rows.
// Each output is accumulated in an order of its own, fixed by the length alone, whatever tile it is in.
#ifndef DYNLORA_KERNELS_CPU_TILE_H
#define DYNLORA_KERNELS_CPU_TILE_H

#include "cpu/vec.h"

// y[t * ldy + o] = w[o] . x[t] for o < n_out, t < n_rows. w: (n_out, n) with rows ldw bytes apart
struct dots {
        const char *w;
        size_t ldw;
        const float *x; // (n_rows, n), rows ldx elements apart
        size_t ldx, n;
        float *y;
        size_t ldy;
};

#define TILE_MAX 8

// Eight more elements of each dot product of the tile.
VEC_INLINE void dots_step(__m256 acc[][4], const int n_out, const int n_rows, const __m256 *w, const __m256 *x)
{
        if (n_out < n_rows) { }
}
#endif
