#include "text/hf_model.h"

#include <math.h>
#include <string.h>

static enum dyn_status parse_vocab(struct tokenizer *t, const cJSON *vocab, struct dyn_error *err)
{
        const cJSON *c;

        if (!cJSON_IsObject(vocab))
                return dyn_fail(err, DYN_INVALID, "\"vocab\": expected an object");
        cJSON_ArrayForEach(c, vocab)
        {
                if (!cJSON_IsNumber(c) || c->valuedouble != floor(c->valuedouble) || fabs(c->valuedouble) > INT32_MAX)
                        return dyn_fail(err, DYN_INVALID, "\"vocab\": \"%.60s\": expected an id", c->string);
                enum dyn_status st = vocab_set(&t->vocab, (int64_t)c->valuedouble, c->string, strlen(c->string), err);
                if (st != DYN_OK)
                        return st;
                vocab_index(&t->vocab, (int32_t)c->valuedouble);
        }
        return DYN_OK;
}

// Members that only training or another kind of model gives a value.
static enum dyn_status check_unused(const cJSON *model, struct dyn_error *err)
{
        static const char *const known[] = {"type", "dropout", "unk_token", "continuing_subword_prefix",
                "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"};
        const size_t n_known = sizeof known / sizeof *known;
        const cJSON *c;

        cJSON_ArrayForEach(c, model)
        {
                size_t i = 0;

                while (i < n_known && strcmp(known[i], c->string) != 0)
                        i++;
                if (i == n_known)
                        return dyn_fail(err, DYN_UNSUPPORTED, "\"%.60s\" is not supported", c->string);
                bool empty = cJSON_IsNull(c) || (cJSON_IsString(c) && c->valuestring[0] == 0);
                if (!empty && (strcmp(c->string, "continuing_subword_prefix") == 0 ||
                                      strcmp(c->string, "end_of_word_suffix") == 0))
                        return dyn_fail(err, DYN_UNSUPPORTED, "\"%s\" is set, and that is not supported", c->string);
                if (!empty && strcmp(c->string, "dropout") == 0 && !(cJSON_IsNumber(c) && c->valuedouble == 0))
                        return dyn_fail(err, DYN_UNSUPPORTED, "\"dropout\" is set, and that is not supported");
        }
        return DYN_OK;
}

static enum dyn_status parse_model(struct tokenizer *t, const cJSON *model, struct dyn_error *err)
{
        const char *type = "BPE";

        if (!cJSON_IsObject(model))
                return dyn_fail(err, DYN_INVALID, "expected an object");
        enum dyn_status st = json_get_string(model, "type", &type, err);
        if (st != DYN_OK)
                return st;
        if (strcmp(type, "BPE") != 0)
                return dyn_fail(err, DYN_UNSUPPORTED, "\"type\": expected \"BPE\", found \"%.40s\"", type);
        if ((st = check_unused(model, err)) != DYN_OK)
                return st;
        return parse_vocab(t, json_member(model, "vocab"), err);
}

enum dyn_status hf_model_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        enum dyn_status st = parse_model(t, json_member(root, "model"), err);

        return st == DYN_OK ? DYN_OK : dyn_fail_in(err, "model");
}

// The two halves of a merge: ["a", "b"] or "a b".
static bool merge_halves(const cJSON *c, const char **a, size_t *a_len, const char **b, size_t *b_len)
{
        if (cJSON_IsArray(c)) {
                const cJSON *first = c->child, *second = first ? first->next : NULL;

                if (!cJSON_IsString(first) || !cJSON_IsString(second) || second->next != NULL)
                        return false;
                *a = first->valuestring;
                *a_len = strlen(*a);
                *b = second->valuestring;
        } else {
                const char *space = cJSON_IsString(c) ? strchr(c->valuestring, ' ') : NULL;

                if (space == NULL || strchr(space + 1, ' ') != NULL)
                        return false;
                *a = c->valuestring;
                *a_len = (size_t)(space - *a);
                *b = space + 1;
        }
        *b_len = strlen(*b);
        return true;
}

static enum dyn_status parse_merges(struct tokenizer *t, const cJSON *merges, struct dyn_error *err)
{
        struct buf both = {0};
        enum dyn_status st = DYN_OK;
        size_t a_len, b_len, n = 0;
        const char *a, *b;
        const cJSON *c;

        if (!cJSON_IsArray(merges))
                return dyn_fail(err, DYN_INVALID, "\"merges\": expected an array");
        cJSON_ArrayForEach(c, merges)
        {
                if (cJSON_IsString(c) && strncmp(c->valuestring, "#version", 8) == 0)
                        continue;
                if (!merge_halves(c, &a, &a_len, &b, &b_len)) {
                        st = dyn_fail(err, DYN_INVALID, "\"merges\": %zu: expected two tokens", n);
                        break;
                }
                buf_clear(&both);
                buf_append(&both, a, a_len);
                buf_append(&both, b, b_len);
                int32_t left = vocab_find(&t->vocab, a, a_len), right = vocab_find(&t->vocab, b, b_len);
                int32_t ab = vocab_find(&t->vocab, both.data, both.len);
                if (left < 0 || right < 0 || ab < 0) {
                        st = dyn_fail(err, DYN_INVALID,
                                "\"merges\": %zu: \"%.40s\": expected two tokens that make a third", n, both.data);
                        break;
                }
                bpe_add_merge(&t->bpe, left, right, ab);
                n++;
        }
        buf_free(&both);
        return st;
}

static enum dyn_status parse_bpe(struct tokenizer *t, const cJSON *model, struct dyn_error *err)
{
        const char *unk = NULL;
        enum dyn_status st = json_get_bool(model, "fuse_unk", &t->bpe.fuse_unk, err);

        if (st == DYN_OK)
                st = json_get_bool(model, "byte_fallback", &t->bpe.byte_fallback, err);
        if (st == DYN_OK)
                st = json_get_bool(model, "ignore_merges", &t->bpe.ignore_merges, err);
        if (st == DYN_OK)
                st = json_get_string(model, "unk_token", &unk, err);
        if (st != DYN_OK)
                return st;
        if (t->bpe.byte_level && t->bpe.byte_fallback)
                return dyn_fail(
                        err, DYN_UNSUPPORTED, "\"byte_fallback\" is set, and that is not supported with ByteLevel");
        t->bpe.unk = unk ? vocab_find(&t->vocab, unk, strlen(unk)) : -1;
        if (unk != NULL && t->bpe.unk < 0)
                return dyn_fail(err, DYN_INVALID, "\"unk_token\": \"%.60s\" is not in the vocabulary", unk);
        bpe_init(&t->bpe, &t->vocab);
        return parse_merges(t, json_member(model, "merges"), err);
}

enum dyn_status hf_merges_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        enum dyn_status st = parse_bpe(t, json_member(root, "model"), err);

        return st == DYN_OK ? DYN_OK : dyn_fail_in(err, "model");
}

struct flags {
        int64_t id;
        const char *content;
        bool lstrip, rstrip, single_word, normalized, special;
};

static enum dyn_status parse_flags(const cJSON *o, struct flags *f, struct dyn_error *err)
{
        const struct {
                const char *name;
                bool *to;
        } rows[] = {{"lstrip", &f->lstrip}, {"rstrip", &f->rstrip}, {"single_word", &f->single_word},
                {"normalized", &f->normalized}, {"special", &f->special}};

        *f = (struct flags){.id = -1, .normalized = true};
        if (!cJSON_IsObject(o))
                return dyn_fail(err, DYN_INVALID, "expected an object");
        enum dyn_status st = json_get_int(o, "id", 0, VOCAB_MAX_IDS - 1, &f->id, err);
        if (st == DYN_OK)
                st = json_get_string(o, "content", &f->content, err);
        for (size_t i = 0; i < sizeof rows / sizeof *rows && st == DYN_OK; i++)
                st = json_get_bool(o, rows[i].name, rows[i].to, err);
        if (st == DYN_OK && (f->id < 0 || f->content == NULL || *f->content == 0))
                return dyn_fail(err, DYN_INVALID, "expected \"id\" and \"content\"");
        return st;
}

static enum dyn_status parse_added(struct tokenizer *t, const cJSON *o, struct dyn_error *err)
{
        struct flags f;
        size_t len;

        enum dyn_status st = parse_flags(o, &f, err);
        if (st != DYN_OK)
                return st;
        int32_t id = vocab_find(&t->vocab, f.content, strlen(f.content));
        if (id >= 0 && id != f.id)
                return dyn_fail(err, DYN_INVALID, "\"%.60s\": expected id %d as in the vocabulary, found %lld",
                        f.content, id, (long long)f.id);
        if (!vocab_has(&t->vocab, (int32_t)f.id)) {
                st = vocab_set(&t->vocab, f.id, f.content, strlen(f.content), err);
                if (st != DYN_OK)
                        return st;
        }
        const char *written = vocab_written(&t->vocab, (int32_t)f.id, &len);
        if (len != strlen(f.content) || memcmp(written, f.content, len) != 0)
                return dyn_fail(err, DYN_INVALID, "\"%.60s\": id %lld is another token's", f.content, (long long)f.id);
        if (f.special)
                t->vocab.tokens[f.id].flags |= VOCAB_SPECIAL;
        return DYN_OK;
}

enum dyn_status hf_added_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        const cJSON *list = json_member(root, "added_tokens"), *c;
        enum dyn_status st = DYN_OK;

        if (list != NULL && !cJSON_IsArray(list) && !cJSON_IsNull(list))
                return dyn_fail(err, DYN_INVALID, "added_tokens: expected an array");
        cJSON_ArrayForEach(c, list)
        {
                if ((st = parse_added(t, c, err)) != DYN_OK)
                        return dyn_fail_in(err, "added_tokens");
        }
        return st;
}

// A token with "normalized" is matched after normalisation, as the normaliser writes it, and decodes to that.
static enum dyn_status match_added(struct tokenizer *t, const struct flags *f, struct regex_scratch *scratch,
        struct buf *out, struct buf *other, struct dyn_error *err)
{
        struct added_token token = {(int32_t)f->id, f->lstrip, f->rstrip, f->single_word, f->special};
        enum dyn_status st = DYN_OK;
        size_t len = strlen(f->content);

        if (!f->normalized) {
                added_put(&t->added, f->content, len, &token);
                return DYN_OK;
        }
        const char *content = normalizer_run(&t->normalizer, scratch, f->content, &len, out, other);
        if (content != f->content)
                st = vocab_set_source(&t->vocab, (int32_t)f->id, content, len, err);
        if (len > 0)
                added_put(&t->added_normalized, content, len, &token);
        return st;
}

// Special tokens come first, so that they win over others of the same content.
enum dyn_status hf_added_match(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        const cJSON *list = json_member(root, "added_tokens"), *c;
        struct regex_scratch *scratch = regex_scratch_create();
        struct buf out = {0}, other = {0};
        enum dyn_status st = DYN_OK;
        struct flags f;

        for (int special = 1; special >= 0; special--)
                cJSON_ArrayForEach(c, list)
                {
                        if (st == DYN_OK && parse_flags(c, &f, err) == DYN_OK && f.special == (special == 1))
                                st = match_added(t, &f, scratch, &out, &other, err);
                }
        buf_free(&out);
        buf_free(&other);
        regex_scratch_destroy(scratch);
        return st;
}
