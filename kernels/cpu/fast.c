// Backend "cpu" where the processor has AVX2, FMA and F16C.
#include "cpu/fast.h"

#include <cpuid.h>

#include "base/alloc.h"
#include "cpu/amx_dots.h"
#include "cpu/backends.h"
#include "cpu/device.h"
#include "cpu/gemm.h"
#include "cpu/merge.h"

// For the parts of attention while its chunks are spread: enough for some rows at the longest contexts; where it is
// not, attention is split by rows alone. And for rows of x in the form that a gemm wants, of which one fits at least.
#define SCRATCH_BYTES ((size_t)24 << 20)

// AVX-VNNI is bit 4 of EAX in leaf 7, subleaf 1. The system must keep the upper halves of registers, as for AVX2, which
// was asked for already.
int fast_quant_dots(quant_dots_of *loops[3])
{
        unsigned a, b, c, d;
        int n = 0;

        if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"))
                loops[n++] = quant_dots_avx512;
        if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1)
                loops[n++] = quant_dots_vnni;
        loops[n++] = quant_dots_avx2;
        return n;
}

static enum dyn_status fast_open(
        struct dyn_device **out, const struct dyn_device_options *options, struct dyn_error *err)
{
        enum dyn_status st = cpu_open(out, options, err);
        quant_dots_of *loops[3];
        size_t bytes = SCRATCH_BYTES;

        if (st != DYN_OK)
                return st;
        for (enum gemm_form form = 0; form < GEMM_FORMS; form++) {
                size_t row = gemm_form_bytes(form, options->max_width, 1);

                bytes = row > bytes ? row : bytes;
        }
        (*out)->scratch = mem_map(bytes);
        (*out)->scratch_bytes = bytes;
        (*out)->tiles = amx_enable();
        fast_quant_dots(loops);
        (*out)->quant_many = loops[0];
        (*out)->quant_few = loops[0] == quant_dots_avx512 ? loops[1] : loops[0];
        if ((*out)->scratch)
                return DYN_OK;
        cpu_close(*out);
        *out = NULL;
        return dyn_fail(err, DYN_NO_MEMORY, "cpu: the system refuses %zu bytes", bytes);
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
