#include <string.h>

#include "text/hf_steps.h"

static enum dyn_status decode_byte_level(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        t->decoder.byte_level = true;
        return DYN_OK;
}

static enum dyn_status decode_replace(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        return hf_replace(&t->decoder.replace, o, false, err);
}

static enum dyn_status decode_byte_fallback(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        t->decoder.byte_fallback = true;
        return DYN_OK;
}

static enum dyn_status decode_fuse(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        t->decoder.fused = true;
        return DYN_OK;
}

static enum dyn_status decode_strip(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        int64_t start = 0, stop = 0;

        enum dyn_status st = hf_need_char(o, "content", t->decoder.strip_char, err);
        if (st == DYN_OK)
                st = json_get_int(o, "start", 0, INT32_MAX, &start, err);
        if (st == DYN_OK)
                st = json_get_int(o, "stop", 0, INT32_MAX, &stop, err);
        if (st != DYN_OK)
                return st;
        if (stop != 0 || !t->decoder.fused)
                return dyn_fail(err, DYN_UNSUPPORTED, "only supported at the start of a fused text");
        t->decoder.strip = (int)start;
        return DYN_OK;
}

static enum dyn_status decode_metaspace(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        struct normalizer_step spaces = {.kind = NORMALIZE_REPLACE};
        char with[8];
        const char *scheme;

        enum dyn_status st = hf_metaspace(o, with, &scheme, err);
        if (st != DYN_OK)
                return st;
        spaces.pattern = mem_strdup(with);
        spaces.content = mem_strdup(" ");
        normalizer_add(&t->decoder.replace, &spaces);
        if (strcmp(scheme, "never") != 0)
                strcpy(t->decoder.drop_first, with);
        return DYN_OK;
}

static const struct hf_step rows[] = {
        {"Replace", {"pattern", "content"}, decode_replace, 1, false},
        {"ByteFallback", {NULL}, decode_byte_fallback, 2, true},
        {"Fuse", {NULL}, decode_fuse, 3, true},
        {"Strip", {"content", "start", "stop"}, decode_strip, 4, true},
        {0},
};

// These two stand alone.
static const struct hf_step whole[] = {
        {"ByteLevel", {"add_prefix_space", "trim_offsets", "use_regex"}, decode_byte_level, 1, true},
        {"Metaspace", {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"}, decode_metaspace, 1, true},
        {0},
};
