#include "api/fields.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "dynlora/engine.h"

#define MAX_N           128 // answers to one prompt
#define OF_GENERATION   (OF_COMPLETIONS | OF_CHAT)
#define OF_TEXT         (OF_GENERATION | OF_TOKENIZE)
#define OF_CONVERSATION (OF_CHAT | OF_TOKENIZE)
#define OF_MODEL        (OF_TEXT | OF_DETOKENIZE)

enum kind {
        INT,    // int64_t, min .. max
        NUMBER, // double, min .. max
        BOOL,
        STRING,
        VALUE,      // const cJSON *; its reader checks it
        VALUE_NULL, // the same, and null is kept
        UNUSED,     // changes no answer
        ONLY,       // not supported: no value but null and `only` is taken
};

struct field {
        const char *name;
        unsigned of;
        enum kind kind;
        size_t at; // in struct params
        double min, max;
        const char *only; // JSON
};

#define TO(member) offsetof(struct params, member)

static const struct field fields[] = {
        {"model", OF_MODEL, STRING, TO(model)},
        {"adapter", OF_MODEL, VALUE_NULL, TO(adapter)},

        {"prompt", OF_COMPLETIONS | OF_TOKENIZE, VALUE, TO(prompt)},
        {"messages", OF_CONVERSATION, VALUE, TO(messages)},
        {"chat_template_kwargs", OF_CONVERSATION, VALUE, TO(chat_template_kwargs)},
        {"add_generation_prompt", OF_CONVERSATION, BOOL, TO(add_generation_prompt)},
        {"add_special_tokens", OF_TEXT, BOOL, TO(add_special_tokens)},
        {"tokens", OF_DETOKENIZE, VALUE, TO(tokens)},
        {"return_token_strs", OF_TOKENIZE, BOOL, TO(return_token_strs)},

        {"temperature", OF_GENERATION, NUMBER, TO(temperature), 0, 2},
        {"top_p", OF_GENERATION, NUMBER, TO(top_p), 0, 1},
        {"min_p", OF_GENERATION, NUMBER, TO(min_p), 0, 1},
        {"top_k", OF_GENERATION, INT, TO(top_k), -1, INT32_MAX},
        {"repetition_penalty", OF_GENERATION, NUMBER, TO(repetition_penalty), 0.01, 100},
        {"frequency_penalty", OF_GENERATION, NUMBER, TO(frequency_penalty), -2, 2},
        {"presence_penalty", OF_GENERATION, NUMBER, TO(presence_penalty), -2, 2},
        {"logit_bias", OF_GENERATION, VALUE, TO(logit_bias)},
        {"seed", OF_GENERATION, VALUE, TO(seed)},

        {"max_tokens", OF_COMPLETIONS, INT, TO(max_tokens), 0, INT32_MAX},
        {"max_tokens", OF_CHAT, INT, TO(max_tokens), 1, INT32_MAX},
        {"max_completion_tokens", OF_COMPLETIONS, INT, TO(max_completion_tokens), 0, INT32_MAX},
        {"max_completion_tokens", OF_CHAT, INT, TO(max_completion_tokens), 1, INT32_MAX},
        {"min_tokens", OF_GENERATION, INT, TO(min_tokens), 0, INT32_MAX},
        {"stop", OF_GENERATION, VALUE, TO(stop)},
        {"stop_token_ids", OF_GENERATION, VALUE, TO(stop_token_ids)},
        {"ignore_eos", OF_GENERATION, BOOL, TO(ignore_eos)},

        {"n", OF_GENERATION, INT, TO(n), 1, MAX_N},
        {"stream", OF_GENERATION, BOOL, TO(stream)},
        {"stream_options", OF_GENERATION, VALUE, TO(stream_options)},
        {"echo", OF_COMPLETIONS, BOOL, TO(echo)},
        {"logprobs", OF_COMPLETIONS, INT, TO(n_logprobs), 0, DYN_MAX_LOGPROBS},
        {"logprobs", OF_CHAT, BOOL, TO(logprobs)},
        {"top_logprobs", OF_CHAT, INT, TO(n_logprobs), 0, DYN_MAX_LOGPROBS},
        {"prompt_logprobs", OF_GENERATION, INT, TO(n_prompt_logprobs), 0, DYN_MAX_LOGPROBS},
        {"include_stop_str_in_output", OF_GENERATION, BOOL, TO(include_stop)},
        {"skip_special_tokens", OF_GENERATION, BOOL, TO(skip_special_tokens)},
        {"return_token_ids", OF_GENERATION, BOOL, TO(return_token_ids)},
        {"return_tokens_as_token_ids", OF_GENERATION, BOOL, TO(tokens_as_ids)},
        {"include_usage", OF_STREAM_OPTIONS, BOOL, TO(include_usage)},

        {"name", OF_REGISTER, STRING, TO(name)},
        {"path", OF_REGISTER, STRING, TO(path)},
        {"replace", OF_REGISTER, BOOL, TO(replace)},
        {"pin", OF_REGISTER | OF_SETTINGS, BOOL, TO(pin)},
        {"mode", OF_REGISTER | OF_SETTINGS, STRING, TO(mode)},
        {"lora_name", OF_LOAD_LORA | OF_UNLOAD_LORA, STRING, TO(name)},
        {"lora_path", OF_LOAD_LORA, STRING, TO(path)},
        {"load_inplace", OF_LOAD_LORA, BOOL, TO(replace)},
        {"is_3d_lora_weight", OF_LOAD_LORA, ONLY, .only = "false"},
        {"lora_int_id", OF_UNLOAD_LORA, UNUSED},

        {"user", OF_GENERATION, UNUSED},
        {"metadata", OF_GENERATION, UNUSED},
        {"store", OF_GENERATION, UNUSED},

        {"best_of", OF_COMPLETIONS, ONLY, .only = "1"},
        {"suffix", OF_COMPLETIONS, ONLY, .only = "\"\""},
        {"use_beam_search", OF_GENERATION, ONLY, .only = "false"},
        {"echo", OF_CHAT, ONLY, .only = "false"},
        {"tools", OF_CHAT, ONLY, .only = "[]"},
        {"tool_choice", OF_CHAT, ONLY, .only = "\"none\""},
        {"parallel_tool_calls", OF_CHAT, ONLY, .only = "true"},
        {"functions", OF_CHAT, ONLY, .only = "[]"},
        {"function_call", OF_CHAT, ONLY, .only = "\"none\""},
        {"response_format", OF_GENERATION, ONLY, .only = "{\"type\":\"text\"}"},
        {"modalities", OF_CHAT, ONLY, .only = "[\"text\"]"},
        {"audio", OF_CHAT, ONLY, .only = "null"},
        {"prediction", OF_CHAT, ONLY, .only = "null"},
        {"reasoning_effort", OF_CHAT, ONLY, .only = "null"},
        {"verbosity", OF_CHAT, ONLY, .only = "null"},
        {"web_search_options", OF_CHAT, ONLY, .only = "null"},
        {"service_tier", OF_GENERATION, ONLY, .only = "\"auto\""},
        {"chat_template", OF_CONVERSATION, ONLY, .only = "null"},
        {"continue_final_message", OF_CONVERSATION, ONLY, .only = "false"},
        {"documents", OF_CHAT, ONLY, .only = "null"},
        {"bad_words", OF_GENERATION, ONLY, .only = "[]"},
        {"allowed_token_ids", OF_GENERATION, ONLY, .only = "null"},
        {"length_penalty", OF_GENERATION, ONLY, .only = "1"},
        {"truncate_prompt_tokens", OF_GENERATION, ONLY, .only = "null"},
        {"spaces_between_special_tokens", OF_GENERATION, ONLY, .only = "true"},
        {"structured_outputs", OF_GENERATION, ONLY, .only = "null"},
        {"include_obfuscation", OF_STREAM_OPTIONS, ONLY, .only = "false"},
        {"continuous_usage_stats", OF_STREAM_OPTIONS, ONLY, .only = "false"},
};

static const struct field *find(const char *name, enum fields_of of)
{
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
                if (fields[i].of & of && strcmp(fields[i].name, name) == 0)
                        return &fields[i];
        return NULL;
}

static enum dyn_status read_only(const cJSON *v, const struct field *f, struct problem *p)
{
        cJSON *only = cJSON_Parse(f->only);
        bool same = cJSON_Compare(v, only, true);
        char found[100];

        cJSON_Delete(only);
        if (same || cJSON_IsNull(v))
                return DYN_OK;
        return problem_set(p, DYN_UNSUPPORTED, f->name, "unsupported_parameter",
                "\"%s\": not supported: expected %s or nothing, found %s", f->name, f->only,
                json_describe(v, found, sizeof found));
}

static enum dyn_status read_field(
        const cJSON *body, const cJSON *v, const struct field *f, struct params *to, struct problem *p)
{
        void *at = (char *)to + f->at;

        switch (f->kind) {
        case INT:
                return json_get_int(body, f->name, (int64_t)f->min, (int64_t)f->max, at, &p->err);
        case NUMBER:
                return json_get_number(body, f->name, f->min, f->max, at, &p->err);
        case BOOL:
                return json_get_bool(body, f->name, at, &p->err);
        case STRING:
                return json_get_string(body, f->name, at, &p->err);
        case VALUE:
        case VALUE_NULL:
                *(const cJSON **)at = f->kind == VALUE && cJSON_IsNull(v) ? NULL : v;
                return DYN_OK;
        case UNUSED:
                return DYN_OK;
        case ONLY:
                return read_only(v, f, p);
        }
        return DYN_OK;
}

static enum dyn_status read_rows(const cJSON *object, enum fields_of of, struct params *to, struct problem *p)
{
        for (const cJSON *v = object->child; v != NULL; v = v->next) {
                const struct field *f = find(v->string, of);

                if (f == NULL) {
                        problem_set(p, DYN_INVALID, NULL, "unknown_parameter", "unknown field \"%.100s\"", v->string);
                        snprintf(p->param, sizeof p->param, "%.79s", v->string);
                        return DYN_INVALID;
                }
                p->code = NULL;
                if (read_field(object, v, f, to, p) != DYN_OK)
                        return problem_of(p, f->name, p->code);
        }
        return DYN_OK;
}

static enum dyn_status read_stream_options(struct params *to, struct problem *p)
{
        char found[100];

        if (to->stream_options == NULL)
                return DYN_OK;
        if (!cJSON_IsObject(to->stream_options))
                return problem_set(p, DYN_INVALID, "stream_options", NULL,
                        "\"stream_options\": expected an object, found %s",
                        json_describe(to->stream_options, found, sizeof found));
        if (!to->stream)
                return problem_set(p, DYN_INVALID, "stream_options", NULL,
                        "\"stream_options\": expected only where \"stream\" is true");
        if (read_rows(to->stream_options, OF_STREAM_OPTIONS, to, p) == DYN_OK)
                return DYN_OK;
        dyn_fail_in(&p->err, "stream_options");
        return problem_of(p, "stream_options", p->code);
}

// Chat's "logprobs" switches "top_logprobs" on; without one, the chosen token alone is reported.
static enum dyn_status settle_chat_logprobs(struct params *to, struct problem *p)
{
        if (!to->logprobs && to->n_logprobs > 0)
                return problem_set(p, DYN_INVALID, "top_logprobs", NULL,
                        "\"top_logprobs\": expected only where \"logprobs\" is true");
        if (!to->logprobs)
                to->n_logprobs = -1;
        else if (to->n_logprobs < 0)
                to->n_logprobs = 0;
        return DYN_OK;
}

// Numbers are doubles here: a seed over 2^53 is taken as the nearest of them.
static enum dyn_status check_seed(const struct params *to, struct problem *p)
{
        double v = to->seed ? to->seed->valuedouble : 0;
        char found[100];

        if (to->seed == NULL || (cJSON_IsNumber(to->seed) && v == floor(v) && v >= -0x1p63 && v < 0x1p64))
                return DYN_OK;
        return problem_set(p, DYN_INVALID, "seed", NULL, "\"seed\": expected a whole number of 64 bits, found %s",
                json_describe(to->seed, found, sizeof found));
}

static enum dyn_status check_together(enum fields_of of, struct params *to, struct problem *p)
{
        enum dyn_status st = read_stream_options(to, p);

        if (st == DYN_OK && of == OF_CHAT)
                st = settle_chat_logprobs(to, p);
        if (st == DYN_OK)
                st = check_seed(to, p);
        if (st != DYN_OK)
                return st;
        if (to->max_completion_tokens >= 0) // OpenAI's newer name for the same limit
                to->max_tokens = to->max_completion_tokens;
        if (to->stream && to->n_prompt_logprobs >= 0)
                return problem_set(p, DYN_INVALID, "prompt_logprobs", NULL,
                        "\"prompt_logprobs\": expected only where \"stream\" is false");
        if (to->max_tokens >= 0 && to->min_tokens > to->max_tokens)
                return problem_set(p, DYN_INVALID, "min_tokens", NULL,
                        "\"min_tokens\": expected at most max_tokens, %lld, found %lld", (long long)to->max_tokens,
                        (long long)to->min_tokens);
        return DYN_OK;
}

enum dyn_status fields_read(const cJSON *body, enum fields_of of, struct params *to, struct problem *p)
{
        *to = (struct params){.temperature = 1,
                .top_p = 1,
                .repetition_penalty = 1,
                .max_tokens = -1,
                .max_completion_tokens = -1,
                .n = 1,
                .n_logprobs = -1,
                .n_prompt_logprobs = -1,
                .skip_special_tokens = true,
                .add_generation_prompt = true,
                .add_special_tokens = of == OF_COMPLETIONS || of == OF_TOKENIZE};
        enum dyn_status st = read_rows(body, of, to, p);
        if (st == DYN_OK && of & OF_GENERATION)
                st = check_together(of, to, p);
        return st;
}

enum dyn_status fields_parse(
        const char *text, size_t len, enum fields_of of, cJSON **body, struct params *to, struct problem *p)
{
        char found[100];

        *body = NULL;
        p->about = ABOUT_REQUEST;
        if (json_parse(text, len, body, &p->err) != DYN_OK) {
                dyn_fail_in(&p->err, "the body");
                return problem_of(p, NULL, "invalid_json");
        }
        enum dyn_status st = DYN_OK;
        if (!cJSON_IsObject(*body))
                st = problem_set(p, DYN_INVALID, NULL, "invalid_json", "the body: expected a JSON object, found %s",
                        json_describe(*body, found, sizeof found));
        if (st == DYN_OK)
                st = fields_read(*body, of, to, p);
        if (st != DYN_OK) {
                cJSON_Delete(*body);
                *body = NULL;
        }
        return st;
}

void fields_prune(cJSON *body, struct params *params)
{
        static const char *const kept[] = {"model", "adapter", "stop"};

        for (cJSON *v = body->child, *next; v != NULL; v = next) {
                bool keep = false;

                next = v->next;
                for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
                        keep |= strcmp(v->string, kept[i]) == 0;
                if (!keep)
                        cJSON_Delete(cJSON_DetachItemViaPointer(body, v));
        }
        params->prompt = params->messages = params->chat_template_kwargs = params->tokens = NULL;
        params->seed = params->logit_bias = params->stop_token_ids = params->stream_options = NULL;
}
