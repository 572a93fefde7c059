// Merging on the CPU: a merged matrix is memory of its own, the checkpoint's mapping is only ever read. So restoring is
// giving that memory back, and costs little. What differs between the backends is the sum of some rows.
#ifndef DYNLORA_KERNELS_CPU_MERGE_H
#define DYNLORA_KERNELS_CPU_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "dynlora/backend.h"

struct cpu_merge {
        const struct dyn_tensor *stored;
        const struct dyn_term *terms; // (n_terms)
        int n_terms;
        struct dyn_weight *w; // its data: (n_out, n_in) of a plain dtype, to be written
        bool fresh;           // nobody has touched that memory yet
};

// Writes rows first .. first + n - 1 of the merged matrix; false if a value is not finite.
typedef bool cpu_merge_rows(const struct cpu_merge *, int first, int n);

// The bits of the least float that is rounded to infinity.
int32_t cpu_merge_infinite(enum dyn_dtype);

enum dyn_status cpu_merge(struct dyn_device *, struct dyn_weight *, const struct dyn_tensor *stored,
        const struct dyn_term *terms, int n_terms, cpu_merge_rows *rows, struct dyn_error *);

#endif
