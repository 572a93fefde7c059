#include <string.h>

#include "text/charclass.h"
#include "text/hf_steps.h"
#include "text/pattern.h"

static enum dyn_status split_byte_level(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        bool prefix = true, regex = true;
        struct buf pattern = {0};

        enum dyn_status st = json_get_bool(o, "add_prefix_space", &prefix, err);
        if (st == DYN_OK)
                st = json_get_bool(o, "use_regex", &regex, err);
        if (st != DYN_OK)
                return st;
        if (prefix)
                split_add(&t->split, &(struct split_step){.kind = SPLIT_PREFIX, .text = " "});
        if (regex) {
                st = pattern_translate(&pattern, PATTERN_GPT2, err);
                if (st == DYN_OK)
                        st = split_add_pattern(&t->split, pattern.data, SPLIT_ISOLATED, false, err);
                buf_free(&pattern);
        }
        t->bpe.byte_level = true;
        return st;
}

static enum dyn_status need_behavior(const cJSON *o, enum split_behavior *out, struct dyn_error *err)
{
        static const char *const names[] = {
                "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
        const char *name;
        enum dyn_status st = hf_need_string(o, "behavior", &name, err);

        if (st != DYN_OK)
                return st;
        for (int i = 0; i < 5; i++)
                if (strcmp(name, names[i]) == 0) {
                        *out = (enum split_behavior)i;
                        return DYN_OK;
                }
        return dyn_fail(err, DYN_UNSUPPORTED, "\"behavior\": \"%.40s\" is not supported", name);
}

static enum dyn_status split_pattern(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        enum split_behavior behavior = SPLIT_ISOLATED;
        struct buf pattern = {0};
        bool invert = false;

        enum dyn_status st = need_behavior(o, &behavior, err);
        if (st == DYN_OK)
                st = json_get_bool(o, "invert", &invert, err);
        if (st == DYN_OK)
                st = hf_need_regex(o, &pattern, err);
        if (st == DYN_OK)
                st = split_add_pattern(&t->split, pattern.data ? pattern.data : "", behavior, invert, err);
        buf_free(&pattern);
        return st;
}

static enum dyn_status split_digits(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        bool individual = false;
        struct buf pattern = {0};

        enum dyn_status st = json_get_bool(o, "individual_digits", &individual, err);
        if (st != DYN_OK)
                return st;
        buf_printf(&pattern, "[\\p{N}%s%s]", charclass_newer("N", 1), CLASS_NUMERIC_17);
        st = split_add_pattern(&t->split, pattern.data, individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false, err);
        buf_free(&pattern);
        return st;
}

static enum dyn_status split_whitespace(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        struct buf word = {0}, pattern = {0};

        if (strcmp(json_member(o, "type")->valuestring, "WhitespaceSplit") == 0)
                return split_add_pattern(&t->split, "[" CLASS_SPACE "]", SPLIT_REMOVED, false, err);
        charclass_put_word(&word);
        buf_puts(&word, "\\x{200c}\\x{200d}");
        buf_printf(&pattern, "[%s]+|[^%s" CLASS_SPACE "]+", word.data, word.data);
        enum dyn_status st = split_add_pattern(&t->split, pattern.data, SPLIT_REMOVED, true, err);
        buf_free(&word);
        buf_free(&pattern);
        return st;
}

enum dyn_status hf_metaspace(const cJSON *o, char with[static 8], const char **scheme, struct dyn_error *err)
{
        bool prefix = true;

        *scheme = NULL;
        enum dyn_status st = hf_need_char(o, "replacement", with, err);
        if (st == DYN_OK)
                st = json_get_string(o, "prepend_scheme", scheme, err);
        if (st == DYN_OK)
                st = json_get_bool(o, "add_prefix_space", &prefix, err);
        if (st != DYN_OK)
                return st;
        if (*scheme == NULL)
                *scheme = prefix ? "always" : "never";
        if (!prefix && strcmp(*scheme, "never") != 0)
                return dyn_fail(
                        err, DYN_INVALID, "\"add_prefix_space\" is false and \"prepend_scheme\" is \"%.20s\"", *scheme);
        if (strcmp(*scheme, "always") != 0 && strcmp(*scheme, "first") != 0 && strcmp(*scheme, "never") != 0)
                return dyn_fail(err, DYN_UNSUPPORTED, "\"prepend_scheme\": \"%.40s\" is not supported", *scheme);
        return DYN_OK;
}

static enum dyn_status split_metaspace(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        struct split_step spaces = {.kind = SPLIT_SPACES}, prefix = {.kind = SPLIT_PREFIX};
        struct buf pattern = {0};
        const char *scheme;
        bool split = true;

        enum dyn_status st = hf_metaspace(o, spaces.text, &scheme, err);
        if (st == DYN_OK)
                st = json_get_bool(o, "split", &split, err);
        for (int i = 0; i < t->split.n && st == DYN_OK; i++)
                if (t->split.steps[i].kind == SPLIT_SPACES)
                        st = dyn_fail(err, DYN_UNSUPPORTED, "a second one is not supported");
        if (st != DYN_OK)
                return st;
        split_add(&t->split, &spaces);
        strcpy(prefix.text, spaces.text);
        prefix.first_only = scheme[0] == 'f';
        if (scheme[0] != 'n')
                split_add(&t->split, &prefix);
        if (split) {
                pattern_quote(&pattern, spaces.text);
                st = split_add_pattern(&t->split, pattern.data, SPLIT_WITH_NEXT, false, err);
                buf_free(&pattern);
        }
        return st;
}

static const struct hf_step rows[] = {
        {"ByteLevel", {"add_prefix_space", "trim_offsets", "use_regex"}, split_byte_level, 2, true},
        {"Split", {"pattern", "behavior", "invert"}, split_pattern, 1, false},
        {"Digits", {"individual_digits"}, split_digits, 1, false},
        {"Whitespace", {NULL}, split_whitespace, 1, false},
        {"WhitespaceSplit", {NULL}, split_whitespace, 1, false},
        {"Metaspace", {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"}, split_metaspace, 1,
                false},
        {0},
};

enum dyn_status hf_split_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        return hf_steps_parse(t, root, "pre_tokenizer", "pretokenizers", rows, err);
}
