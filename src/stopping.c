#include "stopping.h"

#include <unistd.h>

#include "base/log.h"

#define TELL_MS 2000 // to tell clients that they are cut off

static void remove_ready_file(const struct serve *s)
{
        if (s->conf->ready_file != NULL)
                unlink(s->conf->ready_file);
}

// The server frees itself once its connections are closed, which may be before everything else is.
static void close_http(struct serve *s)
{
        if (s->http != NULL)
                http_close(s->http);
        s->http = NULL;
}

// Lets the loop run out: loads of adapters that have begun still end on it.
static void close_all(struct serve *s)
{
        if (s->closing)
                return;
        s->closing = true;
        if (s->registry != NULL)
                registry_stop(s->registry);
        close_http(s);
        api_close(s->api);
        uv_close((uv_handle_t *)&s->wake, NULL);
        uv_close((uv_handle_t *)&s->drain_limit, NULL);
        uv_close((uv_handle_t *)&s->merge_wait, NULL);
        for (int i = 0; i < 2; i++)
                uv_close((uv_handle_t *)&s->signals[i], NULL);
        uv_close((uv_handle_t *)&s->reload, NULL);
}

static void on_idle(void *ctx)
{
        close_all(ctx);
}

static void on_http_drained(void *ctx)
{
        struct serve *s = ctx;

        api_when_idle(s->api, on_idle, s);
}

static void on_last_ended(void *ctx)
{
        struct serve *s = ctx;

        http_drain(s->http, on_http_drained, s);
}

static void on_told(uv_timer_t *timer)
{
        struct serve *s = timer->data;

        close_http(s);
        api_when_idle(s->api, on_idle, s);
}

static void on_drain_limit(uv_timer_t *timer)
{
        struct serve *s = timer->data;

        log_warn(
                "%d requests did not end in %d seconds: they are cut off", api_running(s->api), s->conf->drain_timeout);
        s->status = 128 + s->signal;
        api_cut_off(s->http);
        uv_timer_start(&s->drain_limit, on_told, TELL_MS, 0);
}

static void leave_at_once(struct serve *s, int status)
{
        remove_ready_file(s);
        s->status = status;
        s->at_once = true;
        uv_stop(&s->loop);
}

// The first asks, the second insists. A load cannot be interrupted, and nothing runs yet that could be drained.
void stopping_on_signal(uv_signal_t *signal, int number)
{
        struct serve *s = signal->data;

        if (s->loading) {
                log_info("stopped while loading");
                leave_at_once(s, 0);
                return;
        }
        if (s->draining) {
                log_warn("stopped by a second signal: %d requests are cut off", api_running(s->api));
                leave_at_once(s, 128 + number);
                return;
        }
        s->draining = true;
        s->signal = number;
        log_info("stopping: %d requests are left to end (a second signal cuts them off)", api_running(s->api));
        remove_ready_file(s);
        api_drain(s->api);
        if (s->conf->drain_timeout > 0)
                uv_timer_start(&s->drain_limit, on_drain_limit, (uint64_t)s->conf->drain_timeout * 1000, 0);
        http_wind_down(s->http);
        api_when_idle(s->api, on_last_ended, s);
}

void stopping_fail(struct serve *s)
{
        log_error("%s", s->error.text);
        s->status = 1;
        close_all(s);
}
