// Rows of x for the tile products with bf16 weights (amx_dots.h). A float is the sum of three bf16, each holding eight
// of its 24 bits: so x is multiplied exactly, and only sums are rounded. (Numbers below 2^-126, in
// parts of x and in W, count as zero, as the tiles take them. What is infinite becomes NaN.)
#ifndef DYNLORA_KERNELS_CPU_AMX_ROWS_H
#define DYNLORA_KERNELS_CPU_AMX_ROWS_H

#include <stddef.h>

#define AMX_ROWS  16 // rows of x in a group: the columns of a tile
#define AMX_INS   32 // elements of a row in a tile: two for each of its rows
#define AMX_PARTS 3

// Groups of n_rows rows. All have AMX_ROWS rows but the last.
int amx_rows_groups(int n_rows);

// What all groups take: one after the other, each (ceil(n_in / AMX_INS), AMX_PARTS, AMX_INS / 2, rows of the group)
// pairs of bf16, zeros where there is no element.
size_t amx_rows_bytes(int n_in, int n_rows);

// Where the group is in that.
size_t amx_rows_at(int n_in, int group);

// Fills in one group of all that, from x: (n_rows, n_in).
void amx_rows(void *to, const float *x, int n_in, int n_rows, int group);

#endif
