// Taking connections from the listener, as many as options.max_connections and the process's descriptors allow. Called
// by the server; what becomes of a connection is conn.c's business.
//
// The listener is polled and not given to libuv to listen on: that drops connections without a word when descriptors
// run out, and can then spin.
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/exchange.h"

// Taken at a time, so that others have their turn in between.
#define ACCEPT_AT_ONCE 64

#define QUIET_MS 60000 // after a warning

// Descriptors that are left for all but connections (files of models, adapters and uploads), and for connections over
// the limit while they are told 503; of the latter so many at a time, the rest is just closed.
#define SPARE_FILES 64
#define REFUSED_MAX 64

void http_accept_prepare(struct http_server *s)
{
        struct rlimit limit;
        int wanted = s->options.max_connections;

        s->refused_max = REFUSED_MAX;
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
                return;
        rlim_t before = limit.rlim_cur;

        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
                limit.rlim_cur = before;
        if (limit.rlim_cur >= (rlim_t)wanted + SPARE_FILES + REFUSED_MAX)
                return;
        s->descriptors = (int)limit.rlim_cur;
        int spare = SPARE_FILES + REFUSED_MAX < s->descriptors / 2 ? SPARE_FILES + REFUSED_MAX : s->descriptors / 2;
        s->refused_max = spare / 2;
        s->options.max_connections = s->descriptors - spare > 1 ? s->descriptors - spare : 1;
        log_warn("http: at most %d connections instead of %d: the process may have %d descriptors (ulimit -Hn)",
                s->options.max_connections, wanted, s->descriptors);
}

// Whether a warning is due: one a minute is enough, however many come.
static bool may_warn(struct http_server *s)
{
        int64_t now = (int64_t)uv_now(s->loop);

        if (now < s->quiet_until)
                return false;
        s->quiet_until = now + QUIET_MS;
        return true;
}

static void warn_full(struct http_server *s)
{
        if (!may_warn(s))
                return;
        if (s->descriptors == 0)
                log_warn("http: connections are refused: %d are open (--max-connections)", s->options.max_connections);
        else
                log_warn("http: connections are refused: %d are open, as many as %d descriptors allow (ulimit -Hn)",
                        s->options.max_connections, s->descriptors);
}

static void take(struct http_server *s, int fd)
{
        struct http_conn *c = http_conn_open(s, fd);

        if (c == NULL)
                return;
        http_server_tick(s);
        if (s->n_conns <= s->options.max_connections)
                return;
        warn_full(s);
        if (s->n_conns <= s->options.max_connections + s->refused_max)
                http_refuse(c, 503, "too many connections");
        else
                http_conn_close(c);
}

// What waits in the system's queue is taken when the next tick looks again.
static void pause_accepting(struct http_server *s, int error)
{
        if (may_warn(s))
                log_warn("http: connections have to wait: %s", strerror(error));
        s->paused = true;
        uv_poll_stop(&s->listener);
        http_server_tick(s);
}

static void on_acceptable(uv_poll_t *listener, int status, int events)
{
        struct http_server *s = listener->data;

        for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
                int fd = accept4(s->endpoint.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd >= 0) {
                        take(s, fd);
                } else if (errno == EAGAIN) {
                        return;
                } else if (errno != ECONNABORTED && errno != EINTR) {
                        pause_accepting(s, errno);
                        return;
                }
        }
}

void http_accept_start(struct http_server *s)
{
        uv_poll_start(&s->listener, UV_READABLE, on_acceptable);
}

void http_accept_tick(struct http_server *s)
{
        if (s->paused && !uv_is_closing((uv_handle_t *)&s->listener))
                http_accept_start(s);
        s->paused = false;
}
