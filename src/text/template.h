// Chat templates: the Jinja text that a model brings with it, which turns a conversation into the prompt that the
// model was trained on. Compiled once when the model loads, rendered for each request, with the results of Hugging
// Face's setup of Jinja byte for byte. A compiled one never changes: any thread may render it, beside others too.
#ifndef DYNLORA_TEXT_TEMPLATE_H
#define DYNLORA_TEXT_TEMPLATE_H

#include "base/buf.h"
#include "dynlora/status.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct chat_template;

// DYN_UNSUPPORTED ("line L: filter xmlattr is not supported") for what this reader does not know, even if the template
// would never reach it; DYN_INVALID, also with the line, for what is no template. *out is set only on DYN_OK.
enum dyn_status chat_template_compile(
        struct chat_template **out, const char *source, size_t len, struct dyn_error *err);

void chat_template_destroy(struct chat_template *);

// What the template finds. JSON as cJSON keeps it does not tell 1.0 from 1: numbers without a fraction are integers.
struct chat_template_input {
        const cJSON *messages; // an array
        const cJSON *tools;    // NULL: none
        const cJSON *kwargs;   // an object whose members are variables too and win over the others; may be NULL
        bool add_generation_prompt;
        const char *bos_token, *eos_token; // NULL: not defined
        const struct tm *now;              // what strftime_now tells; NULL: the present, local time
};

// Appends the prompt to out. DYN_INVALID with its own words when the template raises an exception (a conversation that
// it does not take), with the line when it fails or wants more steps, text or depth than any sane one; out is then as
// it was before.
enum dyn_status chat_template_render(
        const struct chat_template *, const struct chat_template_input *, struct buf *out, struct dyn_error *err);

#endif
