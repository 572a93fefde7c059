// What `dynlora bench` has measured, and how it is shown: tables for people, an object for scripts. Every figure is a
// median over the rounds, shares and ratios are of figures of the same round.
#ifndef DYNLORA_BENCH_RESULT_H
#define DYNLORA_BENCH_RESULT_H

#include <stdbool.h>
#include <stdio.h>

#include "bench_machine.h"
#include "conf/bench.h"
#include "dynlora/engine.h"

struct bench_case {
        bool prefill;       // else decode
        bool none_loaded;   // while no adapter is on the device
        int rows, adapters; // adapters: different ones among the rows
        int base;           // the case of the same rows without adapters
        double tokens;      // that are computed
        double bytes;       // that have to be read for them
        double flops;       // multiplications and additions that they are made of
        double *seconds;    // (rounds)
};

struct bench_result {
        const struct conf_bench *conf;
        struct dyn_model_info model;
        const char *name; // of the model
        int threads;
        size_t adapter_bytes;      // of all adapters on the device
        double ready_seconds;      // until the model could be asked
        size_t ready_bytes, bytes; // beside weights, KV cache and adapters: before the first request, and at the end
        struct bench_peaks *peaks; // (rounds)
        struct bench_case *cases;  // (n)
        int n;
};

void bench_result_print(const struct bench_result *, FILE *);
void bench_result_print_json(const struct bench_result *, FILE *);

#endif
