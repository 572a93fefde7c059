// The output of one connection: bytes wait in `out`, and at most one libuv write is under way. Writes never block and
// never call back into a handler, save on_drained, which runs from the loop. Called by answers and by the connection.
#include <assert.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "http/exchange.h"

size_t http_conn_backlog(const struct http_conn *c)
{
        return c->out.len + c->large.len + (c->writing ? c->socket.stream.write_queue_size : 0);
}

void http_conn_put(struct http_conn *c, const char *data, size_t len)
{
        if (c->broken || c->phase == CONN_CLOSED)
                return;
        assert(c->large.len == 0);
        buf_append(&c->out, data, len);
        c->queued += len;
}

// A connection with so much to write begins no other request, so that nothing can come after it in the meantime.
void http_conn_put_buf(struct http_conn *c, struct buf *data)
{
        if (data->len <= HTTP_BACKLOG_HIGH || c->broken || c->phase == CONN_CLOSED) {
                http_conn_put(c, data->data, data->len);
                buf_free(data);
                return;
        }
        assert(c->large.len == 0);
        c->large = *data;
        *data = (struct buf){0};
        c->queued += c->large.len;
}

// The exchange cannot be aborted here, for its handler may be the caller; the loop does it soon.
static void fail(struct http_conn *c)
{
        c->broken = true;
        buf_free(&c->out);
        buf_free(&c->large);
        http_conn_wake(c);
}

static void tell_drained(struct http_conn *c)
{
        struct http_exchange *e = c->exchange;

        if (e == NULL || !e->over_high || http_conn_backlog(c) > HTTP_BACKLOG_HIGH / 4)
                return;
        e->over_high = false;
        if (e->drained != NULL)
                e->drained(e, e->drained_user);
}

static void on_written(uv_write_t *write, int status)
{
        struct http_conn *c = write->data;

        c->writing = false;
        buf_free(&c->sending);
        buf_free(&c->sending_large);
        if (c->phase == CONN_CLOSED)
                return;
        if (status < 0) {
                http_conn_close(c);
                return;
        }
        http_conn_flush(c);
        tell_drained(c);
        http_conn_settle(c);
}

// What is left of the two buffers once `done` bytes are written.
static void rest_of(const struct http_conn *c, size_t done, uv_buf_t rest[static 2])
{
        size_t small = done < c->sending.len ? done : c->sending.len, large = done - small;

        rest[0] = (uv_buf_t){.base = c->sending.data + small, .len = c->sending.len - small};
        rest[1] = (uv_buf_t){.base = c->sending_large.data + large, .len = c->sending_large.len - large};
}

void http_conn_flush(struct http_conn *c)
{
        size_t len = c->out.len + c->large.len;

        if (c->writing || len == 0 || c->broken || c->phase == CONN_CLOSED)
                return;
        uv_buf_t b[2] = {{.base = c->out.data, .len = c->out.len}, {.base = c->large.data, .len = c->large.len}};
        int n = uv_try_write(&c->socket.stream, b, c->large.len > 0 ? 2 : 1);
        if (n < 0 && n != UV_EAGAIN) {
                fail(c);
                return;
        }
        size_t done = n > 0 ? (size_t)n : 0;
        if (done == len) {
                buf_free(&c->out);
                buf_free(&c->large);
                return;
        }
        c->sending = c->out;
        c->sending_large = c->large;
        c->out = c->large = (struct buf){0};
        rest_of(c, done, b);
        c->write.data = c;
        if (uv_write(&c->write, &c->socket.stream, b, b[1].len > 0 ? 2 : 1, on_written) == 0) {
                c->writing = true;
        } else {
                buf_free(&c->sending);
                buf_free(&c->sending_large);
                fail(c);
        }
}

// What the peer's side has not acknowledged: our backlog and what the kernel holds. Without the latter a slow reader
// would seem to read nothing for as long as it takes to empty megabytes of socket buffer.
static uint64_t unacknowledged(const struct http_conn *c)
{
        int fd, in_kernel = 0;

        if (uv_fileno(&c->socket.handle, &fd) != 0 || ioctl(fd, TIOCOUTQ, &in_kernel) != 0)
                in_kernel = 0;
        return http_conn_backlog(c) + (uint64_t)in_kernel;
}

const char *http_conn_stalled(struct http_conn *c, int64_t now)
{
        int64_t most = (int64_t)c->server->options.write_seconds * 1000;
        uint64_t left = http_conn_backlog(c) > 0 ? unacknowledged(c) : 0, taken = c->queued - left;

        if (left == 0 || taken != c->taken) {
                c->taken = taken;
                c->stalled_since = now;
        }
        // Who takes a byte now and then would hold all that waits for it.
        if (left <= HTTP_BACKLOG_HIGH / 4 || taken - c->paced >= (uint64_t)most / 1000 * HTTP_LEAST_RATE) {
                c->paced = taken;
                c->paced_since = now;
        }
        if (now - c->stalled_since > most)
                return "took nothing";
        return now - c->paced_since > most ? "took next to nothing" : NULL;
}
