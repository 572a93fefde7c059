// Parsing (llhttp, strict) and what makes a request one that a handler may see: framing that leaves no doubt where it
// ends (RFC 9112), limits, a route, and expectations that can be met. Called by the connection with the peer's bytes.
#include <stdarg.h>
#include <stdio.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/exchange.h"

#define HEADERS_MAX    100
#define BELIEVED_BYTES ((size_t)1 << 20) // of a body, before room is made for all that its head says

// "100-continue" is answered, and a body only then read, once nothing speaks against the request.
static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";

static int __attribute__((format(printf, 3, 4))) refuse(struct http_exchange *e, int status, const char *format, ...)
{
        va_list args;

        e->refused = status;
        va_start(args, format);
        vsnprintf(e->refusal, sizeof e->refusal, format, args);
        va_end(args);
        return -1;
}

static int on_message_begin(llhttp_t *p)
{
        struct http_conn *c = p->data;

        c->exchange = http_exchange_create(c);
        c->phase = CONN_HEAD;
        c->deadline = (int64_t)uv_now(c->server->loop) + (int64_t)c->server->options.header_seconds * 1000;
        return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
        struct http_exchange *e = ((struct http_conn *)p->data)->exchange;

        e->method = llhttp_method_name(p->method);
        buf_append(&e->target, at, len);
        return 0;
}

static int on_url_complete(llhttp_t *p)
{
        ((struct http_conn *)p->data)->exchange->target_complete = true;
        return 0;
}

// Trailers of a chunked body come in here too; nobody reads them.
static int on_header_bytes(llhttp_t *p, const char *at, size_t len)
{
        struct http_conn *c = p->data;

        if (c->phase == CONN_HEAD)
                buf_append(&c->exchange->headers, at, len);
        return 0;
}

static int on_header_field_complete(llhttp_t *p)
{
        struct http_conn *c = p->data;
        struct buf *b = &c->exchange->headers;

        if (c->phase != CONN_HEAD)
                return 0;
        if (b->len == 0 || b->data[b->len - 1] == 0)
                return refuse(c->exchange, 400, "a header has no name");
        buf_putc(b, 0);
        if (++c->exchange->n_headers > HEADERS_MAX)
                return refuse(c->exchange, 431, "the request has more than %d headers", HEADERS_MAX);
        return 0;
}

static int on_header_value_complete(llhttp_t *p)
{
        struct http_conn *c = p->data;
        struct buf *b = &c->exchange->headers;

        if (c->phase != CONN_HEAD)
                return 0;
        while (b->len > 0 && (b->data[b->len - 1] == ' ' || b->data[b->len - 1] == '\t'))
                b->len--;
        buf_putc(b, 0);
        c->exchange->headers_whole = b->len;
        return 0;
}

static int count(const struct http_exchange *e, const char *name)
{
        int n = 0;

        for (size_t at = 0; at < e->headers.len;) {
                n += strcasecmp(e->headers.data + at, name) == 0;
                at += strlen(e->headers.data + at) + 1;
                at += strlen(e->headers.data + at) + 1;
        }
        return n;
}

// Two ways to read where a request ends are how one is smuggled past a proxy: anything ambiguous is refused.
static int check_framing(struct http_exchange *e, const llhttp_t *p)
{
        const char *coding = http_header(e, "transfer-encoding"), *wrong;

        if (p->http_major != 1 || p->http_minor > 1)
                return refuse(e, 505, "expected HTTP/1.1 or HTTP/1.0, found HTTP/%d.%d", p->http_major, p->http_minor);
        if ((wrong = http_target_split(e)) != NULL)
                return refuse(e, 400, "%s", wrong);
        if (count(e, "host") > 1 || (count(e, "host") == 0 && p->http_minor == 1))
                return refuse(e, 400, "expected one Host header, found %d", count(e, "host"));
        if (coding != NULL && p->http_minor == 0)
                return refuse(e, 400, "Transfer-Encoding is not for HTTP/1.0");
        if (coding != NULL && strcasecmp(coding, "chunked") != 0)
                return refuse(e, 501, "the only transfer coding here is chunked");
        return 0;
}

// 0 if a handler may have it. What is refused here is answered when the request is complete: its end is known.
static int check_route(struct http_exchange *e, const llhttp_t *p)
{
        const struct http_options *o = &e->conn->server->options;
        const char *expect = http_header(e, "expect"), *why = NULL;
        struct buf allow = {0};
        int status;

        e->route = http_route_find(o, e->method, e->path, &e->param, &e->has_param, &allow);
        if (e->route == NULL && http_cors_preflight(e, allow.len ? allow.data : "")) {
                e->preflight = true;
        } else if (e->route == NULL && allow.len == 0) {
                refuse(e, 404, "no such path: %s", e->path);
        } else if (e->route == NULL) {
                refuse(e, 405, "%s is not a method of %s", e->method, e->path);
                http_add_header(e, "Allow", allow.data);
        } else if (o->admit != NULL && (status = o->admit(o->ctx, e, e->route->access, &why)) != 0) {
                refuse(e, status, "%s", why);
        } else if (expect != NULL && p->http_minor == 1 && strcasecmp(expect, "100-continue") != 0) {
                refuse(e, 417, "the only expectation here is 100-continue");
        }
        buf_free(&allow);
        return e->refused ? -1 : 0;
}

static size_t most(const struct http_exchange *e)
{
        const struct http_options *o = &e->conn->server->options;

        return e->route != NULL && e->route->upload ? o->max_upload : o->max_body;
}

static int check_length(struct http_exchange *e, const llhttp_t *p)
{
        size_t max = most(e);
        bool sends = strcmp(e->method, "POST") == 0 || strcmp(e->method, "PUT") == 0 || strcmp(e->method, "PATCH") == 0;

        if (sends && (p->flags & (F_CONTENT_LENGTH | F_CHUNKED)) == 0)
                return refuse(e, 411, "%s needs a Content-Length or a chunked body", e->method);
        if ((p->flags & F_CONTENT_LENGTH) != 0 && p->content_length > max)
                return refuse(e, 413, "the body has %llu bytes; the limit is %zu",
                        (unsigned long long)p->content_length, max);
        return 0;
}

static int on_headers_complete(llhttp_t *p)
{
        struct http_conn *c = p->data;
        struct http_exchange *e = c->exchange;
        bool has_body = (p->flags & F_CHUNKED) != 0 || p->content_length > 0;

        p->upgrade = 0; // an offer of another protocol is never taken up
        e->keep_alive = llhttp_should_keep_alive(p) != 0;
        e->head_only = p->method == HTTP_HEAD;
        e->chunked = p->http_minor == 1;
        if (check_framing(e, p) != 0)
                return -1;
        if (check_route(e, p) != 0)
                return has_body ? -1 : 0;
        if (check_length(e, p) != 0)
                return -1;
        c->phase = CONN_BODY;
        c->body_bytes = 0;
        c->deadline = (int64_t)uv_now(c->server->loop) + (int64_t)c->server->options.body_seconds * 1000;
        if (has_body && p->http_minor == 1 && http_header(e, "expect") != NULL)
                http_conn_put(c, proceed, sizeof proceed - 1);
        return 0;
}

// Room for all of a body of which a good part has come: growing a large one would copy it again and again, and who only
// says that much comes takes none.
static void reserve(struct http_exchange *e, const llhttp_t *p, size_t len)
{
        if (e->body.len <= BELIEVED_BYTES && e->body.len + len > BELIEVED_BYTES && p->content_length > 0)
                buf_reserve(&e->body, len + p->content_length); // what is left behind these
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
        struct http_conn *c = p->data;
        struct http_exchange *e = c->exchange;
        size_t max = most(e);

        if (len > max - e->body.len - e->uploaded)
                return refuse(e, 413, "the body has more than %zu bytes", max);
        if (e->route == NULL || !e->route->upload) {
                reserve(e, p, len);
                buf_append(&e->body, at, len);
                return 0;
        }
        if (http_upload_write(e, at, len) != 0)
                return refuse(e, 507, "no room for the upload: %s", strerror(errno));
        c->deadline = (int64_t)uv_now(c->server->loop) + (int64_t)c->server->options.body_seconds * 1000;
        return 0;
}

// A chunk that cannot fit is refused by its size, not waited for.
static int on_chunk_header(llhttp_t *p)
{
        struct http_exchange *e = ((struct http_conn *)p->data)->exchange;
        size_t max = most(e);

        if (p->content_length > max - e->body.len - e->uploaded)
                return refuse(e, 413, "the body has more than %zu bytes", max);
        return 0;
}

// The parser stops here, so that the bytes after a request stay unread until it is answered.
static int on_message_complete(llhttp_t *p)
{
        return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
        .on_message_begin = on_message_begin,
        .on_url = on_url,
        .on_url_complete = on_url_complete,
        .on_header_field = on_header_bytes,
        .on_header_field_complete = on_header_field_complete,
        .on_header_value = on_header_bytes,
        .on_header_value_complete = on_header_value_complete,
        .on_headers_complete = on_headers_complete,
        .on_chunk_header = on_chunk_header,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
};

void http_conn_parser_init(struct http_conn *c)
{
        llhttp_init(&c->parser, HTTP_REQUEST, &callbacks);
        c->parser.data = c;
}

static void handle(struct http_conn *c)
{
        struct http_exchange *e = c->exchange;

        c->phase = CONN_RUNNING;
        c->deadline = 0;
        if (e->refused)
                http_refuse(c, e->refused, e->refusal);
        else if (e->preflight)
                http_respond(e, 204, NULL, "", 0);
        else
                e->route->handle(e, c->server->options.ctx);
}

static void fail(struct http_conn *c, llhttp_errno_t error)
{
        struct http_exchange *e = c->exchange;
        char message[160];

        if (e != NULL && e->refused) {
                http_refuse(c, e->refused, e->refusal);
        } else if (error == HPE_INVALID_VERSION || error == HPE_PAUSED_H2_UPGRADE) {
                http_refuse(c, 505, "expected HTTP/1.1 or HTTP/1.0");
        } else {
                const char *why = llhttp_get_error_reason(&c->parser);
                snprintf(message, sizeof message, "the request is not HTTP: %s", why ? why : "malformed");
                http_refuse(c, 400, message);
        }
}

// Limits on what the parser reads over without telling: spaces, empty lines, chunk sizes and extensions, trailers.
static void check_head(struct http_conn *c, size_t used)
{
        bool in_target = c->exchange != NULL && !c->exchange->target_complete;

        c->head_bytes += used;
        if (c->phase <= CONN_HEAD && c->head_bytes > c->server->options.max_header)
                http_refuse(c, in_target ? 414 : 431,
                        in_target ? "the request target is too long" : "the request's headers are too long");
}

static void check_body(struct http_conn *c, size_t used)
{
        // A chunk of one byte takes six.
        c->body_bytes += used;
        if (c->body_bytes > c->server->options.max_header + 8 * (c->exchange->body.len + c->exchange->uploaded))
                http_refuse(c, 400, "the body's chunks hold next to nothing");
}

size_t http_conn_parse(struct http_conn *c, const char *data, size_t len)
{
        bool in_head = c->phase <= CONN_HEAD;
        size_t room = c->server->options.max_header + 1 - c->head_bytes;

        if (in_head && len > room)
                len = room;
        llhttp_errno_t error = llhttp_execute(&c->parser, data, len);
        if (error == HPE_OK) {
                (in_head ? check_head : check_body)(c, len);
                return len;
        }
        if (error == HPE_PAUSED) {
                size_t used = (size_t)(llhttp_get_error_pos(&c->parser) - data);
                llhttp_resume(&c->parser);
                handle(c);
                return used;
        }
        fail(c, error);
        return len;
}
