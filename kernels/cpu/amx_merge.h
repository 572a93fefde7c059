// Merging where the processor has tiles: sums of products over the ranks come from them. Those for
// the next columns are summed while rows of these wait for memory: a high rank takes about a quarter longer than a low
// one, and not as many times as there are ranks.
#ifndef DYNLORA_KERNELS_CPU_AMX_MERGE_H
#define DYNLORA_KERNELS_CPU_AMX_MERGE_H

#include "cpu/merge.h"

// Whether amx_merge_rows is for these: bf16 weights and patches, packed as lowrank_load does, of some rank. Anything
// else is for the vectors.
bool amx_merge_takes(const struct dyn_tensor *stored, const struct dyn_term *terms, int n_terms);

cpu_merge_rows amx_merge_rows;

#endif
