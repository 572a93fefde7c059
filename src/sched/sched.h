// The scheduler: which sequences run, what each step computes, and what comes out of it. Continuous batching: sequences
// join and leave at any step; prompts run in chunks beside answers; when the KV cache is full, the youngest gives its
// pages up and is computed again later. Engine thread.
#ifndef DYNLORA_SCHED_SCHED_H
#define DYNLORA_SCHED_SCHED_H

#include "cache/kv.h"
#include "model/model.h"
#include "sched/sequence.h"
#include "sched/merger.h"
#include "sched/stats.h"

struct sched;

struct sched_options {
        struct model *model;
        const struct dyn_kv *kv;
        int max_rows, step_tokens, extra_logits; // the model was opened for max_rows + extra_logits rows of logits
        bool prefix_cache;
        struct merger *merger;
        struct engine_metrics *metrics;
        void (*emit)(void *ctx, const struct dyn_event *);
        void *ctx;
};

struct sched *sched_create(const struct sched_options *);

// Sequences still known are ended with DYN_FINISH_CANCELLED.
void sched_destroy(struct sched *);

// Puts a sequence at the end of the waiting line, and takes it over.
void sched_add(struct sched *, struct sequence *);

// One step. False if there was nothing to do: then only a new sequence or a changed flag can give it work.
bool sched_step(struct sched *);

#endif
