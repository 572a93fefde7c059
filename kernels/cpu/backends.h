// The backends that run on the CPU, for the table of backends.
#ifndef DYNLORA_KERNELS_CPU_BACKENDS_H
#define DYNLORA_KERNELS_CPU_BACKENDS_H

#include "dynlora/backend.h"

extern const struct dyn_backend_ops cpu_plain;    // "plain", the oracle
extern const struct dyn_backend_ops cpu_portable; // "cpu" where there is no faster one: the same arithmetic
extern const struct dyn_backend_ops cpu_fast;     // "cpu" with AVX2, FMA and F16C; only where the build has it

#endif
