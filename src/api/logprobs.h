// Log probabilities of tokens: kept as the engine reports them, shown in the three forms of the API (completions, chat,
// prompt_logprobs). Token strings are the tokens' own bytes, with U+FFFD for what is no character by itself.
#ifndef DYNLORA_API_LOGPROBS_H
#define DYNLORA_API_LOGPROBS_H

#include "api/writer.h"
#include "dynlora/engine.h"
#include "text/tokenizer.h"

struct token_prob {
        int32_t id;
        float logprob;
        int rank; // 0: no logprob (the first token of a prompt)
        int n_top;
        size_t first_top; // in logprobs.top
        size_t text_at;   // characters of the choice's text before this token
};

// Zero-initialised is empty.
struct logprobs {
        struct token_prob *at; // (n)
        size_t n, cap;
        struct dyn_logprob *top; // (n_top)
        size_t n_top, cap_top;
};

void logprobs_push(struct logprobs *, const struct dyn_event *, size_t text_at);
void logprobs_finish(struct logprobs *);

struct logprobs_style {
        const struct tokenizer *tokenizer;
        int n_top;          // alternatives to show: the best so many
        bool tokens_as_ids; // "token_id:N" instead of the token's text
};

// Tokens first .. end - 1 of one list.
struct logprobs_run {
        const struct logprobs *of;
        size_t first, end;
};

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"} over the runs one after the other. A token's own entry is
// always among its top_logprobs.
void logprobs_write_completion(
        struct writer *, const struct logprobs_run *runs, int n_runs, const struct logprobs_style *);

// {"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal": null}
void logprobs_write_chat(struct writer *, struct logprobs_run, const struct logprobs_style *);

// [null, {"ID": {"logprob", "rank", "decoded_token"}, ..}, ..]: the token itself first, then the others of the best.
void logprobs_write_prompt(struct writer *, const struct logprobs *, const struct logprobs_style *);

#endif
