// The target of a request line: path and query, and the percent-encoding of both (RFC 3986; in a query '+' is a space,
// as forms have it). Everything here is the peer's bytes; a wrong escape is refused rather than guessed at.
#include <string.h>
#include <strings.h>

#include "http/exchange.h"

static int hex(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_percent_decode(struct buf *out, const char *s, size_t len, bool plus)
{
        for (size_t i = 0; i < len; i++) {
                char c = s[i];

                if (c == '+' && plus) {
                        c = ' ';
                } else if (c == '%') {
                        if (i + 2 >= len || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0)
                                return false;
                        c = (char)(hex(s[i + 1]) << 4 | hex(s[i + 2]));
                        i += 2;
                }
                if (c == 0)
                        return false;
                buf_putc(out, c);
        }
        return true;
}

static bool split_query(struct buf *pairs, const char *s)
{
        while (*s != 0) {
                size_t len = strcspn(s, "&"), name = strcspn(s, "=&");

                if (len > 0) {
                        if (!http_percent_decode(pairs, s, name, true))
                                return false;
                        buf_putc(pairs, 0);
                        if (name < len && !http_percent_decode(pairs, s + name + 1, len - name - 1, true))
                                return false;
                        buf_putc(pairs, 0);
                }
                s += len + (s[len] == '&');
        }
        return true;
}

// A proxy may send the absolute form, "http://host/path": RFC 9112, 3.2.2.
static char *after_authority(char *target)
{
        size_t scheme = strncasecmp(target, "http://", 7) == 0 ? 7 : strncasecmp(target, "https://", 8) == 0 ? 8 : 0;

        return scheme ? target + scheme + strcspn(target + scheme, "/?") : target;
}

const char *http_target_split(struct http_exchange *e)
{
        struct buf scratch = {0};
        char *path = after_authority(e->target.data), *query = strchr(path, '?');
        const char *wrong = NULL;

        if (query != NULL)
                *query++ = 0;
        e->path = path;
        if (path[0] != '/')
                return "the request target is not a path";
        if (strlen(path) + (query ? strlen(query) + 1 : 0) != e->target.len - (size_t)(path - e->target.data))
                return "the request target holds a NUL";
        if (strchr(query ? query : path, '#') != NULL)
                return "the request target holds a fragment";
        if (!http_percent_decode(&scratch, path, strlen(path), false))
                wrong = "the path holds a broken percent escape or a NUL";
        else if (query != NULL && !split_query(&e->query, query))
                wrong = "the query holds a broken percent escape or a NUL";
        buf_free(&scratch);
        return wrong;
}
