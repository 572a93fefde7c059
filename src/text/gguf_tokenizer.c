#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "io/gguf.h"
#include "text/gguf_pre.h"
#include "text/parts.h"
#include "text/pattern.h"

#define KEY(name) "tokenizer.ggml." name

// tokenizer.ggml.token_type
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

static enum dyn_status count_of(const struct gguf *g, const char *key, enum gguf_array_type type, int64_t expected,
        int64_t *n, struct dyn_error *err)
{
        enum dyn_status st = gguf_get_array(g, key, type, n, err);

        if (st != DYN_OK)
                return st;
        if (*n < 0)
                return dyn_fail(err, DYN_INVALID, "%s: expected an array, found none", key);
        if (expected >= 0 && *n != expected)
                return dyn_fail(err, DYN_INVALID, "%s: expected %lld elements, found %lld", key, (long long)expected,
                        (long long)*n);
        return DYN_OK;
}

// Which tokens merging may make: in SentencePiece the normal ones, in byte-level BPE all that are in use.
static bool is_indexed(int64_t type, bool sentencepiece)
{
        return type == TYPE_NORMAL || (sentencepiece ? type == TYPE_BYTE : type != TYPE_UNUSED);
}

static enum dyn_status load_tokens(struct tokenizer *t, const struct gguf *g, bool sentencepiece, struct dyn_error *err)
{
        int64_t n, n_types;
        size_t len;

        enum dyn_status st = count_of(g, KEY("tokens"), GGUF_STRINGS, -1, &n, err);
        if (st == DYN_OK)
                st = gguf_get_array(g, KEY("token_type"), GGUF_INTS, &n_types, err);
        if (st == DYN_OK && n_types >= 0)
                st = count_of(g, KEY("token_type"), GGUF_INTS, n, &n_types, err);
        for (int64_t i = 0; i < n && st == DYN_OK; i++) {
                const char *s = gguf_array_string(g, KEY("tokens"), i, &len);
                int64_t type = n_types >= 0 ? gguf_array_int(g, KEY("token_type"), i) : TYPE_NORMAL;
                struct added_token added = {.id = (int32_t)i, .special = type != TYPE_USER_DEFINED};

                if ((st = vocab_set(&t->vocab, i, s, len, err)) != DYN_OK)
                        return dyn_fail_in(err, KEY("tokens"));
                if (type < TYPE_NORMAL || type > TYPE_BYTE)
                        return dyn_fail(err, DYN_UNSUPPORTED, KEY("token_type") ": expected 1 to 6, found %lld",
                                (long long)type);
                if (is_indexed(type, sentencepiece))
                        vocab_index(&t->vocab, (int32_t)i);
                if (type == TYPE_CONTROL || type == TYPE_UNKNOWN)
                        t->vocab.tokens[i].flags |= VOCAB_SPECIAL;
                if (type == TYPE_CONTROL || type == TYPE_UNKNOWN || type == TYPE_USER_DEFINED)
                        added_put(&t->added, s, len, &added);
        }
        return st;
}

static enum dyn_status load_merges(struct tokenizer *t, const struct gguf *g, struct dyn_error *err)
{
        struct buf both = {0};
        int64_t n;
        size_t len;

        enum dyn_status st = count_of(g, KEY("merges"), GGUF_STRINGS, -1, &n, err);
        for (int64_t i = 0; i < n && st == DYN_OK; i++) {
                const char *s = gguf_array_string(g, KEY("merges"), i, &len);
                const char *space = len > 0 ? memchr(s + 1, ' ', len - 1) : NULL;
                int32_t left = -1, right = -1, ab = -1;

                if (space != NULL) {
                        size_t a = (size_t)(space - s), b = len - a - 1;

                        buf_clear(&both);
                        buf_append(&both, s, a);
                        buf_append(&both, space + 1, b);
                        left = vocab_find(&t->vocab, s, a);
                        right = vocab_find(&t->vocab, space + 1, b);
                        ab = vocab_find(&t->vocab, both.data, both.len);
                }
                if (left < 0 || right < 0 || ab < 0)
                        st = dyn_fail(err, DYN_INVALID,
                                KEY("merges") ": %lld: \"%.*s\": expected two tokens that make a third", (long long)i,
                                (int)(len < 60 ? len : 60), s);
                else
                        bpe_add_merge(&t->bpe, left, right, ab);
        }
        buf_free(&both);
        return st;
}

static enum dyn_status load_scores(struct tokenizer *t, const struct gguf *g, struct dyn_error *err)
{
        int64_t n;

        enum dyn_status st = count_of(g, KEY("scores"), GGUF_NUMBERS, t->vocab.n, &n, err);
        for (int i = 0; i < 256 && st == DYN_OK; i++)
                if (t->bpe.bytes[i] < 0)
                        st = dyn_fail(err, DYN_UNSUPPORTED,
                                KEY("tokens") ": expected a token <0x%02X>, as for every byte, found none", i);
        if (st != DYN_OK)
                return st;
        float *scores = mem_array((size_t)n, sizeof *scores);
        for (int64_t i = 0; i < n && st == DYN_OK; i++) {
                scores[i] = (float)gguf_array_number(g, KEY("scores"), i);
                if (!isfinite(scores[i]))
                        st = dyn_fail(err, DYN_INVALID, KEY("scores") ": %lld: expected a finite number", (long long)i);
        }
        if (st == DYN_OK)
                bpe_rank_by_score(&t->bpe, scores);
        mem_free(scores);
        return st;
}

static void add_space_prefix(struct tokenizer *t)
{
        normalizer_add(
                &t->normalizer, &(struct normalizer_step){.kind = NORMALIZE_PREPEND, .content = mem_strdup(" ")});
        t->decoder.fused = true;
        t->decoder.strip = 1;
        strcpy(t->decoder.strip_char, " ");
}

static void replace_text(struct normalizer *n, const char *pattern, const char *content)
{
        normalizer_add(
                n, &(struct normalizer_step){
                           .kind = NORMALIZE_REPLACE, .pattern = mem_strdup(pattern), .content = mem_strdup(content)});
}

// SentencePiece BPE: no words, U+2581 for spaces, merges by score.
static enum dyn_status load_sentencepiece(struct tokenizer *t, const struct gguf *g, struct dyn_error *err)
{
        bool prefix = true, squeeze = false;

        enum dyn_status st = gguf_get_bool(g, KEY("add_space_prefix"), &prefix, err);
        if (st == DYN_OK)
                st = gguf_get_bool(g, KEY("remove_extra_whitespaces"), &squeeze, err);
        if (st == DYN_OK && (squeeze || gguf_has(g, KEY("precompiled_charsmap"))))
                return dyn_fail(err, DYN_UNSUPPORTED, "%s is set, and that is not supported",
                        squeeze ? KEY("remove_extra_whitespaces") : KEY("precompiled_charsmap"));
        if (st == DYN_OK)
                st = load_tokens(t, g, true, err);
        if (st != DYN_OK)
                return st;
        if (prefix)
                add_space_prefix(t);
        replace_text(&t->normalizer, " ", "\xe2\x96\x81");
        replace_text(&t->decoder.replace, "\xe2\x96\x81", " ");
        t->decoder.byte_fallback = true;
        bpe_init(&t->bpe, &t->vocab);
        return load_scores(t, g, err);
}

static enum dyn_status apply_pre(struct tokenizer *t, const struct gguf *g, bool *add_bos, struct dyn_error *err)
{
        const char *name = "";
        size_t len = 0;

        enum dyn_status st = gguf_get_string(g, KEY("pre"), &name, &len, err);
        if (st != DYN_OK)
                return st;
        const struct gguf_pre *pre = gguf_pre_find(name, len);
        if (pre == NULL)
                return dyn_fail(err, DYN_UNSUPPORTED, KEY("pre") ": the pre-tokenizer \"%.*s\" is not supported",
                        (int)(len < 60 ? len : 60), name);
        if (pre->nfc)
                normalizer_add(&t->normalizer, &(struct normalizer_step){.kind = NORMALIZE_NFC});
        for (size_t i = 0; i < sizeof pre->patterns / sizeof *pre->patterns && st == DYN_OK && pre->patterns[i]; i++) {
                struct buf pattern = {0};

                st = pattern_translate(&pattern, pre->patterns[i], err);
                if (st == DYN_OK)
                        st = split_add_pattern(&t->split, pattern.data, SPLIT_ISOLATED, false, err);
                buf_free(&pattern);
        }
        t->bpe.ignore_merges = pre->ignore_merges;
        *add_bos = pre->add_bos;
        return st;
}

static enum dyn_status load_byte_level(struct tokenizer *t, const struct gguf *g, bool *add_bos, struct dyn_error *err)
{
        bool prefix = false;

        t->bpe.byte_level = t->decoder.byte_level = true;
        enum dyn_status st = gguf_get_bool(g, KEY("add_space_prefix"), &prefix, err);
        if (st == DYN_OK && prefix)
                split_add(&t->split, &(struct split_step){.kind = SPLIT_PREFIX, .text = " "});
        if (st == DYN_OK)
                st = apply_pre(t, g, add_bos, err);
        if (st == DYN_OK)
                st = load_tokens(t, g, false, err);
        if (st != DYN_OK)
                return st;
        t->bpe.unk = -1;
        bpe_init(&t->bpe, &t->vocab);
        return load_merges(t, g, err);
}

// A token id in the metadata; -1 if the key is absent.
static enum dyn_status get_id(
        const struct tokenizer *t, const struct gguf *g, const char *key, int64_t *id, struct dyn_error *err)
{
        *id = -1;
        return gguf_get_int(g, key, 0, t->vocab.n - 1, id, err);
}

static char *written(const struct tokenizer *t, int64_t id)
{
        size_t len;

        if (id < 0)
                return NULL;
        const char *s = vocab_written(&t->vocab, (int32_t)id, &len);
        return mem_strndup(s, len);
}

// BOS and EOS, and whether they are put around a text.
static enum dyn_status load_ends(struct tokenizer *t, const struct gguf *g, bool add_bos, struct dyn_error *err)
{
        bool add_eos = false;
        int64_t bos, eos;

        enum dyn_status st = get_id(t, g, KEY("bos_token_id"), &bos, err);
        if (st == DYN_OK)
                st = get_id(t, g, KEY("eos_token_id"), &eos, err);
        if (st == DYN_OK)
                st = gguf_get_bool(g, KEY("add_bos_token"), &add_bos, err);
        if (st == DYN_OK)
                st = gguf_get_bool(g, KEY("add_eos_token"), &add_eos, err);
        if (st != DYN_OK)
                return st;
        t->bos = written(t, bos);
        t->eos = written(t, eos);
        if (add_bos && bos >= 0)
                tokens_push(&t->prefix, (int32_t)bos);
        if (add_eos && eos >= 0)
                tokens_push(&t->suffix, (int32_t)eos);
        return eos >= 0 ? parts_add_stop(t, eos, err) : DYN_OK;
}

// GGUF names few of the tokens that end an answer, so that llama.cpp goes by what control tokens are called, too.
static enum dyn_status load_stops(struct tokenizer *t, const struct gguf *g, struct dyn_error *err)
{
        static const char *const keys[] = {KEY("eot_token_id"), KEY("eom_token_id")};
        static const char *const names[] = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",
                "<|endoftext|>", "<|end|>", "<end_of_turn>", "<EOT>"};
        enum dyn_status st = DYN_OK;
        int64_t id;
        size_t len;

        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
                st = get_id(t, g, keys[i], &id, err);
                if (st == DYN_OK && id >= 0)
                        st = parts_add_stop(t, id, err);
                if (st != DYN_OK)
                        return st;
        }
        for (int32_t i = 0; i < t->vocab.n; i++) {
                if ((t->vocab.tokens[i].flags & VOCAB_SPECIAL) == 0)
                        continue;
                const char *s = vocab_written(&t->vocab, i, &len);
                for (size_t j = 0; j < sizeof names / sizeof *names && st == DYN_OK; j++)
                        if (strlen(names[j]) == len && memcmp(names[j], s, len) == 0)
                                st = parts_add_stop(t, i, err);
        }
        return st;
}

static enum dyn_status load_template(struct tokenizer *t, const struct gguf *g, struct dyn_error *err)
{
        const char *text = NULL;
        size_t len;

        enum dyn_status st = gguf_get_string(g, "tokenizer.chat_template", &text, &len, err);
        if (st != DYN_OK || text == NULL)
                return st;
        if (memchr(text, 0, len) != NULL)
                return dyn_fail(err, DYN_INVALID, "tokenizer.chat_template: expected text, found a NUL byte");
        t->chat_template = mem_strndup(text, len);
        return DYN_OK;
}

enum dyn_status gguf_tokenizer_load(struct tokenizer *t, const struct gguf *g, struct dyn_error *err)
{
        const char *model = "";
        size_t len = 0;
        bool add_bos;

        enum dyn_status st = gguf_get_string(g, KEY("model"), &model, &len, err);
        if (st != DYN_OK)
                return st;
        if (len == 5 && memcmp(model, "llama", 5) == 0) {
                add_bos = true;
                st = load_sentencepiece(t, g, err);
        } else if (len == 4 && memcmp(model, "gpt2", 4) == 0) {
                add_bos = false;
                st = load_byte_level(t, g, &add_bos, err);
        } else {
                return dyn_fail(err, DYN_UNSUPPORTED, KEY("model") ": the tokenizer \"%.*s\" is not supported",
                        (int)(len < 60 ? len : 60), model);
        }
        if (st == DYN_OK)
                st = load_ends(t, g, add_bos, err);
        if (st == DYN_OK)
                st = load_stops(t, g, err);
        if (st == DYN_OK)
                st = load_template(t, g, err);
        return st == DYN_OK ? parts_complete(t, err) : st;
}
