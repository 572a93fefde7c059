// Administration: POST, PUT, PATCH and DELETE of /v1/adapters, and vLLM's words for the same. The work is done
// elsewhere and comes back to the loop; an answer that waits for it is in waiting.c.
#include <string.h>

#include "api/adapters.h"
#include "api/fields.h"
#include "api/reply.h"
#include "api/server.h"
#include "api/waiting.h"
#include "api/writer.h"

#define MAX_BODY 65536 // bytes of a body that is read on the loop; a name and a path have a tenth of that

// Registration
// ---------------------------------------------------------------------------------------------------------------

static const char *const outcomes[] = {"new", "updated", "unchanged"}; // by enum registry_outcome

static void on_loaded(void *ctx, enum dyn_status st, enum registry_outcome outcome, const struct adapter_entry *entry,
        const struct dyn_error *error)
{
        struct waiting *w = ctx;
        struct problem p = {0};

        if (w->exchange != NULL && st != DYN_OK) {
                p.err = *error;
                waiting_answer_failure(w, &p, st != DYN_CONFLICT ? w->param : w->vllm ? "lora_name" : "name");
        } else if (w->exchange != NULL && w->vllm) {
                waiting_answer_vllm(w, "added");
        } else if (w->exchange != NULL) {
                adapters_answer(w->exchange, outcome == REGISTRY_NEW ? 201 : 200, entry, outcomes[outcome]);
        }
        waiting_over(w);
}

static void begin(struct api *api, struct http_exchange *x, const struct registry_order *order, bool wait, bool vllm)
{
        struct waiting *w = wait ? waiting_on(api, x, order->name, vllm) : NULL;
        struct problem p = {0};

        if (w != NULL) {
                w->param = vllm ? "lora_path" : "path";
                w->replace = order->replace ? NULL : vllm ? "load_inplace" : "replace";
        }
        if (registry_load(api->registry, order, wait ? on_loaded : NULL, w, &p.err) != DYN_OK)
                waiting_refuse(w, x, &p);
        else if (!wait)
                adapters_answer(x, 202, registry_find(api->registry, order->name), NULL);
}

// Only one adapter can lie merged in the base, so only one can have that for its mode. mode may be NULL: it stays.
static enum dyn_status read_mode(
        struct api *api, const char *name, const char *mode, struct store_settings *settings, struct problem *p)
{
        static const enum store_mode modes[] = {STORE_AUTO, STORE_MERGED, STORE_UNMERGED};
        const char *other = registry_marked_merged(api->registry);

        for (int i = 0; i < 3; i++)
                if (mode != NULL && strcmp(mode, store_mode_name(modes[i])) == 0)
                        settings->mode = modes[i];
        if (mode != NULL && strcmp(mode, store_mode_name(settings->mode)) != 0)
                return problem_set(p, DYN_INVALID, "mode", NULL,
                        "\"mode\": expected auto, merged or unmerged, found \"%.40s\"", mode);
        if (mode != NULL && settings->mode == STORE_MERGED && other != NULL && strcmp(other, name) != 0)
                return problem_set(p, DYN_CONFLICT, "mode", "merged_already",
                        "\"mode\": adapter \"%s\" is to be merged already, and only one can be: set its mode to auto "
                        "first",
                        other);
        return DYN_OK;
}

// Parses a body that names an adapter in the member `field`.
static enum dyn_status read_body(struct api *api, struct http_exchange *x, enum fields_of of, cJSON **body,
        struct params *params, struct problem *p)
{
        size_t len;
        const char *text = http_body(x, &len);
        const char *field = of == OF_REGISTER ? "name" : "lora_name";
        enum dyn_status st = api_check_serving(api, x, p);

        *body = NULL;
        if (st == DYN_OK && len > MAX_BODY)
                st = problem_set(p, DYN_INVALID, NULL, "body_too_large",
                        "the body: expected at most %d bytes, found %zu", MAX_BODY, len);
        if (st == DYN_OK)
                st = fields_parse(text, len, of, body, params, p);
        if (st == DYN_OK && of != OF_SETTINGS && params->name == NULL)
                st = problem_set(p, DYN_INVALID, field, "missing_required_parameter", "\"%s\": is required", field);
        if (st == DYN_OK && params->path != NULL && params->path[0] == 0)
                st = problem_set(p, DYN_INVALID, of == OF_REGISTER ? "path" : "lora_path", NULL,
                        "\"%s\": expected a folder, found \"\"", of == OF_REGISTER ? "path" : "lora_path");
        if (st == DYN_OK && of != OF_SETTINGS && registry_check_name(api->registry, params->name, &p->err) != DYN_OK)
                st = problem_of(p, field, NULL);
        return st;
}

void api_adapter_register(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct params params;
        struct store_settings settings = {0};
        bool wait = true;
        cJSON *body;
        enum dyn_status st = read_body(api, x, OF_REGISTER, &body, &params, &p);

        if (st == DYN_OK)
                st = waiting_read(x, &wait, &p);
        if (st == DYN_OK)
                st = read_mode(api, params.name, params.mode, &settings, &p);
        if (st == DYN_OK) {
                settings.pin = params.pin;
                struct registry_order order = {
                        params.name, params.path, params.replace, params.pin || params.mode ? &settings : NULL};

                begin(api, x, &order, wait, false);
        } else {
                reply_problem(x, &p);
        }
        cJSON_Delete(body);
}

void api_lora_load(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct params params;
        cJSON *body;
        enum dyn_status st = read_body(api, x, OF_LOAD_LORA, &body, &params, &p);

        if (st == DYN_OK && params.path == NULL)
                st = problem_set(
                        &p, DYN_INVALID, "lora_path", "missing_required_parameter", "\"lora_path\": is required");
        if (st == DYN_OK) {
                struct registry_order order = {params.name, params.path, params.replace, NULL};

                begin(api, x, &order, true, true);
        } else {
                reply_problem(x, &p);
        }
        cJSON_Delete(body);
}

void api_adapter_upload(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        const char *name = http_param(x);
        bool wait = true;

        if (api_check_serving(api, x, &p) != DYN_OK || waiting_read(x, &wait, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        if (registry_check_name(api->registry, name, &p.err) != DYN_OK) {
                problem_of(&p, "name", NULL);
                reply_problem(x, &p);
                return;
        }
        int file = http_body_file(x);
        if (file < 0) {
                dyn_fail(&p.err, DYN_IO, "the upload could not be written to the disk");
                reply_problem(x, &p);
                return;
        }
        struct waiting *w = wait ? waiting_on(api, x, name, false) : NULL;
        if (registry_upload(api->registry, name, file, wait ? on_loaded : NULL, w, &p.err) != DYN_OK)
                waiting_refuse(w, x, &p);
        else if (!wait)
                adapters_answer(x, 202, registry_find(api->registry, name), NULL);
}

// Settings
// --------------------------------------------------------------------------------------------------------------------

static void on_set(void *ctx, enum dyn_status st, const struct adapter_entry *entry, const struct dyn_error *error)
{
        struct waiting *w = ctx;
        struct problem p = {0};

        if (w->exchange != NULL && st != DYN_OK) {
                p.err = *error;
                waiting_answer_failure(w, &p, NULL);
        } else if (w->exchange != NULL) {
                adapters_answer(w->exchange, 200, entry, NULL);
        }
        waiting_over(w);
}

void api_adapter_set(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct params params;
        struct store_settings settings;
        cJSON *body = NULL;
        enum dyn_status st = read_body(api, x, OF_SETTINGS, &body, &params, &p);
        const struct adapter_entry *entry = st ? NULL : registry_find(api->registry, http_param(x));

        if (st == DYN_OK && entry == NULL) {
                cJSON_Delete(body);
                adapters_answer_unknown(x, http_param(x));
                return;
        }
        if (st == DYN_OK) {
                settings = (struct store_settings){json_member(body, "pin") ? params.pin : entry->pinned, entry->mode};
                st = read_mode(api, entry->name, params.mode, &settings, &p);
        }
        cJSON_Delete(body);
        if (st != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        struct waiting *w = waiting_on(api, x, entry->name, false);
        if (registry_set(api->registry, w->name, &settings, on_set, w, &p.err) != DYN_OK)
                waiting_refuse(w, x, &p);
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

// The store has let go of it. Requests may still run on it, if nobody asked to wait for them.
static void on_gone(void *ctx, enum dyn_status st, const struct dyn_error *error)
{
        struct waiting *w = ctx;
        const struct adapter_entry *entry = registry_find(w->api->registry, w->name);
        struct problem p = {0};

        if (w->exchange != NULL && st != DYN_OK) {
                p.err = *error;
                waiting_answer_failure(w, &p, NULL);
        } else if (w->exchange != NULL && w->vllm) {
                waiting_answer_vllm(w, "removed");
        } else if (w->exchange != NULL && entry != NULL && entry->state == ADAPTER_DRAINING) {
                answer_removed(w->exchange, 202, w->name, "draining", entry->in_flight);
        } else if (w->exchange != NULL) {
                answer_removed(w->exchange, 200, w->name, "removed", 0);
        }
        waiting_over(w);
}

static void remove_adapter(struct api *api, struct http_exchange *x, const char *name, bool drained, bool vllm)
{
        struct waiting *w;

        if (registry_find(api->registry, name) == NULL) {
                adapters_answer_unknown(x, name);
                return;
        }
        w = waiting_on(api, x, name, vllm);
        registry_remove(api->registry, w->name, drained, on_gone, w, NULL);
}

void api_adapter_remove(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        bool wait = false;

        if (api_check_loaded(api, x, &p) != DYN_OK || waiting_read(x, &wait, &p) != DYN_OK)
                reply_problem(x, &p);
        else
                remove_adapter(api, x, http_param(x), wait, false);
}

void api_lora_unload(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct params params;
        cJSON *body;

        if (read_body(api, x, OF_UNLOAD_LORA, &body, &params, &p) != DYN_OK)
                reply_problem(x, &p);
        else
                remove_adapter(api, x, params.name, false, true);
        cJSON_Delete(body);
}
