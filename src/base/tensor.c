// The facts about element types (dynlora/tensor.h).
#include "dynlora/tensor.h"

#include <assert.h>

static const struct {
        const char *name;
        int block, bytes; // elements and bytes of one block
} types[DYN_N_DTYPES] = {
        [DYN_F32] = {"F32", 1, 4},
        [DYN_F16] = {"F16", 1, 2},
        [DYN_BF16] = {"BF16", 1, 2},
        [DYN_Q4_0] = {"Q4_0", 32, 18},
        [DYN_Q4_1] = {"Q4_1", 32, 20},
        [DYN_Q5_0] = {"Q5_0", 32, 22},
        [DYN_Q5_1] = {"Q5_1", 32, 24},
        [DYN_Q8_0] = {"Q8_0", 32, 34},
        [DYN_Q4_K] = {"Q4_K", 256, 144},
        [DYN_Q5_K] = {"Q5_K", 256, 176},
        [DYN_Q6_K] = {"Q6_K", 256, 210},
};

const char *dyn_dtype_name(enum dyn_dtype dtype)
{
        return types[dtype].name;
}

int dyn_dtype_block(enum dyn_dtype dtype)
{
        return types[dtype].block;
}

size_t dyn_dtype_bytes(enum dyn_dtype dtype, int64_t n)
{
        assert(n >= 0 && n % types[dtype].block == 0);
        return (size_t)(n / types[dtype].block) * (size_t)types[dtype].bytes;
}
