// The fields that a request body may have: one row each in fields.c, with type, range and the member of struct params
// that it fills. What is in no row is refused by name, and so is what this server cannot do unless its value asks for
// nothing. Called by the handlers; it looks at types and ranges, not at what ids or names mean.
#ifndef DYNLORA_API_FIELDS_H
#define DYNLORA_API_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/problem.h"
#include "io/json.h"

// Which bodies a row belongs to.
enum fields_of {
        OF_COMPLETIONS = 1,
        OF_CHAT = 2,
        OF_STREAM_OPTIONS = 4, // the object in "stream_options"
        OF_TOKENIZE = 8,
        OF_DETOKENIZE = 16,
        OF_REGISTER = 32,   // POST /v1/adapters
        OF_SETTINGS = 64,   // PATCH /v1/adapters/{name}
        OF_LOAD_LORA = 128, // vLLM's routes
        OF_UNLOAD_LORA = 256,
};

// Pointers are borrowed from the body, NULL where the field is absent or null.
struct params {
        // Who answers.
        const char *model;
        const cJSON *adapter; // also where it is null: said outright

        // To what.
        const cJSON *prompt, *messages, *chat_template_kwargs, *tokens;
        bool add_special_tokens, add_generation_prompt;

        // How.
        double temperature, top_p, min_p, repetition_penalty, frequency_penalty, presence_penalty;
        int64_t top_k;
        const cJSON *seed; // a whole number of 64 bits
        const cJSON *logit_bias;

        // How long.
        int64_t max_tokens, max_completion_tokens; // -1: not given; the second is folded into the first
        int64_t min_tokens;
        const cJSON *stop, *stop_token_ids;
        bool ignore_eos;

        // In what form.
        int64_t n;
        bool stream, include_usage, echo;
        const cJSON *stream_options;
        bool logprobs;             // chat's switch, folded into the next
        int64_t n_logprobs;        // best alternatives to show; -1: no logprobs
        int64_t n_prompt_logprobs; // -1: none
        bool include_stop, skip_special_tokens, return_token_ids, tokens_as_ids, return_token_strs;

        // POST /v1/adapters.
        const char *name, *path, *mode;
        bool replace, pin;
};

// DYN_INVALID or DYN_UNSUPPORTED, with the field's name in p->param.
enum dyn_status fields_read(const cJSON *body, enum fields_of, struct params *, struct problem *p);

// Deletes what nobody looks at once the call is under way: all but who answers and the stop strings.
void fields_prune(cJSON *body, struct params *);

// Parses a request body, which must be an object, and reads its fields. On DYN_OK *body is the caller's to delete, and
// params borrow from it.
enum dyn_status fields_parse(
        const char *text, size_t len, enum fields_of, cJSON **body, struct params *, struct problem *p);

#endif
