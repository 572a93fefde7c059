// Cross-origin resource sharing (the Fetch standard): which pages of other origins a browser lets use this server. Off
// unless options.cors_origin is set.
#include <string.h>

#include "http/exchange.h"

static bool any_origin(const struct http_exchange *e)
{
        return strcmp(e->conn->server->options.cors_origin, "*") == 0;
}

void http_cors_put(const struct http_exchange *e, struct buf *head)
{
        const char *allowed = e->conn->server->options.cors_origin, *origin = http_header(e, "origin");

        if (allowed == NULL)
                return;
        if (!any_origin(e))
                buf_puts(head, "Vary: Origin\r\n");
        if (any_origin(e) || (origin != NULL && strcmp(origin, allowed) == 0))
                buf_printf(head, "Access-Control-Allow-Origin: %s\r\nAccess-Control-Expose-Headers: *\r\n", allowed);
}

bool http_cors_preflight(struct http_exchange *e, const char *allow)
{
        const char *headers = http_header(e, "access-control-request-headers");

        if (e->conn->server->options.cors_origin == NULL || strcmp(e->method, "OPTIONS") != 0 || allow[0] == 0 ||
                http_header(e, "origin") == NULL || http_header(e, "access-control-request-method") == NULL)
                return false;
        http_add_header(e, "Access-Control-Allow-Methods", allow);
        if (headers != NULL)
                http_add_header(e, "Access-Control-Allow-Headers", headers);
        http_add_header(e, "Access-Control-Max-Age", "86400");
        return true;
}
