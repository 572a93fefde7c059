// The fast backend, "cpu-avx2" and so on by the instruction set that it is compiled for.
#include "cpu/fast.h"

#include "base/alloc.h"
#include "cpu/amx_merge.h"
#include "cpu/backends.h"
#include "cpu/device.h"
#include "cpu/gemm.h"
#include "cpu/merge.h"
#include "cpu/quant_loops.h"

// For the parts of attention while its chunks are spread: enough for some rows at the longest contexts; where it is
// not, attention is split by rows alone. And for rows of x in the form that a gemm wants, of which one fits at least.
#define SCRATCH_BYTES ((size_t)24 << 20)

static enum dyn_status fast_open(
        struct dyn_device **out, const struct dyn_device_options *options, struct dyn_error *err)
{
        enum dyn_status st = cpu_open(out, options, err);
        size_t bytes = SCRATCH_BYTES;

        if (st != DYN_OK)
                return st;
        for (enum gemm_form form = 0; form < GEMM_FORMS; form++) {
                size_t row = gemm_form_bytes(form, options->max_width, 1);

                bytes = row > bytes ? row : bytes;
        }
        (*out)->scratch = mem_map(bytes);
        (*out)->scratch_bytes = bytes;
        quant_loops_choose(&(*out)->quant_few, &(*out)->quant_many);
        if ((*out)->scratch)
                return DYN_OK;
        cpu_close(*out);
        *out = NULL;
        return dyn_fail(err, DYN_NO_MEMORY, "cpu: the system refuses %zu bytes", bytes);
}

enum dyn_status fast_merge(struct dyn_device *dev, struct dyn_weight *w, const struct dyn_tensor *stored,
        const struct dyn_term *terms, int n_terms, struct dyn_error *err)
{
        cpu_merge_rows *rows = fast_merge_rows;

#ifdef __AMX_BF16__
        if (amx_merge_takes(stored, terms, n_terms))
                rows = amx_merge_rows;
#endif
        return cpu_merge(dev, w, stored, terms, n_terms, rows, err);
}

#define TEXT(isa) #isa
#define NAME(isa) "cpu-" TEXT(isa)

const struct dyn_backend_ops ISA(cpu) = {
        .name = NAME(KERNELS_ISA),
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
        .embed = fast_embed,
        .rmsnorm = fast_rmsnorm,
        .gemm = fast_gemm,
        .lowrank = fast_lowrank,
        .linear = fast_linear,
        .add_bias = fast_add_bias,
        .rope = fast_rope,
        .kv_write = fast_kv_write,
        .attention = fast_attention,
        .silu_mul = fast_silu_mul,
        .add = fast_add,
        .gather = cpu_gather,
};
