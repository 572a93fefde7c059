#include <string.h>

#include "text/hf_steps.h"

// Only offsets depend on it.
static enum dyn_status post_byte_level(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        return DYN_OK;
}

// The ids that `special_tokens` gives for one name.
static enum dyn_status push_ids(
        struct tokenizer *t, struct tokens *out, const cJSON *o, const char *name, struct dyn_error *err)
{
        const cJSON *specials = json_member(o, "special_tokens");
        const cJSON *special = specials ? json_member(specials, name) : NULL;
        const cJSON *ids = special ? json_member(special, "ids") : NULL;
        const cJSON *id;

        if (!cJSON_IsArray(ids))
                return dyn_fail(err, DYN_INVALID, "\"special_tokens\": no ids for \"%.60s\"", name);
        cJSON_ArrayForEach(id, ids)
        {
                if (!cJSON_IsNumber(id) || id->valuedouble != id->valueint || !vocab_has(&t->vocab, id->valueint))
                        return dyn_fail(
                                err, DYN_INVALID, "\"special_tokens\": \"%.60s\": expected ids of tokens", name);
                tokens_push(out, id->valueint);
        }
        return DYN_OK;
}

// "single": what stands before and after the one sequence A.
static enum dyn_status post_template(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        const cJSON *single = json_member(o, "single"), *item;
        struct tokens *side = &t->prefix;
        enum dyn_status st = DYN_OK;

        if (!cJSON_IsArray(single))
                return dyn_fail(err, DYN_INVALID, "\"single\": expected an array");
        cJSON_ArrayForEach(item, single)
        {
                const cJSON *what = cJSON_IsObject(item) ? item->child : NULL;
                const char *id = NULL;

                if (what == NULL || what->next != NULL || !cJSON_IsObject(what))
                        return dyn_fail(err, DYN_INVALID, "\"single\": expected SpecialToken or Sequence");
                st = hf_need_string(what, "id", &id, err);
                if (st != DYN_OK)
                        return st;
                if (strcmp(what->string, "Sequence") == 0 && strcmp(id, "A") == 0 && side == &t->prefix)
                        side = &t->suffix;
                else if (strcmp(what->string, "SpecialToken") != 0)
                        return dyn_fail(
                                err, DYN_UNSUPPORTED, "\"single\": a second \"%.40s\" is not supported", what->string);
                else if ((st = push_ids(t, side, o, id, err)) != DYN_OK)
                        return st;
        }
        if (side == &t->prefix)
                return dyn_fail(err, DYN_INVALID, "\"single\": expected the sequence A, found none");
        return DYN_OK;
}

static const struct hf_step rows[] = {
        {"ByteLevel", {"add_prefix_space", "trim_offsets", "use_regex"}, post_byte_level, 1, false},
        {"TemplateProcessing", {"single", "pair", "special_tokens"}, post_template, 2, true},
        {0},
};

enum dyn_status hf_post_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        return hf_steps_parse(t, root, "post_processor", "processors", rows, err);
}
