// One connection from accept to close: reading, the phases that a request walks through, deadlines, hang-ups, and a close
// that lets the peer read its answer. Driven by libuv and the server's tick; what the bytes mean is request.c's to know.
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "http/exchange.h"

// What a peer may send ahead of the answer that it waits for.
#define PENDING_MAX (64 * 1024)

// After our side is shut down: how long a silent peer, and how long any peer, is read on.
#define LINGER_SILENT_MS 2000
#define LINGER_MS        30000

static int64_t after(const struct http_conn *c, int64_t ms)
{
        return (int64_t)uv_now(c->server->loop) + ms;
}

static void on_closed(uv_handle_t *h)
{
        struct http_conn *c = h->data;
        struct http_server *s = c->server;

        link_remove(&c->link);
        buf_free(&c->pending);
        buf_free(&c->out);
        buf_free(&c->sending);
        mem_free(c);
        http_server_handle_gone(s);
}

// The peer left before the answer was whole. A request whose head never came was no exchange yet.
static void abort_exchange(struct http_conn *c)
{
        struct http_exchange *e = c->exchange;

        if (e == NULL)
                return;
        if (c->phase == CONN_RUNNING && e->aborted != NULL)
                e->aborted(e, e->aborted_user);
        c->exchange = NULL;
        if (c->phase == CONN_HEAD)
                http_exchange_destroy(e);
        else
                http_exchange_finish(e, 499);
}

void http_conn_close(struct http_conn *c)
{
        if (c->phase == CONN_CLOSED)
                return;
        enum http_phase phase = c->phase;
        c->closing = true;
        if (phase != CONN_CLOSED)
                abort_exchange(c);
        c->phase = CONN_CLOSED;
        link_remove(&c->ready);
        uv_close(&c->socket.handle, on_closed);
        http_server_conn_gone(c->server);
}

void http_conn_wake(struct http_conn *c)
{
        if (!link_alone(&c->ready))
                return;
        link_append(&c->server->ready, &c->ready);
        http_server_wake(c->server);
}
