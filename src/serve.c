// The life of the server: listen, load on the pool while probes are answered already, serve, drain, go. The parts are
// made in this order and given back in reverse.
#include "serve.h"

#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "starting.h"
#include "stopping.h"

static void on_wake(uv_async_t *wake)
{
        struct serve *s = wake->data;

        if (api_pump(s->api))
                uv_async_send(&s->wake);
}

// The base's id: as told, or the last part of the model's path.
static char *base_name(const struct conf *c)
{
        size_t end = strlen(c->model), begin;

        if (c->served_model_name != NULL)
                return mem_strdup(c->served_model_name);
        while (end > 1 && c->model[end - 1] == '/')
                end--;
        for (begin = end; begin > 0 && c->model[begin - 1] != '/'; begin--)
                ;
        return mem_strndup(c->model + begin, end - begin);
}

static enum dyn_status open_api(struct serve *s)
{
        const struct conf *c = s->conf;

        if (auth_create(&s->auth, c->api_key_file, c->admin_token_file, &s->error) != DYN_OK)
                return s->error.status;
        s->api = api_create(&(struct api_options){s->base, c->model, c->max_rows, c->max_queue, s->auth, &s->loop});
        return DYN_OK;
}

static enum dyn_status listen_first(struct serve *s)
{
        const struct conf *c = s->conf;
        struct http_options options = {
                .listen = c->listen,
                .ctx = s->api,
                .max_header = c->max_header,
                .max_body = c->max_body,
                .max_upload = c->max_upload,
                .upload_folder = c->adapters,
                .max_connections = c->max_connections,
                .header_seconds = c->header_timeout,
                .body_seconds = c->body_timeout,
                .idle_seconds = c->idle_timeout,
                .write_seconds = c->write_timeout,
                .cors_origin = c->cors_origin,
                .admit = api_admit,
                .error_body = api_error_body,
                .on_done = api_on_done,
        };

        options.routes = api_routes(&options.n_routes);
        return http_listen(&s->http, &s->loop, &options, &s->error);
}

static void on_reload(uv_signal_t *signal, int number)
{
        struct serve *s = signal->data;

        auth_reload(s->auth);
}

static void init_loop(struct serve *s)
{
        static const int numbers[] = {SIGTERM, SIGINT};

        uv_loop_init(&s->loop);
        uv_async_init(&s->loop, &s->wake, on_wake);
        uv_timer_init(&s->loop, &s->drain_limit);
        uv_timer_init(&s->loop, &s->merge_wait);
        s->wake.data = s->drain_limit.data = s->merge_wait.data = s;
        for (int i = 0; i < 2; i++) {
                uv_signal_init(&s->loop, &s->signals[i]);
                s->signals[i].data = s;
                uv_signal_start(&s->signals[i], stopping_on_signal, numbers[i]);
        }
        uv_signal_init(&s->loop, &s->reload);
        s->reload.data = s;
        uv_signal_start(&s->reload, on_reload, SIGHUP);
}

static void finish(struct serve *s)
{
        registry_destroy(s->registry);
        api_destroy(s->api);
        auth_destroy(s->auth);
        dyn_engine_destroy(s->engine);
        chat_template_destroy(s->chat_template);
        tokenizer_destroy(s->tokenizer);
        uv_loop_close(&s->loop);
        mem_free(s->base);
}

int serve_run(const struct conf *conf, bool *at_once)
{
        struct serve *s = mem_zalloc(sizeof *s);

        s->conf = conf;
        s->started_ns = clock_ns();
        s->base = base_name(conf);
        init_loop(s);
        if (open_api(s) != DYN_OK || listen_first(s) != DYN_OK) {
                stopping_fail(s);
        } else {
                log_info("listening on %s, loading %s", http_address(s->http), conf->model);
                starting_load(s);
        }
        uv_run(&s->loop, UV_RUN_DEFAULT);

        int status = s->status;
        *at_once = s->at_once;
        if (s->at_once)
                return status;
        if (s->draining)
                log_info("stopped");
        finish(s);
        mem_free(s);
        return status;
}
