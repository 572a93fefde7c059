// The backends that run on the CPU, for the table of backends.
#ifndef DYNLORA_KERNELS_CPU_BACKENDS_H
#define DYNLORA_KERNELS_CPU_BACKENDS_H

#include "dynlora/backend.h"

extern const struct dyn_backend_ops cpu_plain;    // "plain", the oracle
extern const struct dyn_backend_ops cpu_portable; // "cpu" where there is no faster one: the same arithmetic

// The fast one, for each instruction set that the build has.
extern const struct dyn_backend_ops cpu_avx2;   // "cpu-avx2": AVX2, FMA and F16C
extern const struct dyn_backend_ops cpu_avx512; // "cpu-avx512": AVX-512 F, BW, DQ and VL
extern const struct dyn_backend_ops cpu_amx;    // "cpu-amx": AMX-BF16 and all of those
extern const struct dyn_backend_ops cpu_neon;   // "cpu-neon": every aarch64

#endif
