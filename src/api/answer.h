// Answers to an inference call: the whole one, and the pieces that whole answers and stream chunks share.
#ifndef DYNLORA_API_ANSWER_H
#define DYNLORA_API_ANSWER_H

#include "api/generation.h"

// Of a call whose sequences have all ended: how much work for the desk its answer is, writing it (any thread), and
// sending it.
size_t answer_work(const struct generation *);
void answer_write(struct generation *);
void answer_send(struct generation *);

// The headers that say what served the call.
void answer_headers(const struct generation *);

// Opens the object and writes id, object, created, model, adapter and system_fingerprint.
void answer_head(struct writer *, const struct generation *, const char *object);

// "usage": {..}
void answer_usage(struct writer *, const struct generation *);

// Members of a choice. finish_reason and stop_reason, null before the end; token_ids of the slice, if asked for; and
// what the first choice of a prompt says of it, if asked for: prompt_token_ids and, in a whole answer, prompt_logprobs.
void answer_choice_finish(struct writer *, const struct choice *, const struct slice *);
void answer_choice_ids(struct writer *, const struct choice *, const struct slice *);
void answer_prompt(struct writer *, const struct choice *);

// The problem of a call in which a sequence failed; false if none did.
bool answer_problem(const struct generation *, struct problem *);

struct logprobs_style answer_style(const struct generation *);

#endif
