// What a request asks to be continued, as token ids: from a string, strings, ids or lists of ids (completions), or from
// messages through the model's chat template. Any thread.
#ifndef DYNLORA_API_PROMPTS_H
#define DYNLORA_API_PROMPTS_H

#include "api/fields.h"
#include "api/server.h"

struct prompt {
        struct tokens ids;
        char *text; // as it was given, if it is to be echoed; NULL if it came as ids or messages
};

struct prompts {
        struct prompt *at; // (n)
        int n;
};

enum dyn_status prompts_of_completion(struct api *, const struct params *, struct prompts *, struct problem *);
enum dyn_status prompts_of_chat(struct api *, const struct params *, struct prompts *, struct problem *);

// A list of token ids, each one of the model's; param names the field in errors.
enum dyn_status prompts_read_ids(
        struct api *, const cJSON *array, const char *param, struct tokens *, struct problem *);

// One text as the model's tokenizer splits it. DYN_INVALID if it is too long for any context.
enum dyn_status prompts_encode(struct api *, const char *text, size_t len, bool add_special, const char *param,
        struct tokens *, struct problem *);

void prompts_finish(struct prompts *);

#endif
