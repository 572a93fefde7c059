// The life of the server: listen, load on the pool while probes are answered already, serve, drain, go. One struct
// holds every part, made in this order and given back in reverse. Everything but load_parts runs on the loop thread.
#include "serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "http/http.h"
#include "progress.h"
#include "sched/stats.h"

#define MERGE_WAIT_MS 2 // between two looks

struct serve {
        const struct conf *conf;
        uv_loop_t loop;
        uv_async_t wake; // events of the engine wait
        uv_signal_t signals[2], reload;
        uv_timer_t drain_limit, merge_wait;
        uv_work_t load;
        bool loading, draining, closing;
        char *base;
        struct auth *auth;
        struct api *api;
        struct http_server *http;
        struct progress progress;

        // Made by load_parts.
        struct tokenizer *tokenizer;
        struct chat_template *chat_template;
        struct dyn_engine *engine;
        struct registry *registry;
        struct dyn_error error;

        int n_ready, n_failed; // adapters of the store
        int64_t started_ns;
        int status;
        bool at_once;
};

// Stopping
// -----------------------------------------------------------------------------------------------------------------

static void remove_ready_file(const struct serve *s)
{
        if (s->conf->ready_file != NULL)
                unlink(s->conf->ready_file);
}

// Lets the loop run out: loads of adapters that have begun still end on it.
static void close_all(struct serve *s)
{
        if (s->closing)
                return;
        s->closing = true;
        if (s->registry != NULL)
                registry_stop(s->registry);
        http_close(s->http);
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

static void on_drain_limit(uv_timer_t *timer)
{
        struct serve *s = timer->data;

        log_warn(
                "%d requests did not end in %d seconds: they are cut off", api_running(s->api), s->conf->drain_timeout);
        s->status = 128 + SIGTERM;
        http_close(s->http);
        api_when_idle(s->api, on_idle, s);
}

static void leave_at_once(struct serve *s, int status)
{
        remove_ready_file(s);
        s->status = status;
        s->at_once = true;
        uv_stop(&s->loop);
}

// The first asks, the second insists. A load cannot be interrupted, and nothing runs yet that could be drained.
static void on_signal(uv_signal_t *signal, int number)
{
        struct serve *s = signal->data;

        if (s->loading || s->draining) {
                leave_at_once(s, s->loading ? 0 : 128 + number);
                return;
        }
        s->draining = true;
        log_info("stopping: %d requests are left to end", api_running(s->api));
        remove_ready_file(s);
        api_drain(s->api);
        if (s->conf->drain_timeout > 0)
                uv_timer_start(&s->drain_limit, on_drain_limit, (uint64_t)s->conf->drain_timeout * 1000, 0);
        http_drain(s->http, on_http_drained, s);
}

static void fail(struct serve *s)
{
        log_error("%s", s->error.text);
        s->status = 1;
        close_all(s);
}

// Starting
// -----------------------------------------------------------------------------------------------------------------

static enum dyn_status write_ready_file(const struct serve *s, struct dyn_error *err)
{
        const char *path = s->conf->ready_file;
        enum dyn_status st = DYN_OK;

        if (path == NULL)
                return DYN_OK;
        char *temporary = mem_printf("%s.%d", path, (int)getpid());
        FILE *f = fopen(temporary, "w");
        bool written = f != NULL && fprintf(f, "%s\n", http_address(s->http)) > 0;
        if (f != NULL && fclose(f) != 0)
                written = false;
        if (!written || rename(temporary, path) != 0) {
                st = dyn_fail(err, DYN_IO, "--ready-file %s: %s", path, strerror(errno));
                unlink(temporary);
        }
        mem_free(temporary);
        return st;
}

static void log_model(const struct serve *s)
{
        const struct dyn_model_info *m = dyn_engine_model(s->engine);

        log_info("model %s: %s, %.1f M parameters, %.0f MiB of weights as %s, context %d", s->base, m->arch,
                (double)m->n_params * 1e-6, (double)m->weight_bytes / 1048576, dyn_dtype_name(m->weight_dtype),
                m->max_context);
        log_info("backend %s, KV cache %.0f MiB: %d pages of %s, up to %d rows in a step", m->backend,
                (double)m->kv_bytes / 1048576, m->kv_pages, dyn_dtype_name(s->conf->kv_dtype), s->conf->max_rows);
}

static void log_ready(const struct serve *s, int n_adapters)
{
        const char *address = http_address(s->http);
        bool local = strncmp(address, "unix:", 5) == 0;

        log_info("ready in %.1f s with %d adapters: %s%s", (double)(clock_ns() - s->started_ns) * 1e-9, n_adapters,
                local ? "" : "http://", address);
        log_info("try: curl %s%s%s/v1/chat/completions -d '{\"model\": \"%s\", \"messages\": "
                 "[{\"role\": \"user\", \"content\": \"Hello\"}]}'",
                local ? "--unix-socket " : "http://", local ? address + 5 : address, local ? " http://localhost" : "",
                s->base);
}

static void become_ready(struct serve *s)
{
        struct api_parts parts = {s->engine, s->tokenizer, s->chat_template, s->registry};

        s->loading = false;
        api_serve(s->api, &parts);
        if (write_ready_file(s, &s->error) != DYN_OK) {
                fail(s);
                return;
        }
        if (s->n_failed > 0)
                log_warn("%d adapters of the store were refused: the lines above say why", s->n_failed);
        log_ready(s, s->n_ready);
}

// Until the adapter that is merged at start is merged, or will not be; why not is logged and listed.
static void on_merge_wait(uv_timer_t *timer)
{
        struct serve *s = timer->data;
        const struct adapter_entry *entry = registry_find(s->registry, s->conf->merge_at_start);

        if (entry != NULL && entry->current != NULL && adapter_entry_merged_since(entry) == 0 &&
                adapter_entry_unmerged_because(entry) == NULL)
                return;
        uv_timer_stop(timer);
        become_ready(s);
}

static void on_store_read(void *ctx, int n_ready, int n_failed)
{
        struct serve *s = ctx;
        const char *name = s->conf->merge_at_start;

        s->n_ready = n_ready;
        s->n_failed = n_failed;
        if (s->closing) {
                s->loading = false;
        } else if (name == NULL) {
                become_ready(s);
        } else if (registry_merge_at_start(s->registry, name, &s->error) != DYN_OK) {
                s->loading = false;
                fail(s);
        } else {
                uv_timer_start(&s->merge_wait, on_merge_wait, 0, MERGE_WAIT_MS);
        }
}

// Bytes as told, or a share of what is free now.
static size_t adapter_budget(size_t told, size_t share)
{
        return told ? told : mem_available() / share;
}

static enum dyn_status open_registry(struct serve *s)
{
        struct registry_options options = {
                .host = dyn_engine_adapter_host(s->engine),
                .resident = {.loop = &s->loop,
                        .device_bytes = adapter_budget(s->conf->adapter_memory, 8),
                        .host_bytes = adapter_budget(s->conf->host_adapter_memory, 16),
                        .steps = &dyn_engine_metrics(s->engine)->steps},
                .loop = &s->loop,
                .base = s->base,
                .store = s->conf->adapters,
                .roots = (const char *const *)s->conf->adapter_roots.at,
                .n_roots = s->conf->adapter_roots.n,
        };
        enum dyn_status st = registry_create(&s->registry, &options, &s->error);

        if (st != DYN_OK)
                return st;
        if (s->conf->adapters != NULL)
                return registry_scan_store(s->registry, on_store_read, s, &s->error);
        on_store_read(s, 0, 0);
        return DYN_OK;
}

static void on_loaded(uv_work_t *work, int cancelled)
{
        struct serve *s = work->data;

        progress_end(&s->progress);
        if (s->engine != NULL)
                log_model(s);
        if (s->engine == NULL || open_registry(s) != DYN_OK) {
                s->loading = false;
                fail(s);
        }
}

static void on_progress(void *ctx, const char *what, double done)
{
        struct serve *s = ctx;

        progress_say(&s->progress, what, done);
}

static void on_events(void *ctx)
{
        struct serve *s = ctx;

        uv_async_send(&s->wake);
}

// The cheap parts first: a bad tokenizer is found before gigabytes are read. Pool thread.
static void load_parts(uv_work_t *work)
{
        struct serve *s = work->data;
        const struct conf *c = s->conf;
        struct dyn_engine_options options = {
                .model = c->model,
                .backend = c->backend,
                .weights = c->weights,
                .threads = c->threads,
                .kv_memory = c->kv_memory,
                .kv_dtype = c->kv_dtype,
                .max_rows = c->max_rows,
                .max_queue = c->max_queue,
                .step_tokens = c->step_tokens,
                .max_context = c->max_context,
                .prefix_cache = c->prefix_cache,
                .merge = c->merge,
                .wake = on_events,
                .progress = on_progress,
                .ctx = s,
        };

        if (tokenizer_open(&s->tokenizer, c->model, &s->error) != DYN_OK)
                return;
        const char *source = tokenizer_chat_template(s->tokenizer);
        if (source != NULL && chat_template_compile(&s->chat_template, source, strlen(source), &s->error) != DYN_OK) {
                dyn_fail_in(&s->error, "chat template");
                dyn_fail_in(&s->error, c->model);
                return;
        }
        if (dyn_engine_create(&s->engine, &options, &s->error) != DYN_OK)
                s->engine = NULL;
}

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
        s->wake.data = s->drain_limit.data = s->merge_wait.data = s->load.data = s;
        for (int i = 0; i < 2; i++) {
                uv_signal_init(&s->loop, &s->signals[i]);
                s->signals[i].data = s;
                uv_signal_start(&s->signals[i], on_signal, numbers[i]);
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
                fail(s);
        } else {
                log_info("listening on %s, loading %s", http_address(s->http), conf->model);
                s->loading = true;
                uv_queue_work(&s->loop, &s->load, load_parts, on_loaded);
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
