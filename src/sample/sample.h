// From a row of logits to a token: penalties, temperature, truncation and one draw, and log-probabilities for those who
// ask. Engine thread. The result depends on the row, the parameters, the history and (seed, position) alone.
#ifndef DYNLORA_SAMPLE_SAMPLE_H
#define DYNLORA_SAMPLE_SAMPLE_H

#include "dynlora/engine.h"

struct sampler;

struct sampler *sampler_create(int vocab_size);
void sampler_destroy(struct sampler *);

// What came before: the prompt, then the answer so far.
struct sample_history {
        const int32_t *tokens; // (n_tokens)
        int n_tokens, n_prompt;
};

// The next token, -1 if the logits hold no finite number (or a NaN). logits: (vocab_size), changed. barred: ids that
// may not come now.
int32_t sample_token(struct sampler *, float *logits, const struct dyn_sampling *, const struct sample_history *,
        const int32_t *barred, int n_barred);

// Fills logprob, rank, n_top and top of the event for the token it holds. logits as the model gave them.
void sample_logprobs(struct sampler *, const float *logits, int n_top, struct dyn_event *);

// The generator: 53 uniform bits in [0, 1) for (seed, position). Philox4x32-10: Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011.
double sample_uniform(uint64_t seed, uint64_t position);

#endif
