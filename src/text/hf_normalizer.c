#include <string.h>

#include "base/alloc.h"
#include "text/hf_steps.h"
#include "text/pattern.h"

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

enum dyn_status hf_replace(struct normalizer *n, const cJSON *o, bool regexes, struct dyn_error *err)
{
        struct normalizer_step step = {.kind = NORMALIZE_REPLACE};
        struct buf translated = {0};
        const char *pattern, *content;
        bool regex;

        enum dyn_status st = hf_need_string(o, "content", &content, err);
        if (st == DYN_OK)
                st = hf_need_pattern(o, &pattern, &regex, err);
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
        {"NFC", {NULL}, normalize_form},
        {"NFD", {NULL}, normalize_form},
        {"NFKC", {NULL}, normalize_form},
        {"NFKD", {NULL}, normalize_form},
        {"Lowercase", {NULL}, normalize_form},
        {"Prepend", {"prepend"}, normalize_prepend},
        {"Replace", {"pattern", "content"}, normalize_replace},
        {"Strip", {"strip_left", "strip_right"}, normalize_strip},
        {0},
};

enum dyn_status hf_normalizer_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        return hf_steps_parse(t, root, "normalizer", "normalizers", rows, err);
}
