// The server as a whole: its handles, the clock that all deadlines hang on, drain and close. Called by
// whoever owns the server and by libuv; it knows connections, not requests.
#include "http/server.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/exchange.h"

#define TICK_MS 250

void http_server_handle_gone(struct http_server *s)
{
        if (--s->n_handles > 0 || !s->closing)
                return;
        mem_free(s->endpoint.address);
        mem_free((char *)s->options.cors_origin);
        mem_free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
        http_server_handle_gone(h->data);
}

static void on_wake(uv_idle_t *wake)
{
        struct http_server *s = wake->data;
        struct link batch;

        uv_idle_stop(wake);
        // What becomes ready while the batch is handled waits for the next round, after the sockets had their turn.
        link_init(&batch);
        while (!link_alone(&s->ready)) {
                struct link *l = s->ready.next;
                link_remove(l);
                link_append(&batch, l);
        }
        while (!link_alone(&batch)) {
                struct link *l = batch.next;
                link_remove(l);
                http_conn_resume(LINK_ITEM(l, struct http_conn, ready));
        }
        if (s->n_conns == 0 && s->drained != NULL) {
                void (*drained)(void *ctx) = s->drained;
                s->drained = NULL;
                drained(s->drained_ctx);
        }
}

static void on_tick(uv_timer_t *tick)
{
        struct http_server *s = tick->data;
        int64_t now = (int64_t)uv_now(s->loop);

        http_accept_tick(s);
        for (struct link *l = s->conns.next; l != &s->conns; l = l->next)
                http_conn_check(LINK_ITEM(l, struct http_conn, link), now);
        if (s->n_conns == 0)
                uv_timer_stop(tick);
}

void http_server_tick(struct http_server *s)
{
        if (!uv_is_active((uv_handle_t *)&s->tick))
                uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
}

enum dyn_status http_listen(
        struct http_server **out, uv_loop_t *loop, const struct http_options *options, struct dyn_error *err)
{
        struct http_endpoint endpoint;
        enum dyn_status status = http_endpoint_open(&endpoint, options->listen, err);

        assert(options->max_connections > 0 && options->error_body != NULL);
        if (status != DYN_OK)
                return status;
        // A write to a closed socket must be an error rather than a signal.
        signal(SIGPIPE, SIG_IGN);
        struct http_server *s = mem_zalloc(sizeof *s);
        int rc = uv_poll_init(loop, &s->listener, endpoint.fd);
        if (rc != 0) {
                http_endpoint_close(&endpoint);
                mem_free(endpoint.address);
                mem_free(s);
                return dyn_fail(err, DYN_IO, "listen: %s: %s", options->listen, uv_strerror(rc));
        }
        s->loop = loop;
        s->options = *options;
        s->options.cors_origin = options->cors_origin ? mem_strdup(options->cors_origin) : NULL;
        s->endpoint = endpoint;
        http_accept_prepare(s);
        link_init(&s->conns);
        link_init(&s->ready);
        uv_timer_init(loop, &s->tick);
        uv_idle_init(loop, &s->wake);
        s->listener.data = s->tick.data = s->wake.data = s;
        s->n_handles = 3;
        http_accept_start(s);
        *out = s;
        return DYN_OK;
}

const char *http_address(const struct http_server *s)
{
        return s->endpoint.address;
}

void http_server_wake(struct http_server *s)
{
        uv_idle_start(&s->wake, on_wake);
}

void http_server_conn_gone(struct http_server *s)
{
        if (--s->n_conns == 0 && s->drained != NULL)
                http_server_wake(s);
}

static void stop_listening(struct http_server *s)
{
        if (uv_is_closing((uv_handle_t *)&s->listener))
                return;
        uv_close((uv_handle_t *)&s->listener, on_handle_closed);
        http_endpoint_close(&s->endpoint);
}

void http_wind_down(struct http_server *s)
{
        assert(!s->closing && !s->draining);
        s->draining = true;
}

void http_drain(struct http_server *s, void (*done)(void *ctx), void *ctx)
{
        assert(!s->closing && s->draining && s->drained == NULL);
        s->drained = done;
        s->drained_ctx = ctx;
        stop_listening(s);
        for (struct link *l = s->conns.next; l != &s->conns; l = l->next)
                http_conn_drain(LINK_ITEM(l, struct http_conn, link));
        http_server_wake(s);
}

void http_cut_off(struct http_server *s, int status, const struct buf *body)
{
        assert(s->draining);
        for (struct link *l = s->conns.next; l != &s->conns; l = l->next)
                http_cut_off_conn(LINK_ITEM(l, struct http_conn, link), status, body);
}

void http_close(struct http_server *s)
{
        if (s == NULL || s->closing)
                return;
        s->closing = true;
        s->drained = NULL;
        stop_listening(s);
        for (struct link *l = s->conns.next; l != &s->conns; l = l->next)
                http_conn_close(LINK_ITEM(l, struct http_conn, link));
        uv_close((uv_handle_t *)&s->tick, on_handle_closed);
        uv_close((uv_handle_t *)&s->wake, on_handle_closed);
}

const char *http_server_date(struct http_server *s)
{
        int64_t now = clock_unix();

        if (now != s->date_second || s->date[0] == 0) {
                time_t t = (time_t)now;
                struct tm tm;

                gmtime_r(&t, &tm);
                strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
                s->date_second = now;
        }
        return s->date;
}
