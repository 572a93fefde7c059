// The least that a case of `dynlora bench` has to do: what its rates are counted in.
#ifndef DYNLORA_BENCH_WORK_H
#define DYNLORA_BENCH_WORK_H

#include "bench_result.h"
#include "dynlora/adapter.h"

// Fills tokens, bytes and flops. adapters: at least those that the case uses.
void bench_work_count(struct bench_case *, const struct conf_bench *, const struct dyn_model_info *,
        const struct dyn_sites *, struct dyn_adapter *const *adapters);

#endif
