// A tensor as bytes somewhere in memory: element type, shape and data, nothing about who owns it or which device it is
// for. Element layouts of the quantised types follow ggml's blocks (GGUF specification); rows are contiguous, outermost
// dimension first.
#ifndef DYNLORA_TENSOR_H
#define DYNLORA_TENSOR_H

#include <stddef.h>
#include <stdint.h>

enum dyn_dtype {
        DYN_F32,
        DYN_F16,
        DYN_BF16,
        DYN_Q4_0,
        DYN_Q4_1,
        DYN_Q5_0,
        DYN_Q5_1,
        DYN_Q8_0,
        DYN_Q4_K,
        DYN_Q5_K,
        DYN_Q6_K,
        DYN_N_DTYPES,
};

#define DYN_MAX_DIMS 4

struct dyn_tensor {
        enum dyn_dtype dtype;
        int n_dims;
        int64_t shape[DYN_MAX_DIMS]; // outermost first; unused entries are 1
        const void *data;
        size_t bytes;
};

const char *dyn_dtype_name(enum dyn_dtype dtype);

// Elements in one block of a quantised type, 1 for the plain ones.
int dyn_dtype_block(enum dyn_dtype dtype);

// Bytes of n elements in a row. n must be a multiple of the block.
size_t dyn_dtype_bytes(enum dyn_dtype dtype, int64_t n);

#endif
