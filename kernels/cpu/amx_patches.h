// Patches as the tile products of a merge take them (amx_merge.c): pairs of ranks, bf16. Ranks come in tiles of
// AMX_PATCH_RANKS, zeros beyond a patch's last, and the tiles of several patches one after the other.
#ifndef DYNLORA_KERNELS_CPU_AMX_PATCHES_H
#define DYNLORA_KERNELS_CPU_AMX_PATCHES_H

#include "cpu/vec.h"
#include "dynlora/backend.h"

#define AMX_PATCH_RANKS   32                                          // of a tile
#define AMX_PATCH_COLUMNS 32                                          // of A, in two tiles
#define AMX_PATCH_OUTS    32                                          // of B, in two tiles
#define AMX_PATCH_PAIRS   (AMX_PATCH_RANKS / 2)                       // of ranks
#define AMX_PATCH_TILE    (AMX_PATCH_PAIRS * (AMX_PATCH_COLUMNS / 2)) // pairs in a tile

// The first n of a line's columns.
VEC_INLINE __mmask32 amx_patches_columns(int n)
{
        return n >= AMX_PATCH_COLUMNS ? UINT32_MAX : n <= 0 ? 0 : ((uint32_t)1 << n) - 1;
}

// Tiles over the ranks of a patch.
static inline int amx_patches_tiles(const struct dyn_lowrank *p)
{
        return (p->rank + AMX_PATCH_RANKS - 1) / AMX_PATCH_RANKS;
}

// A of all terms: (ceil(n_in / AMX_PATCH_COLUMNS), tiles of all terms, 2, AMX_PATCH_PAIRS, 16), the even columns and
// the odd ones apart. 64-byte aligned.
void amx_patches_a(uint32_t *to, const struct dyn_term *terms, int n_terms);

// Outputs o .. o + AMX_PATCH_OUTS - 1 of B of all terms: (tiles of all terms, AMX_PATCH_OUTS, AMX_PATCH_PAIRS). What is
// beyond the last output is not written.
void amx_patches_b(uint32_t *to, const struct dyn_term *terms, int n_terms, size_t o);

#endif
