// Some outputs of y = W x: what gemm and linear are spread over the team by.
#ifndef DYNLORA_KERNELS_CPU_GEMM_H
#define DYNLORA_KERNELS_CPU_GEMM_H

#include <stddef.h>

#include "cpu/isa.h"
#include "dynlora/backend.h"

// The forms in which the loops over weights take rows of x.
enum gemm_form {
        GEMM_PLAIN,     // as they are
        GEMM_QUANTISED, // quant_rows
        GEMM_SPLIT,     // amx_rows, where there are tiles
        GEMM_FORMS,
};

enum gemm_form gemm_form_of(const struct dyn_weight *);

// What n_rows rows of n_in elements take in a form, 0 for GEMM_PLAIN. Twice the rows take twice as much.
size_t gemm_form_bytes(enum gemm_form, int n_in, int n_rows);

// Bringing rows to a form falls into so many items, which may be done in any order.
int gemm_form_items(enum gemm_form, int n_rows);
void gemm_form_item(enum gemm_form, void *to, const float *x, int n_in, int n_rows, int item);

// About what an element of x costs to bring to a form, in nanoseconds.
#define GEMM_FORM_NS 0.15

// Outputs first .. first + n - 1 of all rows. formed: x in the form of w.
void gemm_outputs(const struct dyn_device *, const struct dyn_weight *w, float *y, const float *x, const void *formed,
        int n_rows, int first, int n);

// How many outputs make one item of a loop.
int gemm_block(const struct dyn_device *, const struct dyn_weight *, int n_rows);

#endif
