#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "io/gguf.h"
#include "text/parts.h"
#include "text/utf8.h"

enum dyn_status tokenizer_open(struct tokenizer **out, const char *path, struct dyn_error *err)
{
        struct tokenizer *t = mem_zalloc(sizeof *t);
        struct gguf *gguf = NULL;
        struct dyn_error local;
        struct stat info;
        enum dyn_status st;

        *out = NULL;
        if (err == NULL)
                err = &local;
        if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
                st = hf_tokenizer_load(t, path, err);
        } else {
                st = gguf_open(&gguf, path, err);
                if (st == DYN_OK && (st = gguf_tokenizer_load(t, gguf, err)) != DYN_OK)
                        st = dyn_fail_in(err, path);
                gguf_close(gguf);
        }
        if (st != DYN_OK)
                tokenizer_destroy(t);
        else
                *out = t;
        return st;
}

void tokenizer_destroy(struct tokenizer *t)
{
        if (t == NULL)
                return;
        added_finish(&t->added);
        added_finish(&t->added_normalized);
        normalizer_finish(&t->normalizer);
        split_finish(&t->split);
        normalizer_finish(&t->decoder.replace);
        bpe_finish(&t->bpe);
        vocab_finish(&t->vocab);
        tokens_free(&t->prefix);
        tokens_free(&t->suffix);
        tokens_free(&t->stop);
        mem_free(t->bos);
        mem_free(t->eos);
        mem_free(t->chat_template);
        mem_free(t);
}

void tokens_push(struct tokens *t, int32_t id)
{
        if (t->n == t->cap) {
                t->cap = t->cap ? t->cap * 2 : 64;
                t->ids = mem_realloc(t->ids, (size_t)t->cap * sizeof *t->ids);
        }
        t->ids[t->n++] = id;
}

void tokens_free(struct tokens *t)
{
        mem_free(t->ids);
        *t = (struct tokens){0};
}

// One call of tokenizer_encode on its way.
struct encoding {
        const struct tokenizer *t;
        struct tokens *out;
        bool parse_special;
        const char *input, *normalized; // where a piece must begin to be the start of the input
        struct split_run run;
        struct bpe_scratch bpe;
        struct buf form, other;
};

static void encode_word(void *arg, const char *text, size_t len)
{
        struct encoding *e = arg;

        bpe_word(&e->t->bpe, &e->bpe, text, len, e->parse_special, e->out);
}

static void encode_normalized(void *arg, const char *text, size_t len, int32_t id)
{
        struct encoding *e = arg;

        if (id >= 0)
                tokens_push(e->out, id);
        else
                split_text(&e->run, text, len, text == e->normalized);
}

static void encode_piece(void *arg, const char *text, size_t len, int32_t id)
{
        struct encoding *e = arg;
        bool at_start = text == e->input;

        if (id >= 0) {
                tokens_push(e->out, id);
                return;
        }
        text = normalizer_run(&e->t->normalizer, e->run.scratch, text, &len, &e->form, &e->other);
        e->normalized = at_start ? text : NULL;
        added_split(&e->t->added_normalized, text, len, !e->parse_special, encode_normalized, e);
}

// Bytes that are not UTF-8 cut the text like added tokens; byte-level BPE can say them.
static void encode_bytes(struct encoding *e, const char *text, size_t len)
{
        uint32_t code;

        while (len > 0) {
                size_t valid = utf8_valid(text, len), bad = 0;

                added_split(&e->t->added, text, valid, !e->parse_special, encode_piece, e);
                while (valid + bad < len && utf8_next(text + valid + bad, text + len, &code) <= 0)
                        bad++;
                if (bad > 0)
                        encode_word(e, text + valid, bad);
                text += valid + bad;
                len -= valid + bad;
        }
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool add_special, bool parse_special,
        struct tokens *out)
{
        struct encoding e = {.t = t, .out = out, .parse_special = parse_special};
        struct buf repaired = {0};

        if (len == 0)
                text = "";
        e.input = text;
        e.run = (struct split_run){.split = &t->split, .word = encode_word, .arg = &e};
        e.run.scratch = regex_scratch_create();
        e.run.bufs = mem_array((size_t)t->split.n, sizeof *e.run.bufs);
        for (int i = 0; add_special && i < t->prefix.n; i++)
                tokens_push(out, t->prefix.ids[i]);
        if (!t->bpe.byte_level && utf8_valid(text, len) != len) {
                utf8_repair(&repaired, text, len, true);
                text = e.input = repaired.data;
                len = repaired.len;
        }
        encode_bytes(&e, text, len);
        for (int i = 0; add_special && i < t->suffix.n; i++)
                tokens_push(out, t->suffix.ids[i]);

        for (int i = 0; i < t->split.n; i++)
                buf_free(&e.run.bufs[i]);
        mem_free(e.run.bufs);
        regex_scratch_destroy(e.run.scratch);
        bpe_scratch_finish(&e.bpe);
        buf_free(&e.form);
        buf_free(&e.other);
        buf_free(&repaired);
}

int tokenizer_n_ids(const struct tokenizer *t)
{
        return t->vocab.n;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
        return vocab_has(&t->vocab, id) && (t->vocab.tokens[id].flags & VOCAB_SPECIAL) != 0;
}

const char *tokenizer_piece(const struct tokenizer *t, int32_t id, size_t *len)
{
        if (vocab_has(&t->vocab, id))
                return vocab_piece(&t->vocab, id, len);
        *len = 0;
        return "";
}

const int32_t *tokenizer_stop_ids(const struct tokenizer *t, int *n)
{
        *n = t->stop.n;
        return t->stop.ids;
}

const char *tokenizer_bos(const struct tokenizer *t)
{
        return t->bos;
}

const char *tokenizer_eos(const struct tokenizer *t)
{
        return t->eos;
}

const char *tokenizer_chat_template(const struct tokenizer *t)
{
        return t->chat_template;
}
