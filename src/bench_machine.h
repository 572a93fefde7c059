// What this machine can do at most: the rate at which its threads together read memory, and multiply and add. Every
// other figure of `dynlora bench` is a share of these.
#ifndef DYNLORA_BENCH_MACHINE_H
#define DYNLORA_BENCH_MACHINE_H

#include "dynlora/status.h"

struct bench_peaks {
        double read;  // bytes in a second
        double fma;   // floating-point operations in a second, 8 floats at a time where the machine has AVX2
        double wide;  // the same, 16 at a time; 0 where the machine has no AVX-512
        double tiles; // the same with bf16 in tiles; 0 where the machine, or the system, has no AMX
};

// With so many threads. Takes a second or two; others may use the machine, too, so measure next to what is compared.
// DYN_NO_MEMORY if there is none to read.
enum dyn_status bench_machine_measure(int n_threads, struct bench_peaks *, struct dyn_error *);

#endif
