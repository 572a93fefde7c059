// One connection from accept to close: reading, the phases that a request walks through, deadlines, hang-ups, and a
// close that lets the peer read its answer. Driven by libuv and the server's tick; what the bytes mean is request.c's
// to know.
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
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
        buf_free(&c->large);
        buf_free(&c->sending_large);
        mem_free(c);
        http_server_handle_gone(s);
}

// The peer left before the answer was whole. A request whose head never came was no exchange yet.
static void abort_exchange(struct http_conn *c, enum http_phase phase)
{
        struct http_exchange *e = c->exchange;

        c->exchange = NULL;
        if (e == NULL)
                return;
        if (phase == CONN_RUNNING && e->aborted != NULL)
                e->aborted(e, e->aborted_user);
        if (phase == CONN_HEAD)
                http_exchange_destroy(e);
        else
                http_exchange_finish(e, 499);
}

void http_conn_close(struct http_conn *c)
{
        enum http_phase phase = c->phase;

        if (phase == CONN_CLOSED)
                return;
        c->phase = CONN_CLOSED;
        abort_exchange(c, phase);
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

static size_t feed(struct http_conn *c, const char *data, size_t len)
{
        size_t at = 0;

        c->feeding = true;
        while (at < len && c->phase <= CONN_BODY && !c->broken) {
                // A peer that sends requests without taking its answers waits with the next one.
                if (c->phase == CONN_IDLE && http_conn_backlog(c) > HTTP_BACKLOG_HIGH)
                        break;
                at += http_conn_parse(c, data + at, len - at);
        }
        c->feeding = false;
        return at;
}

void http_conn_resume(struct http_conn *c)
{
        if (c->broken) {
                http_conn_close(c);
                return;
        }
        if (c->pending_at < c->pending.len)
                c->pending_at += feed(c, c->pending.data + c->pending_at, c->pending.len - c->pending_at);
        http_conn_settle(c);
}

static void keep(struct http_conn *c, const char *data, size_t len)
{
        buf_consume(&c->pending, c->pending_at);
        c->pending_at = 0;
        buf_append(&c->pending, data, len);
}

static void on_bytes(struct http_conn *c, const char *data, size_t len)
{
        size_t used = c->pending.len == 0 ? feed(c, data, len) : 0;

        if (c->phase <= CONN_RUNNING && used < len)
                keep(c, data + used, len - used);
        if (c->phase == CONN_LINGER) {
                int64_t silent = after(c, LINGER_SILENT_MS);
                c->deadline = silent < c->linger_until ? silent : c->linger_until;
        }
        http_conn_settle(c);
}

// The peer has shut down its side. That is a hang-up unless all that it asked for is answered already.
static void on_end(struct http_conn *c)
{
        c->ended = true;
        c->reading = false;
        if (c->phase == CONN_IDLE && http_conn_backlog(c) > 0)
                c->phase = CONN_FLUSH;
        if (c->phase == CONN_FLUSH)
                http_conn_settle(c);
        else
                http_conn_close(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
        struct http_conn *c = stream->data;

        if (n > 0)
                on_bytes(c, b->base, (size_t)n);
        else if (n == UV_EOF)
                on_end(c);
        else if (n < 0)
                http_conn_close(c);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
        struct http_conn *c = h->data;

        *b = (uv_buf_t){.base = c->server->read, .len = sizeof c->server->read};
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
        struct http_conn *c = shutdown->data;

        if (status < 0)
                http_conn_close(c);
}

// All is written. The peer learns that by our shutdown; closing at once would reset what it has not read yet.
static void linger(struct http_conn *c)
{
        c->phase = CONN_LINGER;
        c->linger_until = after(c, c->server->draining ? LINGER_SILENT_MS : LINGER_MS);
        c->deadline = after(c, LINGER_SILENT_MS);
        c->shutdown.data = c;
        if (c->ended || uv_shutdown(&c->shutdown, &c->socket.stream, on_shutdown) != 0)
                http_conn_close(c);
}

static void read_or_not(struct http_conn *c)
{
        bool want = !c->ended && c->phase != CONN_CLOSED && c->pending.len - c->pending_at < PENDING_MAX;

        if (want == c->reading)
                return;
        c->reading = want;
        if (want)
                uv_read_start(&c->socket.stream, on_alloc, on_read);
        else
                uv_read_stop(&c->socket.stream);
}

void http_conn_settle(struct http_conn *c)
{
        if (c->feeding)
                return;
        http_conn_flush(c);
        if (c->broken || c->phase == CONN_CLOSED)
                return;
        if (c->phase >= CONN_FLUSH || c->pending_at == c->pending.len) {
                buf_free(&c->pending);
                c->pending_at = 0;
        }
        if (c->phase <= CONN_BODY && c->pending.len > 0 && http_conn_backlog(c) <= HTTP_BACKLOG_HIGH)
                http_conn_wake(c);
        if (c->phase == CONN_FLUSH && http_conn_backlog(c) == 0)
                linger(c);
        if (c->phase != CONN_CLOSED)
                read_or_not(c);
}

void http_conn_answered(struct http_conn *c, bool keep_alive)
{
        if (c->phase == CONN_CLOSED)
                return;
        if (keep_alive && !c->server->draining) {
                c->phase = CONN_IDLE;
                c->head_bytes = 0;
                c->deadline = after(c, (int64_t)c->server->options.idle_seconds * 1000);
        } else {
                c->phase = CONN_FLUSH;
                c->deadline = 0;
        }
        http_conn_settle(c);
}

// A peer with too much pending is not read, so that its end of file is not seen; the kernel can be asked. (It does not
// know either while its own buffers are full.)
static bool hung_up(const struct http_conn *c)
{
        struct pollfd p = {.events = POLLRDHUP};

        return uv_fileno(&c->socket.handle, &p.fd) == 0 && poll(&p, 1, 0) > 0 &&
               (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void expire(struct http_conn *c)
{
        switch (c->phase) {
        case CONN_HEAD:
                http_refuse(c, 408, "the request's head did not arrive in time");
                break;
        case CONN_BODY:
                http_refuse(c, 408, "the request's body did not arrive in time");
                break;
        default:
                http_conn_close(c);
        }
}

void http_conn_check(struct http_conn *c, int64_t now)
{
        if (c->phase == CONN_CLOSED)
                return;
        const char *how = http_conn_stalled(c, now);
        if (how != NULL)
                log_info("http: %s %s: dropped, because its client %s of the answer for %d s",
                        c->exchange ? http_method(c->exchange) : "-", c->exchange ? http_path(c->exchange) : "-", how,
                        c->server->options.write_seconds);
        if (how != NULL || (c->phase == CONN_RUNNING && !c->reading && hung_up(c))) {
                http_conn_close(c);
                return;
        }
        // The time between requests begins when the last answer is out.
        if (c->phase == CONN_IDLE && http_conn_backlog(c) > 0)
                c->deadline = now + (int64_t)c->server->options.idle_seconds * 1000;
        if (c->deadline != 0 && now >= c->deadline)
                expire(c);
}

void http_conn_drain(struct http_conn *c)
{
        if (c->phase == CONN_LINGER && c->linger_until > after(c, LINGER_SILENT_MS))
                c->linger_until = c->deadline = after(c, LINGER_SILENT_MS);
        if (c->phase != CONN_IDLE)
                return;
        c->phase = CONN_FLUSH;
        c->deadline = 0;
        if (http_conn_backlog(c) == 0 && !c->feeding)
                http_conn_close(c);
}

bool http_conn_is_local(const struct http_conn *c)
{
        struct sockaddr_storage peer = {0}, own = {0};
        int peer_len = sizeof peer, own_len = sizeof own;

        if (c->socket.handle.type == UV_NAMED_PIPE)
                return true;
        if (uv_tcp_getpeername(&c->socket.tcp, (struct sockaddr *)&peer, &peer_len) != 0 ||
                uv_tcp_getsockname(&c->socket.tcp, (struct sockaddr *)&own, &own_len) != 0 ||
                peer.ss_family != own.ss_family)
                return false;
        if (peer.ss_family == AF_INET)
                return ((struct sockaddr_in *)&peer)->sin_addr.s_addr ==
                               ((struct sockaddr_in *)&own)->sin_addr.s_addr ||
                       (ntohl(((struct sockaddr_in *)&peer)->sin_addr.s_addr) >> 24) == 127;
        return memcmp(&((struct sockaddr_in6 *)&peer)->sin6_addr, &((struct sockaddr_in6 *)&own)->sin6_addr, 16) == 0;
}

static int open_socket(struct http_conn *c, int fd)
{
        struct http_server *s = c->server;

        if (s->endpoint.unix_path != NULL) {
                uv_pipe_init(s->loop, &c->socket.pipe, 0);
                return uv_pipe_open(&c->socket.pipe, fd);
        }
        uv_tcp_init(s->loop, &c->socket.tcp);
        int rc = uv_tcp_open(&c->socket.tcp, fd);
        uv_tcp_nodelay(&c->socket.tcp, 1);
        uv_tcp_keepalive(&c->socket.tcp, 1, 60);
        return rc;
}

struct http_conn *http_conn_open(struct http_server *s, int fd)
{
        struct http_conn *c = mem_zalloc(sizeof *c);

        c->server = s;
        link_init(&c->ready);
        link_append(&s->conns, &c->link);
        s->n_conns++;
        s->n_handles++;
        int rc = open_socket(c, fd);
        c->socket.handle.data = c;
        if (rc != 0) {
                close(fd);
                http_conn_close(c);
                return NULL;
        }
        http_conn_parser_init(c);
        c->stalled_since = c->paced_since = after(c, 0);
        c->deadline = after(c, (int64_t)s->options.idle_seconds * 1000);
        http_conn_settle(c);
        return c;
}
