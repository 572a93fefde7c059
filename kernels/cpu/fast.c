// Backend "cpu" where the processor has AVX2, FMA and F16C.
#include "cpu/fast.h"

#include "base/alloc.h"
#include "cpu/backends.h"
#include "cpu/device.h"
#include "cpu/merge.h"

// For the parts of attention while its chunks are spread: enough for some rows at the longest contexts; where it is
// not, attention is split by rows alone.
#define SCRATCH_BYTES ((size_t)8 << 20)

static enum dyn_status fast_open(
        struct dyn_device **out, const struct dyn_device_options *options, struct dyn_error *err)
{
        enum dyn_status st = cpu_open(out, options, err);

        if (st != DYN_OK)
                return st;
        (*out)->scratch = mem_map(SCRATCH_BYTES);
        (*out)->scratch_bytes = SCRATCH_BYTES;
        if ((*out)->scratch)
                return DYN_OK;
        cpu_close(*out);
        *out = NULL;
        return dyn_fail(err, DYN_NO_MEMORY, "cpu: the system refuses %zu bytes", SCRATCH_BYTES);
}

const struct dyn_backend_ops cpu_fast = {
        .name = "cpu",
        .open = fast_open,
        .close = cpu_close,
        .alloc = cpu_alloc,
        .free = cpu_free,
        .upload = cpu_upload,
        .download = cpu_download,
        .sync = cpu_sync,
        .weight_dtype = cpu_weight_dtype,
        .weight_load = cpu_weight_load,
        .weight_free = cpu_weight_free,
        .lowrank_load = fast_lowrank_load,
        .lowrank_free = cpu_lowrank_free,
        .merge = fast_merge,
        .restore = cpu_restore,
        .embed = fast_embed,
        .rmsnorm = fast_rmsnorm,
        .gemm = fast_gemm,
        .lowrank = fast_lowrank,
        .add_bias = fast_add_bias,
        .rope = fast_rope,
        .kv_write = fast_kv_write,
        .attention = fast_attention,
        .silu_mul = fast_silu_mul,
        .add = fast_add,
        .gather = cpu_gather,
};
