#include "starting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sched/stats.h"
#include "stopping.h"

#define MERGE_WAIT_MS 2 // between two looks

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
                stopping_fail(s);
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
        const char *name = s->conf->merge_at_start;

        if (registry_merge_awaited(s->registry, name))
                return;
        const struct adapter_entry *entry = registry_find(s->registry, name);
        if (entry == NULL || (adapter_entry_merged_since(entry) == 0 && adapter_entry_unmerged_because(entry) == NULL))
                log_warn("--merge-at-start %s: the adapter was replaced, removed or given another mode before it was "
                         "merged",
                        name);
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
                stopping_fail(s);
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
                stopping_fail(s);
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

void starting_load(struct serve *s)
{
        s->loading = true;
        s->load.data = s;
        uv_queue_work(&s->loop, &s->load, load_parts, on_loaded);
}
