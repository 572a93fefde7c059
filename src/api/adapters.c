// Administration: GET, POST and DELETE of /v1/adapters. Loading runs elsewhere and comes back to the loop, so an answer
// may have to wait while its client may leave.
#include <string.h>

#include "api/fields.h"
#include "api/reply.h"
#include "api/server.h"
#include "api/writer.h"
#include "base/alloc.h"
#include "base/log.h"

static void write_info(struct writer *w, const struct dyn_adapter_info *info)
{
        writer_member_string(w, "version", info ? info->version : NULL);
        writer_member_string(w, "sha256", info ? info->sha256 : NULL);
        writer_member_string(w, "kind", info ? info->kind : NULL);
        writer_member_string(w, "base_model", info ? info->base_model : NULL);
        if (info == NULL) {
                static const char *const absent[] = {"rank", "sites", "bytes", "loaded_at"};

                for (int i = 0; i < 4; i++)
                        writer_member_null(w, absent[i]);
                return;
        }
        writer_member_int(w, "rank", info->rank);
        writer_member_int(w, "sites", info->n_sites);
        writer_member_int(w, "bytes", (int64_t)info->bytes);
        writer_member_int(w, "loaded_at", info->loaded_at);
}

// Each adapter is held on the device as it is registered, applied per row and not pinned: what lists show of tier,
// merged, pinned and mode.
static void write_entry(struct writer *w, const struct adapter_entry *entry)
{
        const struct dyn_adapter_info *info = adapter_entry_info(entry);

        writer_open(w, '{');
        writer_member_string(w, "name", entry->name);
        write_info(w, info);
        writer_member_string(w, "state", adapter_state_name(entry->state));
        writer_member_string(w, "tier", adapter_entry_tier(entry));
        writer_member_bool(w, "merged", false);
        writer_member_bool(w, "pinned", false);
        writer_member_string(w, "mode", "unmerged");
        writer_member_int(w, "in_flight", entry->in_flight);
        writer_member_int(w, "requests", (int64_t)entry->requests);
        writer_member_int(w, "tokens", (int64_t)entry->tokens);
        writer_member_string(w, "source", entry->source);
        writer_member_string(w, "error", entry->error);
        writer_close(w, '}');
}

static void answer_entry(struct http_exchange *x, int status, const struct adapter_entry *entry)
{
        struct buf body = {0};
        struct writer w = {&body};

        write_entry(&w, entry);
        reply_json(x, status, &body);
        buf_free(&body);
}

void api_adapters(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct buf body = {0};
        struct writer w = {&body};

        if (api_check_loaded(api, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        writer_open(&w, '{');
        writer_member_string(&w, "object", "list");
        writer_key(&w, "data");
        writer_open(&w, '[');
        for (int i = 0; i < registry_count(api->registry); i++)
                write_entry(&w, registry_at(api->registry, i));
        writer_close(&w, ']');
        writer_close(&w, '}');
        reply_json(x, 200, &body);
        buf_free(&body);
}

static void answer_not_found(struct http_exchange *x, const char *name)
{
        struct problem p = {0};

        problem_set(&p, DYN_NOT_FOUND, NULL, "adapter_not_found", "no adapter is named \"%.200s\"", name);
        reply_problem(x, &p);
}

void api_adapter(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};

        if (api_check_loaded(api, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        const struct adapter_entry *entry = registry_find(api->registry, http_param(x));
        if (entry == NULL)
                answer_not_found(x, http_param(x));
        else
                answer_entry(x, 200, entry);
}

// ?wait=VALUE: true and false by name, 1 and 0 or with no value at all for true.
static enum dyn_status read_wait(struct http_exchange *x, bool *wait, struct problem *p)
{
        const char *v = http_query(x, "wait");

        if (v == NULL)
                return DYN_OK;
        *wait = *v == 0 || strcmp(v, "true") == 0 || strcmp(v, "1") == 0;
        if (*wait || strcmp(v, "false") == 0 || strcmp(v, "0") == 0)
                return DYN_OK;
        return problem_set(p, DYN_INVALID, "wait", NULL, "wait: expected true or false, found \"%.40s\"", v);
}

// An answer that waits for something to end. The exchange becomes NULL when its client leaves.
struct waiting {
        struct http_exchange *exchange;
        char *name;
};

static void on_abort(struct http_exchange *x, void *user)
{
        ((struct waiting *)user)->exchange = NULL;
}

static struct waiting *wait_on(struct http_exchange *x, const char *name)
{
        struct waiting *w = mem_zalloc(sizeof *w);

        w->exchange = x;
        w->name = mem_strdup(name);
        http_on_abort(x, on_abort, w);
        return w;
}

static void wait_over(struct waiting *w)
{
        mem_free(w->name);
        mem_free(w);
}

// Registration
// ---------------------------------------------------------------------------------------------------------------

static void on_loaded(void *ctx, enum dyn_status st, enum registry_outcome outcome, const struct adapter_entry *entry,
        const struct dyn_error *error)
{
        struct waiting *w = ctx;
        struct problem p = {.about = ABOUT_ADAPTER};

        if (st == DYN_OK && w->exchange != NULL) {
                answer_entry(w->exchange, outcome == REGISTRY_NEW ? 201 : 200, entry);
        } else if (w->exchange != NULL) {
                p.err = *error;
                problem_of(&p, st == DYN_CONFLICT ? "name" : "path",
                        st == DYN_CONFLICT                           ? "adapter_exists"
                        : st == DYN_INVALID || st == DYN_UNSUPPORTED ? "bad_adapter"
                                                                     : NULL);
                reply_problem(w->exchange, &p);
        }
        wait_over(w);
}

static enum dyn_status read_registration(
        struct api *api, struct http_exchange *x, cJSON **body, struct params *params, bool *wait, struct problem *p)
{
        size_t len;
        const char *text = http_body(x, &len);
        enum dyn_status st = api_check_serving(api, p);

        *body = NULL;
        if (st == DYN_OK)
                st = read_wait(x, wait, p);
        if (st == DYN_OK)
                st = fields_parse(text, len, OF_REGISTER, body, params, p);
        if (st == DYN_OK && params->name == NULL)
                st = problem_set(p, DYN_INVALID, "name", "missing_required_parameter", "\"name\": is required");
        if (st == DYN_OK && registry_check_name(api->registry, params->name, &p->err) != DYN_OK)
                st = problem_of(p, "name", NULL);
        return st;
}

void api_adapter_register(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct params params;
        bool wait = true;
        cJSON *body;

        if (read_registration(api, x, &body, &params, &wait, &p) != DYN_OK) {
                reply_problem(x, &p);
                cJSON_Delete(body);
                return;
        }
        struct waiting *w = wait ? wait_on(x, params.name) : NULL;
        enum dyn_status st = registry_load(
                api->registry, params.name, params.path, params.replace, wait ? on_loaded : NULL, w, &p.err);
        if (st != DYN_OK) {
                if (st == DYN_BUSY)
                        p.about = ABOUT_SERVER;
                problem_of(&p, "name", st == DYN_CONFLICT ? "adapter_busy" : NULL);
                if (w != NULL)
                        wait_over(w);
                reply_problem(x, &p);
        } else if (!wait) {
                answer_entry(x, 202, registry_find(api->registry, params.name));
        }
        cJSON_Delete(body);
}

// Removal
// --------------------------------------------------------------------------------------------------------------------

static void answer_removed(struct http_exchange *x, int status, const char *name, const char *state, int in_flight)
{
        struct buf body = {0};
        struct writer w = {&body};

        writer_open(&w, '{');
        writer_member_string(&w, "name", name);
        writer_member_string(&w, "state", state);
        writer_member_int(&w, "in_flight", in_flight);
        writer_close(&w, '}');
        reply_json(x, status, &body);
        buf_free(&body);
}

static void on_gone(void *ctx)
{
        struct waiting *w = ctx;

        if (w->exchange != NULL)
                answer_removed(w->exchange, 200, w->name, "removed", 0);
        wait_over(w);
}

void api_adapter_remove(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        const char *name = http_param(x);
        bool wait = false;

        if (api_check_loaded(api, &p) != DYN_OK || read_wait(x, &wait, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        if (registry_find(api->registry, name) == NULL) {
                answer_not_found(x, name);
                return;
        }
        if (wait) {
                registry_remove(api->registry, name, on_gone, wait_on(x, name), NULL);
                return;
        }
        registry_remove(api->registry, name, NULL, NULL, NULL);
        const struct adapter_entry *entry = registry_find(api->registry, name);
        if (entry != NULL)
                answer_removed(x, 202, name, adapter_state_name(entry->state), entry->in_flight);
        else
                answer_removed(x, 200, name, "removed", 0);
}
