// The backends of this build.
#include <string.h>

#include "cpu/backends.h"
#include "dynlora/backend.h"

static const struct dyn_backend_ops *best_cpu(void)
{
#ifdef KERNELS_AVX2
        // F16C is older than AVX2, and no processor has one without the other.
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
                return &cpu_fast;
#endif
        return &cpu_portable;
}

const struct dyn_backend_ops *dyn_backend_find(const char *name)
{
        if (strcmp(name, "auto") == 0 || strcmp(name, "cpu") == 0)
                return best_cpu();
        return strcmp(name, "plain") == 0 ? &cpu_plain : NULL;
}
