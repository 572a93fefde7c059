#include <string.h>

#include "base/alloc.h"
#include "text/hf_steps.h"
#include "text/pattern.h"

#define MAX_GROWTH 300 // times; U+2581 for a space is 3

static enum dyn_status normalize_form(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase"};
        const char *type = json_member(o, "type")->valuestring;

        for (int i = 0; i < 5; i++)
                if (strcmp(type, names[i]) == 0)
                        normalizer_add(&t->normalizer, &(struct normalizer_step){.kind = (enum normalizer_kind)i});
        return DYN_OK;
}

static enum dyn_status normalize_prepend(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        const char *content;
        enum dyn_status st = hf_need_string(o, "prepend", &content, err);

        if (st == DYN_OK)
                normalizer_add(&t->normalizer,
                        &(struct normalizer_step){.kind = NORMALIZE_PREPEND, .content = mem_strdup(content)});
        return st;
}

static enum dyn_status normalize_strip(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        struct normalizer_step step = {.kind = NORMALIZE_STRIP, .left = true, .right = true};
        enum dyn_status st = json_get_bool(o, "strip_left", &step.left, err);

        if (st == DYN_OK)
                st = json_get_bool(o, "strip_right", &step.right, err);
        if (st == DYN_OK)
                normalizer_add(&t->normalizer, &step);
        return st;
}

// Steps multiply: a few that each make one character into many would turn a small text into gigabytes.
static enum dyn_status check_growth(
        struct normalizer *n, const char *pattern, bool regex, const char *content, struct dyn_error *err)
{
        double from = regex || *pattern == 0 ? 1 : (double)strlen(pattern), to = (double)strlen(content) + regex;

        if (n->growth == 0)
                n->growth = 1;
        if (to > from)
                n->growth *= to / from;
        if (n->growth > MAX_GROWTH)
                return dyn_fail(err, DYN_UNSUPPORTED, "replacements that make a text over %d times longer", MAX_GROWTH);
        return DYN_OK;
}

enum dyn_status hf_replace(struct normalizer *n, const cJSON *o, bool regexes, struct dyn_error *err)
{
        struct normalizer_step step = {.kind = NORMALIZE_REPLACE};
        struct buf translated = {0};
        const char *pattern, *content;
        bool regex;

        enum dyn_status st = hf_need_string(o, "content", &content, err);
        if (st == DYN_OK)
                st = hf_need_pattern(o, &pattern, &regex, err);
        if (st == DYN_OK)
                st = check_growth(n, pattern, regex, content, err);
        if (st != DYN_OK)
                return st;
        if (!regex) {
                step.pattern = mem_strdup(pattern);
        } else if (!regexes) {
                return dyn_fail(err, DYN_UNSUPPORTED, "\"pattern\": a Regex is not supported here");
        } else {
                st = pattern_translate(&translated, pattern, err);
                if (st == DYN_OK)
                        st = regex_create(&step.regex, translated.data ? translated.data : "", err);
                buf_free(&translated);
                if (st != DYN_OK)
                        return st;
        }
        step.content = mem_strdup(content);
        normalizer_add(n, &step);
        return DYN_OK;
}

static enum dyn_status normalize_replace(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        return hf_replace(&t->normalizer, o, true, err);
}

static const struct hf_step rows[] = {
        {"NFC", {NULL}, normalize_form, 0, false},
        {"NFD", {NULL}, normalize_form, 0, false},
        {"NFKC", {NULL}, normalize_form, 0, false},
        {"NFKD", {NULL}, normalize_form, 0, false},
        {"Lowercase", {NULL}, normalize_form, 0, false},
        {"Prepend", {"prepend"}, normalize_prepend, 0, false},
        {"Replace", {"pattern", "content"}, normalize_replace, 0, false},
        {"Strip", {"strip_left", "strip_right"}, normalize_strip, 0, false},
        {0},
};

enum dyn_status hf_normalizer_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        return hf_steps_parse(t, root, "normalizer", "normalizers", rows, err);
}
