#include <string.h>

#include "base/alloc.h"
#include "text/hf_steps.h"

// Steps that look at the token as it is written cannot follow those that made something else of it.
static enum dyn_status need_first(const struct tokenizer *t, bool replaced, struct dyn_error *err)
{
        if (t->decoder.byte_fallback || t->decoder.fused || replaced)
                return dyn_fail(err, DYN_UNSUPPORTED, "not supported after the steps before it");
        return DYN_OK;
}

static enum dyn_status decode_byte_level(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        t->decoder.byte_level = true;
        return need_first(t, false, err);
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

        enum dyn_status st = need_first(t, t->decoder.replace.n > 0, err);
        if (st == DYN_OK)
                st = hf_metaspace(o, with, &scheme, err);
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
        {"ByteLevel", {"add_prefix_space", "trim_offsets", "use_regex"}, decode_byte_level, 5, true},
        {"Metaspace", {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"}, decode_metaspace, 5,
                true},
        {0},
};

enum dyn_status hf_decoder_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        const cJSON *decoder = json_member(root, "decoder");

        if (decoder == NULL || cJSON_IsNull(decoder))
                return dyn_fail(err, DYN_UNSUPPORTED, "decoder: expected an object, found none");
        return hf_steps_parse(t, root, "decoder", "decoders", rows, err);
}
