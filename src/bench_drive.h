// Requests to the engine, and how long it takes for them. One thread, one measurement at a time.
#ifndef DYNLORA_BENCH_DRIVE_H
#define DYNLORA_BENCH_DRIVE_H

#include "dynlora/engine.h"

struct bench_drive;

// Loads the model. wake, ctx, prefix_cache and max_queue of the options are set here. A sequence needs a place for a
// token beside those that are asked for.
enum dyn_status bench_drive_create(struct bench_drive **, const struct dyn_engine_options *, struct dyn_error *);
void bench_drive_destroy(struct bench_drive *);

struct dyn_engine *bench_drive_engine(const struct bench_drive *);

// Seconds from a prompt of random tokens to its first token. adapter: NULL is the base.
enum dyn_status bench_drive_prefill(
        struct bench_drive *, struct dyn_adapter *, int n_prompt, double *seconds, struct dyn_error *);

// Seconds in which n_rows rows decode n_tokens each, all in every step. Each has n_context tokens behind it, a multiple
// of DYN_PAGE_TOKENS; row i has adapter i % n_adapters.
enum dyn_status bench_drive_decode(struct bench_drive *, int n_rows, struct dyn_adapter *const *adapters,
        int n_adapters, int n_context, int n_tokens, double *seconds, struct dyn_error *);

#endif
