// GET /v1/models and /v1/models/{id}: the base and every ready adapter, as models that a client can name.
#include <string.h>

#include "api/reply.h"
#include "api/server.h"
#include "api/writer.h"

// entry NULL is the base.
static void write_model(struct writer *w, const struct api *api, const struct adapter_entry *entry)
{
        const struct dyn_adapter_info *info = entry ? adapter_entry_info(entry) : NULL;

        writer_open(w, '{');
        writer_member_string(w, "id", entry ? entry->name : api->base);
        writer_member_string(w, "object", "model");
        writer_member_int(w, "created", info ? info->loaded_at : api->loaded_at);
        writer_member_string(w, "owned_by", "dynlora");
        writer_member_string(w, "root", entry ? entry->source : api->model_path);
        writer_member_string(w, "parent", entry ? api->base : NULL);
        writer_member_int(w, "max_model_len", api->model->max_context);
        if (info != NULL) {
                writer_member_string(w, "kind", info->kind);
                writer_member_int(w, "rank", info->rank);
                writer_member_string(w, "version", info->version);
        }
        writer_close(w, '}');
}

void api_models(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct buf body = {0};
        struct writer w = {&body};

        if (api_check_loaded(api, x, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        writer_open(&w, '{');
        writer_member_string(&w, "object", "list");
        writer_key(&w, "data");
        writer_open(&w, '[');
        write_model(&w, api, NULL);
        for (int i = 0; i < registry_count(api->registry); i++) {
                const struct adapter_entry *entry = registry_at(api->registry, i);

                if (entry->state == ADAPTER_READY)
                        write_model(&w, api, entry);
        }
        writer_close(&w, ']');
        writer_close(&w, '}');
        reply_json(x, 200, &body);
        buf_free(&body);
}

void api_model(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        const char *id = http_param(x);
        const struct adapter_entry *entry = NULL;
        struct problem p = {0};
        struct buf body = {0};
        struct writer w = {&body};

        if (api_check_loaded(api, x, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        if (strcmp(id, api->base) != 0) {
                entry = registry_find(api->registry, id);
                if (entry == NULL || entry->state != ADAPTER_READY) {
                        problem_set(&p, DYN_NOT_FOUND, "model", "model_not_found",
                                "no model and no ready adapter is named \"%.200s\"", id);
                        reply_problem(x, &p);
                        return;
                }
        }
        write_model(&w, api, entry);
        reply_json(x, 200, &body);
        buf_free(&body);
}
