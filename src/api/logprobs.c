#include "api/logprobs.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

void logprobs_push(struct logprobs *l, const struct dyn_event *e, size_t text_at)
{
        if (l->n == l->cap) {
                l->cap = l->cap ? l->cap * 2 : 16;
                l->at = mem_realloc(l->at, l->cap * sizeof *l->at);
        }
        if (l->n_top + DYN_MAX_LOGPROBS > l->cap_top) {
                l->cap_top = l->cap_top * 2 + DYN_MAX_LOGPROBS;
                l->top = mem_realloc(l->top, l->cap_top * sizeof *l->top);
        }
        l->at[l->n++] = (struct token_prob){e->token, e->logprob, e->rank, e->n_top, l->n_top, text_at};
        memcpy(l->top + l->n_top, e->top, (size_t)e->n_top * sizeof *e->top);
        l->n_top += (size_t)e->n_top;
}

void logprobs_finish(struct logprobs *l)
{
        mem_free(l->at);
        mem_free(l->top);
        *l = (struct logprobs){0};
}

static int shown(const struct token_prob *t, const struct logprobs_style *style)
{
        return t->n_top < style->n_top ? t->n_top : style->n_top;
}

static void write_token(struct writer *w, int32_t id, const struct logprobs_style *style)
{
        char text[32];
        size_t len;

        if (style->tokens_as_ids) {
                snprintf(text, sizeof text, "token_id:%d", id);
                writer_string(w, text);
                return;
        }
        const char *piece = tokenizer_piece(style->tokenizer, id, &len);
        writer_bytes(w, piece, len);
}

// Completions
// ---------------------------------------------------------------------------------------------------------------

// "TOKEN": LOGPROB, unless keys, which lie one after the other in seen, have that token already: different tokens may
// look alike once bytes have become U+FFFD.
static void write_unique(
        struct writer *w, struct dyn_logprob p, const struct logprobs_style *style, struct buf *seen, struct buf *key)
{
        struct writer to_key = {key};

        buf_clear(key);
        write_token(&to_key, p.id, style);
        buf_putc(key, 0); // no key holds a NUL, so that none is found inside another
        if (seen->len != 0 && memmem(seen->data, seen->len, key->data, key->len) != NULL)
                return;
        buf_append(seen, key->data, key->len);
        write_token(w, p.id, style);
        buf_putc(w->out, ':');
        w->comma = false;
        writer_float(w, p.logprob);
}

static void write_top(struct writer *w, const struct logprobs *l, const struct token_prob *t,
        const struct logprobs_style *style, struct buf scratch[2])
{
        if (t->rank == 0) {
                writer_null(w);
                return;
        }
        buf_clear(&scratch[0]);
        writer_open(w, '{');
        for (int k = 0; k < shown(t, style); k++)
                write_unique(w, l->top[t->first_top + (size_t)k], style, &scratch[0], &scratch[1]);
        write_unique(w, (struct dyn_logprob){t->id, t->logprob}, style, &scratch[0], &scratch[1]);
        writer_close(w, '}');
}

enum column { TOKENS, TOKEN_LOGPROBS, TOP_LOGPROBS, TEXT_OFFSET };

static void write_cell(struct writer *w, enum column column, const struct logprobs *l, const struct token_prob *t,
        const struct logprobs_style *style, struct buf scratch[2])
{
        if (column == TOKENS)
                write_token(w, t->id, style);
        else if (column == TEXT_OFFSET)
                writer_int(w, (int64_t)t->text_at);
        else if (column == TOP_LOGPROBS)
                write_top(w, l, t, style, scratch);
        else if (t->rank == 0)
                writer_null(w);
        else
                writer_float(w, t->logprob);
}

void logprobs_write_completion(
        struct writer *w, const struct logprobs_run *runs, int n_runs, const struct logprobs_style *style)
{
        static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
        struct buf scratch[2] = {0};

        writer_open(w, '{');
        for (enum column column = TOKENS; column <= TEXT_OFFSET; column++) {
                writer_key(w, names[column]);
                writer_open(w, '[');
                for (int r = 0; r < n_runs; r++)
                        for (size_t i = runs[r].first; i < runs[r].end; i++)
                                write_cell(w, column, runs[r].of, &runs[r].of->at[i], style, scratch);
                writer_close(w, ']');
        }
        writer_close(w, '}');
        buf_free(&scratch[0]);
        buf_free(&scratch[1]);
}

// Chat
// ----------------------------------------------------------------------------------------------------------------------

static void write_members(struct writer *w, struct dyn_logprob p, const struct logprobs_style *style)
{
        size_t len;
        const char *piece = tokenizer_piece(style->tokenizer, p.id, &len);

        writer_key(w, "token");
        write_token(w, p.id, style);
        writer_key(w, "logprob");
        writer_float(w, p.logprob);
        writer_key(w, "bytes");
        writer_open(w, '[');
        for (size_t i = 0; i < len; i++)
                writer_int(w, (unsigned char)piece[i]);
        writer_close(w, ']');
}

void logprobs_write_chat(struct writer *w, struct logprobs_run run, const struct logprobs_style *style)
{
        writer_open(w, '{');
        writer_key(w, "content");
        writer_open(w, '[');
        for (size_t i = run.first; i < run.end; i++) {
                const struct token_prob *t = &run.of->at[i];

                writer_open(w, '{');
                write_members(w, (struct dyn_logprob){t->id, t->logprob}, style);
                writer_key(w, "top_logprobs");
                writer_open(w, '[');
                for (int k = 0; k < shown(t, style); k++) {
                        writer_open(w, '{');
                        write_members(w, run.of->top[t->first_top + (size_t)k], style);
                        writer_close(w, '}');
                }
                writer_close(w, ']');
                writer_close(w, '}');
        }
        writer_close(w, ']');
        writer_member_null(w, "refusal");
        writer_close(w, '}');
}

// The prompt
// ----------------------------------------------------------------------------------------------------------------

static void write_ranked(struct writer *w, struct dyn_logprob p, int rank, const struct tokenizer *tokenizer)
{
        char id[16];
        size_t len;
        const char *piece = tokenizer_piece(tokenizer, p.id, &len);

        snprintf(id, sizeof id, "%d", p.id);
        writer_key(w, id);
        writer_open(w, '{');
        writer_key(w, "logprob");
        writer_float(w, p.logprob);
        writer_member_int(w, "rank", rank);
        writer_key(w, "decoded_token");
        writer_bytes(w, piece, len);
        writer_close(w, '}');
}

void logprobs_write_prompt(struct writer *w, const struct logprobs *l, const struct logprobs_style *style)
{
        writer_open(w, '[');
        for (size_t i = 0; i < l->n; i++) {
                const struct token_prob *t = &l->at[i];

                if (t->rank == 0) {
                        writer_null(w);
                        continue;
                }
                writer_open(w, '{');
                write_ranked(w, (struct dyn_logprob){t->id, t->logprob}, t->rank, style->tokenizer);
                for (int k = 0; k < shown(t, style); k++)
                        if (l->top[t->first_top + (size_t)k].id != t->id)
                                write_ranked(w, l->top[t->first_top + (size_t)k], k + 1, style->tokenizer);
                writer_close(w, '}');
        }
        writer_close(w, ']');
}
