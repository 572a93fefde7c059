// GET /metrics: the counters of the engine, the registry and this room as one page of Prometheus text. Beside our own
// names stand those that inference gateways read by default (vLLM's).
#include <string.h>
#include <stdio.h>

#include "adapt/merge.h"
#include "api/generation.h"
#include "api/server.h"
#include "base/clock.h"
#include "sched/stats.h"

static void print(struct buf *out, const char *name, const char *type, const char *help, double value)
{
        prom_head(out, name, type, help);
        prom_value(out, name, NULL, value);
}

static void print_histogram(
        struct buf *out, const char *name, const char *help, const struct metric_histogram *histogram)
{
        prom_head(out, name, "histogram", help);
        prom_histogram(out, name, NULL, histogram);
}

static double count_of(const metric_counter *c)
{
        return (double)atomic_load_explicit(c, memory_order_relaxed);
}

static double gauge_of(const metric_gauge *g)
{
        return (double)atomic_load_explicit(g, memory_order_relaxed);
}

static void print_merging(struct buf *out, const struct engine_metrics *m)
{
        static const char *const modes[N_STEP_MODES] = {"base", "per_row", "merged", "mixed"};
        struct buf labels = {0};

        prom_head(out, "dynlora_steps_by_mode_total", "counter",
                "Steps on the base's own weights (rows of the base, or of adapters), and on merged ones (rows of the "
                "merged adapter, or of others beside them, which keep the base's own).");
        for (int i = 0; i < N_STEP_MODES; i++) {
                buf_clear(&labels);
                prom_label(&labels, "mode", modes[i]);
                prom_value(out, "dynlora_steps_by_mode_total", labels.data, count_of(&m->steps_by_mode[i]));
        }
        print(out, "dynlora_merges_total", "counter", "Adapters merged into the base.", count_of(&m->merges));
        print(out, "dynlora_restores_total", "counter", "Times that the base's weights were restored.",
                count_of(&m->restores));
        prom_head(out, "dynlora_merge_decisions_total", "counter", "Answers of the merge policy.");
        for (int i = 0; merge_reasons[i] != NULL; i++) {
                buf_clear(&labels);
                prom_label(&labels, "verdict", merge_reasons[i]);
                prom_value(out, "dynlora_merge_decisions_total", labels.data, count_of(&m->merge_decisions[i]));
        }
        buf_free(&labels);
}

static void print_engine(struct buf *out, const struct engine_metrics *m, const struct dyn_model_info *model)
{
        print(out, "dynlora_sequences_running", "gauge", "Sequences in the batch.", gauge_of(&m->running));
        print(out, "dynlora_sequences_waiting", "gauge", "Sequences in the queue.", gauge_of(&m->waiting));
        print(out, "dynlora_kv_pages", "gauge", "Pages of the KV cache.", model->kv_pages);
        print(out, "dynlora_kv_pages_used", "gauge", "Pages that running sequences hold.", gauge_of(&m->kv_pages_used));
        print(out, "dynlora_kv_pages_cached", "gauge", "Pages kept for reuse.", gauge_of(&m->kv_pages_cached));
        print(out, "dynlora_kv_bytes", "gauge", "Memory of the KV cache.", (double)model->kv_bytes);
        print(out, "dynlora_weight_bytes", "gauge", "Memory of the base's weights.", (double)model->weight_bytes);
        print(out, "dynlora_merged_bytes", "gauge", "Memory of merged weights, which lie beside the base's.",
                gauge_of(&m->merged_bytes));
        print(out, "dynlora_steps_total", "counter", "Steps of the engine.", count_of(&m->steps));
        print(out, "dynlora_steps_mixed_total", "counter", "Steps with more than one adapter (the base is one).",
                count_of(&m->steps_mixed));
        print_merging(out, m);
        print(out, "dynlora_prompt_tokens_total", "counter", "Prompt tokens computed.", count_of(&m->prompt_tokens));
        print(out, "dynlora_cached_tokens_total", "counter", "Prompt tokens found in the cache.",
                count_of(&m->cached_tokens));
        print(out, "dynlora_generated_tokens_total", "counter", "Tokens sampled.", count_of(&m->generated_tokens));
        print(out, "dynlora_preemptions_total", "counter", "Sequences put back to make room.",
                count_of(&m->preemptions));
        print_histogram(out, "dynlora_step_seconds", "Duration of a step.", &m->step_seconds);
        print_histogram(out, "dynlora_batch_rows", "Sequences in a step.", &m->step_rows);
        print_histogram(
                out, "dynlora_step_adapters", "Distinct adapters in a step, the base among them.", &m->step_adapters);
}

static void print_tiers(struct buf *out, const struct resident_totals *t)
{
        prom_head(out, "dynlora_adapter_bytes", "gauge", "Memory of the adapters by tier.");
        prom_value(out, "dynlora_adapter_bytes", "tier=\"device\"", (double)t->device_bytes);
        prom_value(out, "dynlora_adapter_bytes", "tier=\"host\"", (double)t->host_bytes);
        prom_head(out, "dynlora_adapter_budget_bytes", "gauge", "Memory that adapters may take, by tier.");
        prom_value(out, "dynlora_adapter_budget_bytes", "tier=\"device\"", (double)t->device_budget);
        prom_value(out, "dynlora_adapter_budget_bytes", "tier=\"host\"", (double)t->host_budget);
        prom_head(out, "dynlora_adapter_evictions_total", "counter", "Versions that left a tier for others.");
        prom_value(out, "dynlora_adapter_evictions_total", "tier=\"device\"", (double)t->evictions);
        prom_value(out, "dynlora_adapter_evictions_total", "tier=\"host\"", (double)t->host_evictions);
        print(out, "dynlora_adapter_device_loads_total", "counter", "Versions brought to the device.",
                (double)t->loads);
        print(out, "dynlora_adapter_waiting", "gauge", "Requests that wait for their adapter to come to the device.",
                t->waiting);
}

static void print_registry(struct buf *out, const struct registry *registry)
{
        struct registry_totals totals = registry_totals(registry);
        int n[ADAPTER_FAILED + 1] = {0};
        struct buf labels = {0};

        for (int i = 0; i < registry_count(registry); i++)
                n[registry_at(registry, i)->state]++;
        prom_head(out, "dynlora_adapters", "gauge", "Adapters by state.");
        for (enum adapter_state s = ADAPTER_LOADING; s <= ADAPTER_FAILED; s++) {
                buf_clear(&labels);
                prom_label(&labels, "state", adapter_state_name(s));
                prom_value(out, "dynlora_adapters", labels.data, n[s]);
        }
        buf_free(&labels);
        print(out, "dynlora_blends", "gauge", "Weighted sums of adapters that are kept for requests.", totals.blends);
        print_tiers(out, &totals.resident);
        print(out, "dynlora_adapter_loads_total", "counter", "Adapter versions published.", (double)totals.loads);
        print(out, "dynlora_adapter_load_failures_total", "counter", "Adapter folders refused.",
                (double)totals.failures);
        print(out, "dynlora_adapter_removals_total", "counter", "Adapters unregistered.", (double)totals.removals);
}

// Whether a call of this adapter, or of a blend with it, has come so far that a token was sampled.
static bool has_begun(const struct api *api, const struct adapter_entry *entry)
{
        for (const struct generation *g = api->generations; g != NULL; g = g->next)
                for (int i = 0;
                        g->accepted && g->version != NULL && registry_uses(g->version, entry) && i < g->n_choices; i++)
                        if (g->choices[i].token_ns != 0)
                                return true;
        return false;
}

static void print_lora_info(struct buf *out, const struct api *api)
{
        struct buf running = {0}, waiting = {0}, labels = {0};
        char most[16];

        for (int i = 0; i < registry_count(api->registry); i++) {
                const struct adapter_entry *entry = registry_at(api->registry, i);
                struct buf *list = has_begun(api, entry) ? &running : &waiting;

                if (entry->in_flight > 0)
                        buf_printf(list, "%s%s", list->len ? "," : "", entry->name);
        }
        snprintf(most, sizeof most, "%d", api->max_rows);
        prom_label(&labels, "running_lora_adapters", running.data ? running.data : "");
        prom_label(&labels, "waiting_lora_adapters", waiting.data ? waiting.data : "");
        prom_label(&labels, "max_lora", most);
        prom_head(out, "vllm:lora_requests_info", "gauge",
                "Adapters with running and with waiting requests; max_lora is the rows of a batch, each of which may "
                "have its own. The value is the time.");
        prom_value(out, "vllm:lora_requests_info", labels.data, (double)clock_unix());
        buf_free(&running);
        buf_free(&waiting);
        buf_free(&labels);
}

static void print_gateway(struct buf *out, const struct api *api, const struct engine_metrics *m)
{
        double pages = api->model->kv_pages > 0 ? api->model->kv_pages : 1;
        struct buf label = {0};

        prom_label(&label, "model_name", api->base);
        prom_head(out, "vllm:num_requests_running", "gauge", "Sequences in the batch.");
        prom_value(out, "vllm:num_requests_running", label.data, gauge_of(&m->running));
        prom_head(out, "vllm:num_requests_waiting", "gauge", "Sequences in the queue.");
        prom_value(out, "vllm:num_requests_waiting", label.data,
                gauge_of(&m->waiting) + registry_totals(api->registry).resident.waiting);
        prom_head(out, "vllm:kv_cache_usage_perc", "gauge", "Share of the KV cache in use, 0 to 1.");
        prom_value(out, "vllm:kv_cache_usage_perc", label.data, gauge_of(&m->kv_pages_used) / pages);
        print_lora_info(out, api);
        buf_free(&label);
}

static bool still_known(void *ctx, const char *adapter)
{
        return strcmp(adapter, API_BASE_LABEL) == 0 || strcmp(adapter, API_BLEND_LABEL) == 0 ||
               registry_find(ctx, adapter) != NULL;
}

void api_metrics(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct buf out = {0};

        print(&out, "dynlora_ready", "gauge", "1 while inference requests are taken.", api->state == API_SERVING);
        if (api->engine != NULL) {
                const struct engine_metrics *m = dyn_engine_metrics(api->engine);

                print_engine(&out, m, api->model);
                print_registry(&out, api->registry);
                print_gateway(&out, api, m);
        }
        counters_print(&api->counters, &out);
        if (api->registry != NULL)
                counters_forget(&api->counters, still_known, api->registry);
        http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
        buf_free(&out);
}
