// Which row of the route table a request is for. Paths are compared segment by segment after decoding, so that an
// escaped slash stays inside its segment. It knows no handler's business.
#include <string.h>

#include "http/exchange.h"

static bool segment_is(const char *literal, size_t n_literal, const char *segment, size_t n)
{
        struct buf decoded = {0};

        if (memchr(segment, '%', n) == NULL)
                return n == n_literal && memcmp(segment, literal, n) == 0;
        bool same = http_percent_decode(&decoded, segment, n, false) && decoded.len == n_literal &&
                    memcmp(decoded.data, literal, n_literal) == 0;
        buf_free(&decoded);
        return same;
}

static bool match(const char *pattern, const char *path, struct buf *param, bool *has_param)
{
        *has_param = false;
        while (*pattern == '/' && *path == '/') {
                size_t n_pattern = strcspn(++pattern, "/"), n = strcspn(++path, "/");

                if (*pattern == '{' && n > 0) {
                        buf_clear(param);
                        *has_param = http_percent_decode(param, path, n, false);
                } else if (!segment_is(pattern, n_pattern, path, n)) {
                        return false;
                }
                pattern += n_pattern;
                path += n;
        }
        return *pattern == 0 && *path == 0;
}

static void allow_add(struct buf *allow, const char *method)
{
        if (allow->len > 0)
                buf_puts(allow, ", ");
        buf_puts(allow, method);
}

const struct http_route *http_route_find(const struct http_options *o, const char *method, const char *path,
        struct buf *param, bool *has_param, struct buf *allow)
{
        for (int i = 0; i < o->n_routes; i++) {
                const struct http_route *r = &o->routes[i];
                bool get = strcmp(r->method, "GET") == 0;

                if (!match(r->path, path, param, has_param))
                        continue;
                if (strcmp(r->method, method) == 0 || (get && strcmp(method, "HEAD") == 0))
                        return r;
                allow_add(allow, r->method);
                if (get)
                        allow_add(allow, "HEAD");
        }
        *has_param = false;
        if (allow->len > 0 && o->cors_origin != NULL)
                allow_add(allow, "OPTIONS");
        return NULL;
}
