// What a sequence gets out of a step: log-probabilities of its prompt, its next token, its end. Engine thread.
#ifndef DYNLORA_SCHED_OUTCOME_H
#define DYNLORA_SCHED_OUTCOME_H

#include "sample/sample.h"
#include "sched/sequence.h"
#include "sched/stats.h"

// Where results go, and the scratch to make them with.
struct outcome {
        struct sampler *sampler;
        size_t vocab_size;
        float *raw; // (vocab_size): a row of logits before the sampler changes it
        struct engine_metrics *metrics;
        void (*emit)(void *ctx, const struct dyn_event *);
        void *ctx;
};

// Notes in an event which weights the sequence was computed with.
void outcome_stamp(const struct sequence *, struct dyn_event *);

// Takes in the next n_tokens pending tokens of a sequence, now computed. logits points at its rows: of all of them with
// all_logits, else of the last pending one if that is among them; it is moved behind. True if the sequence is over, and
// why.
bool outcome_take(
        struct outcome *, struct sequence *, int n_tokens, bool all_logits, float **logits, enum dyn_finish *);

#endif
