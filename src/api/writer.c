#include "api/writer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"

static void value(struct writer *w)
{
        if (w->comma)
                buf_putc(w->out, ',');
        w->comma = true;
}

void writer_open(struct writer *w, char bracket)
{
        value(w);
        buf_putc(w->out, bracket);
        w->comma = false;
}

void writer_close(struct writer *w, char bracket)
{
        buf_putc(w->out, bracket);
        w->comma = true;
}

static void escape_byte(struct buf *b, unsigned char c)
{
        static const char named[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

        if (c == '"' || c == '\\')
                buf_printf(b, "\\%c", c);
        else if (c < sizeof named && named[c] != 0)
                buf_printf(b, "\\%c", named[c]);
        else
                buf_printf(b, "\\u%04x", c);
}

void writer_bytes(struct writer *w, const char *s, size_t len)
{
        const char *end = s + len, *plain = s;

        value(w);
        buf_putc(w->out, '"');
        while (s < end) {
                unsigned char c = (unsigned char)*s;
                uint32_t code;
                int n = utf8_next(s, end, &code);

                if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
                        s += n;
                        continue;
                }
                buf_append(w->out, plain, (size_t)(s - plain));
                if (n <= 0) {
                        buf_puts(w->out, "\xef\xbf\xbd");
                        s = n == 0 ? end : s - n;
                } else {
                        escape_byte(w->out, c);
                        s++;
                }
                plain = s;
        }
        buf_append(w->out, plain, (size_t)(s - plain));
        buf_putc(w->out, '"');
}

void writer_string(struct writer *w, const char *s)
{
        if (s == NULL)
                writer_null(w);
        else
                writer_bytes(w, s, strlen(s));
}

void writer_key(struct writer *w, const char *key)
{
        writer_string(w, key);
        buf_putc(w->out, ':');
        w->comma = false;
}

void writer_int(struct writer *w, int64_t v)
{
        value(w);
        buf_printf(w->out, "%" PRId64, v);
}

void writer_number(struct writer *w, double v)
{
        value(w);
        buf_printf(w->out, "%.17g", v);
}

void writer_float(struct writer *w, float v)
{
        value(w);
        buf_printf(w->out, "%.9g", isfinite(v) ? (double)v : -9999.0);
}

void writer_bool(struct writer *w, bool v)
{
        value(w);
        buf_puts(w->out, v ? "true" : "false");
}

void writer_null(struct writer *w)
{
        value(w);
        buf_puts(w->out, "null");
}

void writer_member_string(struct writer *w, const char *key, const char *s)
{
        writer_key(w, key);
        writer_string(w, s);
}

void writer_member_int(struct writer *w, const char *key, int64_t v)
{
        writer_key(w, key);
        writer_int(w, v);
}

void writer_member_bool(struct writer *w, const char *key, bool v)
{
        writer_key(w, key);
        writer_bool(w, v);
}

void writer_member_null(struct writer *w, const char *key)
{
        writer_key(w, key);
        writer_null(w);
}
