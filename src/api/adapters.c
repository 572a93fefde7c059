// Administration: what is said of adapters. What changes them is in registration.c.
#include "api/adapters.h"
#include "api/reply.h"
#include "api/server.h"
#include "api/writer.h"

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

// The members of its object.
static void write_entry(struct writer *w, const struct adapter_entry *entry)
{
        const struct dyn_adapter_info *info = adapter_entry_info(entry);

        writer_member_string(w, "name", entry->name);
        write_info(w, info);
        writer_member_string(w, "state", adapter_state_name(entry->state));
        writer_member_string(w, "tier", adapter_entry_tier(entry));
        int64_t merged_since = adapter_entry_merged_since(entry);

        writer_member_bool(w, "merged", merged_since != 0);
        if (merged_since != 0)
                writer_member_int(w, "merged_since", merged_since);
        else
                writer_member_null(w, "merged_since");
        writer_member_string(w, "unmerged_because", adapter_entry_unmerged_because(entry));
        writer_member_bool(w, "pinned", entry->pinned);
        writer_member_string(w, "unpinned_because", adapter_entry_unpinned_because(entry));
        writer_member_string(w, "mode", store_mode_name(entry->mode));
        writer_member_int(w, "in_flight", entry->in_flight);
        writer_member_int(w, "requests", (int64_t)entry->requests);
        writer_member_int(w, "tokens", (int64_t)entry->tokens);
        writer_member_string(w, "source", entry->source);
        writer_member_string(w, "error", entry->error);
}

// What lies merged in the base, null if nothing does: an adapter of the list, or a weighted list, which is no entry.
static void write_merged(struct writer *w, const struct dyn_adapter *merged)
{
        int64_t since = merged ? dyn_adapter_merged_since(merged) : 0;

        if (since == 0) {
                writer_member_null(w, "merged");
                return;
        }
        writer_key(w, "merged");
        writer_open(w, '{');
        writer_member_string(w, "name", dyn_adapter_info(merged)->name);
        writer_member_string(w, "version", dyn_adapter_info(merged)->version);
        writer_member_int(w, "since", since);
        writer_close(w, '}');
}

void adapters_answer(struct http_exchange *x, int status, const struct adapter_entry *entry, const char *outcome)
{
        struct buf body = {0};
        struct writer w = {&body};

        writer_open(&w, '{');
        write_entry(&w, entry);
        if (outcome != NULL)
                writer_member_string(&w, "outcome", outcome);
        writer_close(&w, '}');
        reply_json(x, status, &body);
        buf_free(&body);
}

void api_adapters(struct http_exchange *x, void *ctx)
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
        for (int i = 0; i < registry_count(api->registry); i++) {
                writer_open(&w, '{');
                write_entry(&w, registry_at(api->registry, i));
                writer_close(&w, '}');
        }
        writer_close(&w, ']');
        write_merged(&w, registry_merged(api->registry));
        writer_close(&w, '}');
        reply_json(x, 200, &body);
        buf_free(&body);
}

void adapters_answer_unknown(struct http_exchange *x, const char *name)
{
        struct problem p = {0};

        problem_set(&p, DYN_NOT_FOUND, NULL, "adapter_not_found", "no adapter is named \"%.200s\"", name);
        reply_problem(x, &p);
}

void api_adapter(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};

        if (api_check_loaded(api, x, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        const struct adapter_entry *entry = registry_find(api->registry, http_param(x));
        if (entry == NULL)
                adapters_answer_unknown(x, http_param(x));
        else
                adapters_answer(x, 200, entry, NULL);
}
