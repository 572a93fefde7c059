// Answers: the head, whole bodies, streams, and the refusals that http finds by itself. Called by handlers and by the
// parser; bytes go to the connection's output and are written by it.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "http/exchange.h"

static const struct {
        int status;
        const char *reason;
} reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
};

static const char *reason(int status)
{
        for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
                if (reasons[i].status == status)
                        return reasons[i].reason;
        return "Status";
}

static bool is_token(const char *s)
{
        for (const char *c = s; *c != 0; c++)
                if (strchr("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", *c) == NULL)
                        return false;
        return s[0] != 0;
}

void http_add_header(struct http_exchange *e, const char *name, const char *value)
{
        assert(is_token(name));
        buf_printf(&e->extra, "%s: ", name);
        // A line break in a value would begin a header of the peer's choosing.
        for (; *value != 0; value++)
                buf_putc(&e->extra, (unsigned char)*value < 0x20 || *value == 0x7f ? ' ' : *value);
        buf_puts(&e->extra, "\r\n");
}

// framing: the line that says where the body ends, or "".
static void put_head(struct http_exchange *e, int status, const char *content_type, const char *framing)
{
        struct http_server *s = e->conn->server;
        struct buf head = {0};

        buf_reserve(&head, 320 + e->extra.len);
        buf_printf(&head, "HTTP/1.1 %d %s\r\nServer: dynlora\r\nDate: %s\r\n%s", status, reason(status),
                http_server_date(s), framing);
        if (content_type != NULL)
                buf_printf(&head, "Content-Type: %s\r\n", content_type);
        buf_puts(&head, e->keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
        http_cors_put(e, &head);
        buf_append(&head, e->extra.data, e->extra.len);
        buf_puts(&head, "\r\n");
        http_conn_put(e->conn, head.data, head.len);
        buf_free(&head);
}

void http_explain(struct http_exchange *e, const char *why)
{
        snprintf(e->refusal, sizeof e->refusal, "%s", why);
}

static void begin(struct http_exchange *e, int status)
{
        struct http_conn *c = e->conn;

        assert(c->exchange == e && c->phase == CONN_RUNNING && !e->streaming && status >= 200);
        e->status = status;
        if (c->server->draining)
                e->keep_alive = false;
}

static void end(struct http_exchange *e)
{
        struct http_conn *c = e->conn;
        bool keep_alive = e->keep_alive;

        c->exchange = NULL;
        http_exchange_finish(e, c->broken ? 499 : e->status);
        http_conn_answered(c, keep_alive);
}

void http_respond(struct http_exchange *e, int status, const char *content_type, const char *body, size_t len)
{
        char framing[48] = "";

        begin(e, status);
        if (status != 204 && status != 304)
                snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", len);
        put_head(e, status, content_type, framing);
        if (!e->head_only && framing[0] != 0)
                http_conn_put(e->conn, body, len);
        end(e);
}

void http_respond_buf(struct http_exchange *e, int status, const char *content_type, struct buf *body)
{
        char framing[48];

        begin(e, status);
        snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", body->len);
        put_head(e, status, content_type, framing);
        if (!e->head_only)
                http_conn_put_buf(e->conn, body);
        buf_free(body);
        end(e);
}

void http_stream_open(struct http_exchange *e, int status, const char *content_type)
{
        begin(e, status);
        e->streaming = true;
        e->keep_alive &= e->chunked;
        put_head(e, status, content_type, e->chunked ? "Transfer-Encoding: chunked\r\n" : "");
        http_conn_flush(e->conn);
}

void http_stream_write(struct http_exchange *e, const char *data, size_t len)
{
        struct http_conn *c = e->conn;
        char size[24];

        assert(c->exchange == e && c->phase == CONN_RUNNING && e->streaming);
        // An empty chunk would end the stream.
        if (len == 0 || e->head_only)
                return;
        if (e->chunked)
                http_conn_put(c, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", len));
        http_conn_put(c, data, len);
        if (e->chunked)
                http_conn_put(c, "\r\n", 2);
        http_conn_flush(c);
        e->over_high |= http_conn_backlog(c) > HTTP_BACKLOG_HIGH;
}

void http_stream_close(struct http_exchange *e)
{
        assert(e->conn->exchange == e && e->conn->phase == CONN_RUNNING && e->streaming);
        if (e->chunked && !e->head_only)
                http_conn_put(e->conn, "0\r\n\r\n", 5);
        end(e);
}

// In the place of a handler; all of the request need not be here.
static void answer_instead(struct http_conn *c, int status, const struct buf *body)
{
        if (c->exchange == NULL)
                c->exchange = http_exchange_create(c);
        struct http_exchange *e = c->exchange;
        // With bytes of the request still to come there is no knowing where the next one begins.
        if (c->phase != CONN_RUNNING)
                e->keep_alive = false;
        c->phase = CONN_RUNNING;
        c->deadline = 0;
        if (status == 503)
                http_add_header(e, "Retry-After", "1");
        http_respond(e, status, "application/json", body->data, body->len);
}

void http_refuse(struct http_conn *c, int status, const char *message)
{
        struct buf body = {0};

        c->server->options.error_body(status, message, &body);
        answer_instead(c, status, &body);
        buf_free(&body);
}

void http_cut_off_conn(struct http_conn *c, int status, const struct buf *body)
{
        struct http_exchange *e = c->exchange;

        if (c->broken || c->phase < CONN_HEAD || c->phase > CONN_RUNNING)
                return;
        if (c->phase == CONN_RUNNING && e->aborted != NULL)
                e->aborted(e, e->aborted_user);
        if (c->phase == CONN_RUNNING && e->streaming) {
                http_stream_event(e, "error", body->data, body->len);
                http_stream_close(e);
        } else {
                answer_instead(c, status, body);
        }
}
