#include "api/api.h"

#include <stdio.h>
#include <string.h>

#include "api/generation.h"
#include "api/reply.h"
#include "api/server.h"
#include "api/writer.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define PUMP_NS 2000000 // how long events keep the loop at a time

// Load balancers and scrapers put parameters of their own to what they probe, so there any may come.
static const struct http_route routes[] = {
        {"POST", "/v1/completions", api_completions, AUTH_INFERENCE},
        {"POST", "/v1/chat/completions", api_chat, AUTH_INFERENCE},
        {"GET", "/v1/models", api_models, AUTH_INFERENCE},
        {"GET", "/v1/models/{id}", api_model, AUTH_INFERENCE},
        {"POST", "/tokenize", api_tokenize, AUTH_INFERENCE},
        {"POST", "/detokenize", api_detokenize, AUTH_INFERENCE},
        {"GET", "/health", api_health, AUTH_OPEN, .any_query = true},
        {"GET", "/ready", api_ready, AUTH_OPEN, .any_query = true},
        {"GET", "/version", api_version, AUTH_OPEN},
        {"GET", "/metrics", api_metrics, AUTH_OPEN, .any_query = true},
        {"GET", "/v1/adapters", api_adapters, AUTH_ADMIN},
        {"POST", "/v1/adapters", api_adapter_register, AUTH_ADMIN, .query = "wait"},
        {"GET", "/v1/adapters/{name}", api_adapter, AUTH_ADMIN},
        {"PUT", "/v1/adapters/{name}", api_adapter_upload, AUTH_ADMIN, .upload = true, .query = "wait"},
        {"PATCH", "/v1/adapters/{name}", api_adapter_set, AUTH_ADMIN},
        {"DELETE", "/v1/adapters/{name}", api_adapter_remove, AUTH_ADMIN, .query = "wait"},
        {"POST", "/v1/load_lora_adapter", api_lora_load, AUTH_ADMIN},
        {"POST", "/v1/unload_lora_adapter", api_lora_unload, AUTH_ADMIN},
};

#define N_ROUTES ((int)(sizeof routes / sizeof *routes))

const struct http_route *api_routes(int *n)
{
        *n = N_ROUTES;
        return routes;
}

int api_admit(void *ctx, struct http_exchange *x, int access, const char **why)
{
        const struct api *api = ctx;
        bool local = access == AUTH_ADMIN && http_peer_is_local(x);
        int status = auth_check(api->auth, (enum auth_access)access, http_header(x, "authorization"), local, why);

        if (status == 401)
                http_add_header(x, "WWW-Authenticate", "Bearer");
        return status;
}

void api_error_body(int status, const char *message, struct buf *out)
{
        reply_http_body(status, message, out);
}

// The pattern that a path matches, so that names in paths do not become labels.
static const char *pattern_of(const char *path)
{
        size_t len = strcspn(path, "?");

        for (int i = 0; i < N_ROUTES; i++) {
                const char *pattern = routes[i].path;
                size_t fixed = strcspn(pattern, "{");

                if (strncmp(path, pattern, fixed) != 0)
                        continue;
                bool rest = len > fixed && memchr(path + fixed, '/', len - fixed) == NULL;
                if (pattern[fixed] == 0 ? len == fixed : rest)
                        return pattern;
        }
        return "other";
}

void api_on_done(void *ctx, const char *method, const char *path, int status, const char *why, double seconds)
{
        struct api *api = ctx;

        counters_answer(&api->counters, path ? pattern_of(path) : "other", status);
        log_write(status >= 500 && status != 503 ? LOG_WARN : LOG_DEBUG, "%s %s: %d in %.1f ms%s%s",
                method ? method : "-", path ? path : "-", status, seconds * 1e3, why ? ": " : "", why ? why : "");
}

struct api *api_create(const struct api_options *o)
{
        struct api *api = mem_zalloc(sizeof *api);

        api->base = o->base;
        api->auth = o->auth;
        api->model_path = o->model_path;
        api->max_rows = o->max_rows;
        api->max_queue = o->max_queue;
        api->desk = desk_create(o->loop, o->max_queue);
        counters_init(&api->counters);
        counters_traffic(&api->counters, API_BASE_LABEL);
        return api;
}

void api_close(struct api *api)
{
        if (api != NULL)
                desk_close(api->desk);
}

void api_destroy(struct api *api)
{
        if (api == NULL)
                return;
        counters_finish(&api->counters);
        buf_free(&api->chunk);
        mem_free(api);
}

void api_serve(struct api *api, const struct api_parts *parts)
{
        api->engine = parts->engine;
        api->model = dyn_engine_model(parts->engine);
        api->tokenizer = parts->tokenizer;
        api->chat_template = parts->chat_template;
        api->registry = parts->registry;
        api->loaded_at = clock_unix();
        snprintf(api->fingerprint, sizeof api->fingerprint, "%s-%s", api->model->fingerprint, api->model->backend);
        api->longest_piece = 4; // a character that is no token becomes tokens of its bytes
        for (int i = 0; i < tokenizer_n_ids(api->tokenizer); i++) {
                size_t len;

                tokenizer_piece(api->tokenizer, i, &len);
                if (len > api->longest_piece)
                        api->longest_piece = len;
        }
        api->state = API_SERVING;
}

void api_drain(struct api *api)
{
        api->state = API_DRAINING;
}

void api_cut_off(struct http_server *http)
{
        struct problem p = {.about = ABOUT_SERVER};
        struct buf body = {0};

        problem_set(&p, DYN_BUSY, NULL, "draining", "the server is stopping and cannot wait for this request to end");
        reply_problem_body(&p, &body);
        http_cut_off(http, reply_status(&p), &body);
        buf_free(&body);
}

bool api_pump(struct api *api)
{
        int64_t end = clock_ns() + PUMP_NS;
        struct dyn_event e;

        while (api->engine != NULL && dyn_engine_poll(api->engine, &e)) {
                generation_event(&e);
                if (clock_ns() >= end)
                        return true;
        }
        return false;
}

int api_running(const struct api *api)
{
        return api->n_calls;
}

void api_when_idle(struct api *api, void (*idle)(void *ctx), void *ctx)
{
        if (api->n_calls == 0) {
                idle(ctx);
                return;
        }
        api->idle = idle;
        api->idle_ctx = ctx;
}

// What handlers share
// ----------------------------------------------------------------------------------------------------------

enum dyn_status api_check_query(const struct http_exchange *x, struct problem *p)
{
        const char *taken, *unknown = http_query_unknown(x, &taken);

        if (unknown == NULL)
                return DYN_OK;
        if (taken == NULL)
                return problem_set(p, DYN_INVALID, unknown, NULL, "?%.40s: expected no parameter", unknown);
        return problem_set(p, DYN_INVALID, unknown, NULL, "?%.40s: expected the parameter %s or none", unknown, taken);
}

enum dyn_status api_check_loaded(const struct api *api, const struct http_exchange *x, struct problem *p)
{
        if (api->engine != NULL)
                return api_check_query(x, p);
        p->about = ABOUT_SERVER;
        return problem_set(p, DYN_BUSY, NULL, "starting", "the model is being loaded");
}

enum dyn_status api_check_serving(const struct api *api, const struct http_exchange *x, struct problem *p)
{
        if (api->state != API_DRAINING)
                return api_check_loaded(api, x, p);
        p->about = ABOUT_SERVER;
        return problem_set(p, DYN_BUSY, NULL, "draining", "the server is stopping and takes no new requests");
}

void api_call_begins(struct api *api)
{
        api->n_calls++;
}

void api_call_ends(struct api *api)
{
        if (--api->n_calls == 0 && api->idle != NULL)
                api->idle(api->idle_ctx);
}

enum dyn_status api_take_body(struct api *api, struct http_exchange *x, struct buf *body, struct problem *p)
{
        size_t len;

        http_body(x, &len);
        if (desk_full(api->desk, len)) {
                dyn_fail(&p->err, DYN_BUSY, "too many long requests wait to be read: try again later");
                return problem_of(p, NULL, "queue_full");
        }
        *body = http_take_body(x);
        return DYN_OK;
}

const char *api_served_name(const struct api *api, const struct adapter_version *version)
{
        return version ? version->entry->name : api->base;
}

void api_write_adapter(struct writer *w, const struct adapter_version *version)
{
        if (version == NULL) {
                writer_null(w);
                return;
        }
        writer_open(w, '{');
        writer_member_string(w, "name", version->entry->name);
        writer_member_string(w, "version", dyn_adapter_info(version->adapter)->version);
        writer_close(w, '}');
}
