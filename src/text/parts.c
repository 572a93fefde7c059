#include "text/parts.h"

#include <ctype.h>
#include <string.h>

#include "text/bytelevel.h"

// The byte of a token <0xXX>, -1 if it is none.
static int fallback_byte(const char *s, size_t len)
{
        if (len != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || !isxdigit((unsigned char)s[3]) ||
                !isxdigit((unsigned char)s[4]))
                return -1;
        int high = isdigit((unsigned char)s[3]) ? s[3] - '0' : tolower(s[3]) - 'a' + 10;
        int low = isdigit((unsigned char)s[4]) ? s[4] - '0' : tolower(s[4]) - 'a' + 10;
        return high * 16 + low;
}

enum dyn_status parts_complete(struct tokenizer *t, struct dyn_error *err)
{
        const struct decoder *d = &t->decoder;
        struct buf out = {0}, other = {0}, written = {0};
        enum dyn_status st = DYN_OK;

        for (int32_t id = 0; id < t->vocab.n && st == DYN_OK; id++) {
                size_t len;

                if (!vocab_has(&t->vocab, id))
                        continue;
                const char *s = vocab_source(&t->vocab, id, &len);
                buf_clear(&written);
                buf_append(&written, s, len);
                s = normalizer_run(&d->replace, NULL, written.data, &len, &out, &other);
                int byte = d->byte_fallback ? fallback_byte(s, len) : -1;
                if (byte >= 0) {
                        st = vocab_set_piece(&t->vocab, id, &(char){(char)byte}, 1, err);
                        t->vocab.tokens[id].flags |= VOCAB_BYTE;
                } else if (d->byte_level) {
                        buf_clear(&other);
                        bytelevel_decode(&other, s, len);
                        st = vocab_set_piece(&t->vocab, id, other.data, other.len, err);
                } else {
                        st = vocab_set_piece(&t->vocab, id, s, len, err);
                }
        }
        buf_free(&out);
        buf_free(&other);
        buf_free(&written);
        return st;
}

enum dyn_status parts_add_stop(struct tokenizer *t, int64_t id, struct dyn_error *err)
{
        if (id < 0 || id >= t->vocab.n || !vocab_has(&t->vocab, (int32_t)id))
                return dyn_fail(err, DYN_INVALID, "expected the id of a token from 0 to %d, found %lld", t->vocab.n - 1,
                        (long long)id);
        for (int i = 0; i < t->stop.n; i++)
                if (t->stop.ids[i] == id)
                        return DYN_OK;
        tokens_push(&t->stop, (int32_t)id);
        return DYN_OK;
}
