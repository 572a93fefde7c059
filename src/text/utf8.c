#include "text/utf8.h"

int utf8_put(char *p, uint32_t code)
{
        if (code < 0x80) {
                p[0] = (char)code;
                return 1;
        }
        int len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        for (int i = len - 1; i > 0; i--, code >>= 6)
                p[i] = (char)(0x80 | (code & 0x3f));
        p[0] = (char)(0xf00 >> len | code);
        return len;
}

size_t utf8_valid(const char *s, size_t len)
{
        const char *p = s, *end = s + len;
        uint32_t code;

        while (p < end) {
                int n = utf8_next(p, end, &code);

                if (n <= 0)
                        break;
                p += n;
        }
        return (size_t)(p - s);
}

size_t utf8_repair(struct buf *out, const char *s, size_t len, bool last)
{
        size_t at = 0;
        uint32_t code;

        for (;;) {
                size_t n = utf8_valid(s + at, len - at);

                buf_append(out, s + at, n);
                at += n;
                if (at == len)
                        return at;
                int bad = utf8_next(s + at, s + len, &code);
                if (bad == 0 && !last)
                        return at;
                buf_puts(out, "\xef\xbf\xbd");
                at = bad == 0 ? len : at + (size_t)-bad;
        }
}
