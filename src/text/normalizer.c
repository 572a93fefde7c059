#include "text/normalizer.h"

#include <assert.h>
#include <string.h>

#include <utf8proc.h>

#include "base/alloc.h"
#include "text/charclass.h"
#include "text/unicode_form.h"
#include "text/utf8.h"

void normalizer_add(struct normalizer *n, const struct normalizer_step *step)
{
        if (n->n == n->cap) {
                n->cap = n->cap ? n->cap * 2 : 4;
                n->steps = mem_realloc(n->steps, (size_t)n->cap * sizeof *n->steps);
        }
        n->steps[n->n++] = *step;
}

void normalizer_step_finish(struct normalizer_step *s)
{
        mem_free(s->content);
        mem_free(s->pattern);
        regex_destroy(s->regex);
}

void normalizer_finish(struct normalizer *n)
{
        for (int i = 0; i < n->n; i++)
                normalizer_step_finish(&n->steps[i]);
        mem_free(n->steps);
        *n = (struct normalizer){0};
}

static void lowercase(struct buf *out, const char *text, size_t len)
{
        uint32_t code = 0;

        for (size_t i = 0; i < len; i += (size_t)utf8_len(text + i)) {
                utf8_next(text + i, text + len, &code);
                if (code == 0x130) // the one character whose lower case is two: i and a dot above
                        buf_puts(out, "i\xcc\x87");
                else
                        out->len += (size_t)utf8_put(
                                buf_reserve(out, 4), (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
        }
}

static void replace_text(struct buf *out, const struct normalizer_step *s, const char *text, size_t len)
{
        const char *pattern = s->pattern, *end = text + len, *hit;

        assert(pattern != NULL);
        size_t n = strlen(pattern), content_len = strlen(s->content);
        while (n > 0 && (hit = memmem(text, (size_t)(end - text), pattern, n)) != NULL) {
                buf_append(out, text, (size_t)(hit - text));
                buf_append(out, s->content, content_len);
                text = hit + n;
        }
        buf_append(out, text, (size_t)(end - text));
}

static void replace_matches(
        struct buf *out, const struct normalizer_step *s, struct regex_scratch *scratch, const char *text, size_t len)
{
        struct regex_scan scan = {.regex = s->regex, .scratch = scratch, .text = text, .len = len};
        size_t done = 0;

        while (regex_next(&scan)) {
                buf_append(out, text + done, scan.start - done);
                buf_puts(out, s->content);
                done = scan.end;
        }
        buf_append(out, text + done, len - done);
}

static void strip(struct buf *out, const struct normalizer_step *s, const char *text, size_t len)
{
        const char *p = text, *end = text + len;
        uint32_t code;

        for (int n; s->left && p < end && (n = utf8_next(p, end, &code)) > 0 && charclass_is_space(code);)
                p += n;
        while (s->right && end > p) {
                const char *q = utf8_back(p, end);

                if (utf8_next(q, end, &code) <= 0 || !charclass_is_space(code))
                        break;
                end = q;
        }
        buf_append(out, p, (size_t)(end - p));
}

static bool is_ascii(const char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((text[i] & 0x80) != 0)
                        return false;
        return true;
}

static void run_step(
        struct buf *out, const struct normalizer_step *s, struct regex_scratch *scratch, const char *text, size_t len)
{
        switch (s->kind) {
        case NORMALIZE_NFC:
        case NORMALIZE_NFD:
        case NORMALIZE_NFKC:
        case NORMALIZE_NFKD:
                unicode_form(out, text, len, s->kind == NORMALIZE_NFC || s->kind == NORMALIZE_NFKC,
                        s->kind == NORMALIZE_NFKC || s->kind == NORMALIZE_NFKD);
                break;
        case NORMALIZE_LOWERCASE:
                lowercase(out, text, len);
                break;
        case NORMALIZE_PREPEND:
                buf_puts(out, s->content);
                buf_append(out, text, len);
                break;
        case NORMALIZE_REPLACE:
                if (s->regex != NULL)
                        replace_matches(out, s, scratch, text, len);
                else
                        replace_text(out, s, text, len);
                break;
        case NORMALIZE_STRIP:
                strip(out, s, text, len);
                break;
        }
}

const char *normalizer_run(const struct normalizer *n, struct regex_scratch *scratch, const char *text, size_t *len,
        struct buf *out, struct buf *other)
{
        for (int i = 0; i<n->n && * len> 0; i++) {
                const struct normalizer_step *s = &n->steps[i];

                if (s->kind <= NORMALIZE_NFKD && is_ascii(text, *len))
                        continue;
                buf_clear(other);
                run_step(other, s, scratch, text, *len);
                struct buf done = *other;
                *other = *out;
                *out = done;
                text = out->data;
                *len = out->len;
        }
        return text;
}
