#include "text/detok.h"

#include <string.h>

#include "text/parts.h"
#include "text/utf8.h"

void detok_init(struct detok *d, const struct tokenizer *t, bool skip_special)
{
        *d = (struct detok){.tokenizer = t, .skip_special = skip_special, .strip_left = t->decoder.strip};
}

// Appends decoded text, less what is stripped at the start.
static void say(struct detok *d, const char *text, size_t len, struct buf *out)
{
        const char *strip = d->tokenizer->decoder.strip_char;
        size_t n = strlen(strip);

        while (d->strip_left > 0 && len > 0) {
                if (len < n || memcmp(text, strip, n) != 0) {
                        d->strip_left = 0;
                        break;
                }
                d->strip_left--;
                text += n;
                len -= n;
        }
        buf_append(out, text, len);
}

static void say_bad(struct detok *d, int n, struct buf *out)
{
        for (int i = 0; i < n; i++)
                say(d, "\xef\xbf\xbd", 3, out);
}

// Bytes of UTF-8 that may be cut anywhere.
static void push_bytes(struct detok *d, const char *s, size_t len, struct buf *out)
{
        uint32_t code;

        while (d->n_pending > 0 && len > 0) {
                d->pending[d->n_pending] = *s;
                int n = utf8_next(d->pending, d->pending + d->n_pending + 1, &code);
                if (n < 0) { // this byte does not go on with what waits
                        say_bad(d, 1, out);
                        d->n_pending = 0;
                        break;
                }
                s++;
                len--;
                d->n_pending++;
                if (n > 0) {
                        say(d, d->pending, (size_t)n, out);
                        d->n_pending = 0;
                }
        }
        size_t n = utf8_repair(out, s, len, false);
        memcpy(d->pending + d->n_pending, s + n, len - n);
        d->n_pending += (int)(len - n);
}

static void end_run(struct detok *d, struct buf *out)
{
        if (utf8_valid(d->pending, (size_t)d->n_pending) == (size_t)d->n_pending)
                say(d, d->pending, (size_t)d->n_pending, out);
        else
                say_bad(d, d->n_pending, out);
        d->n_pending = 0;
}

static void push_fallback(struct detok *d, char byte, struct buf *out)
{
        if (d->n_pending == (int)sizeof d->pending) {
                size_t n = utf8_valid(d->pending, sizeof d->pending);

                if (n == 0) {
                        end_run(d, out);
                } else {
                        say(d, d->pending, n, out);
                        d->n_pending -= (int)n;
                        memmove(d->pending, d->pending + n, (size_t)d->n_pending);
                }
        }
        d->pending[d->n_pending++] = byte;
}

// The first token of a text may lose a character.
static void say_without(struct detok *d, const char *s, size_t len, const char *drop, struct buf *out)
{
        size_t n = strlen(drop);

        for (const char *end = s + len, *hit; s < end; s = hit + n) {
                hit = memmem(s, (size_t)(end - s), drop, n);
                if (hit == NULL) {
                        say(d, s, (size_t)(end - s), out);
                        return;
                }
                say(d, s, (size_t)(hit - s), out);
        }
}

void detok_push(struct detok *d, int32_t id, struct buf *out)
{
        const struct tokenizer *t = d->tokenizer;
        const struct decoder *how = &t->decoder;
        size_t len;

        if (!vocab_has(&t->vocab, id) || (d->skip_special && tokenizer_is_special(t, id)))
                return;
        const char *s = vocab_piece(&t->vocab, id, &len);
        bool first = !d->started;
        d->started = true;
        if (how->byte_level) {
                push_bytes(d, s, len, out);
                return;
        }
        if (t->vocab.tokens[id].flags & VOCAB_BYTE) {
                push_fallback(d, *s, out);
                return;
        }
        end_run(d, out);
        if (first && how->drop_first[0] != 0) {
                s = vocab_source(&t->vocab, id, &len);
                say_without(d, s, len, how->drop_first, out);
        } else {
                say(d, s, len, out);
        }
}

void detok_finish(struct detok *d, struct buf *out)
{
        if (!d->tokenizer->decoder.byte_level)
                end_run(d, out);
        else if (d->n_pending > 0)
                say_bad(d, 1, out);
        d->n_pending = 0;
}
