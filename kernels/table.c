// The backends of this build, and which of them this processor can run.
#include <stdbool.h>
#include <string.h>

#include "cpu/amx_dots.h"
#include "cpu/backends.h"
#include "dynlora/backend.h"

static bool always(void)
{
        return true;
}

#ifdef KERNELS_X86
static bool has_avx512(void)
{
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_amx(void)
{
        return has_avx512() && amx_dots_enable();
}

// F16C is older than AVX2, and no processor has one without the other.
static bool has_avx2(void)
{
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

// The fastest first; cpu_portable is only there for processors that no fast one runs on.
static const struct {
        const struct dyn_backend_ops *ops;
        bool (*runs)(void);
        const char *needs;
} rows[] = {
#ifdef KERNELS_X86
        {&cpu_amx, has_amx, "AMX-BF16 and AVX-512, and a Linux from 5.16 on"},
        {&cpu_avx512, has_avx512, "AVX-512 F, BW, DQ and VL"},
        {&cpu_avx2, has_avx2, "AVX2 and FMA"},
#endif
#ifdef KERNELS_NEON
        {&cpu_neon, always, NULL},
#endif
        {&cpu_portable, always, NULL},
        {&cpu_plain, always, NULL},
};

#define N_ROWS ((int)(sizeof rows / sizeof *rows))

const struct dyn_backend_ops *dyn_backend_at(int nth)
{
        int n = 0;

        for (int i = 0; i < N_ROWS; i++)
                if (rows[i].runs() && (rows[i].ops != &cpu_portable || n == 0) && n++ == nth)
                        return rows[i].ops;
        return NULL;
}

const struct dyn_backend_ops *dyn_backend_find(const char *name, struct dyn_error *err)
{
        if (strcmp(name, "auto") == 0 || strcmp(name, "cpu") == 0)
                return dyn_backend_at(0);
        for (int i = 0; i < N_ROWS; i++) {
                if (strcmp(name, rows[i].ops->name) != 0)
                        continue;
                if (rows[i].runs())
                        return rows[i].ops;
                dyn_fail(err, DYN_UNSUPPORTED, "backend %s: expected a processor with %s, found one without", name,
                        rows[i].needs);
                return NULL;
        }
        dyn_fail(err, DYN_UNSUPPORTED, "this build has no backend \"%s\"", name);
        return NULL;
}
