// The engine (dynlora/engine.h): model, cache, adapters and scheduler wired into one opaque thing, and the thread that
// runs it.
#include "dynlora/engine.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "base/queue.h"
#include "model/model.h"
#include "sched/merger.h"
#include "sched/sched.h"

// Rows with logits beyond one a sequence: what a chunk of a prompt with prompt_logprobs may use.
#define EXTRA_LOGITS 32

struct dyn_engine {
        struct dyn_engine_options o;
        struct model *model;
        struct dyn_kv kv;
        struct merger *merger;
        struct sched *sched;
        struct dyn_model_info info;
        struct adapter_host host;
        struct engine_metrics metrics;
        char fingerprint[17];
        struct queue *inbox;  // struct sequence *
        struct queue *outbox; // struct dyn_event
        pthread_t thread;
        bool started, emitted;
        atomic_bool stopping;
        // Handed to the engine thread: who shall be merged.
        pthread_mutex_t wish_lock;
        bool wished, keep;
        struct dyn_adapter *wish; // pinned and in use
};

// Engine thread
// ------------------------------------------------------------------------------------------------------------

static void emit(void *ctx, const struct dyn_event *event)
{
        struct dyn_engine *e = ctx;

        e->emitted |= queue_push(e->outbox, event);
}

static void take_wish(struct dyn_engine *e)
{
        pthread_mutex_lock(&e->wish_lock);
        if (e->wished)
                merger_prefer(e->merger, e->wish, e->keep);
        e->wished = false;
        e->wish = NULL;
        pthread_mutex_unlock(&e->wish_lock);
}

static void *run(void *arg)
{
        struct dyn_engine *e = arg;
        struct sequence *seq;

        while (!atomic_load(&e->stopping)) {
                while (queue_pop(e->inbox, &seq))
                        sched_add(e->sched, seq);
                take_wish(e);
                bool worked = sched_step(e->sched);

                if (e->emitted && e->o.wake != NULL)
                        e->o.wake(e->o.ctx);
                e->emitted = false;
                if (!worked)
                        queue_wait(e->inbox);
        }
        return NULL;
}

// Setting up
// ---------------------------------------------------------------------------------------------------------------

// Pages for the budget: given, or a quarter of what is free, but no more than all rows at full length can use.
static enum dyn_status create_kv(struct dyn_engine *e, struct dyn_error *err)
{
        const struct model_config *c = model_config(e->model);
        size_t page = model_kv_page_bytes(e->model, e->o.kv_dtype);
        size_t budget = e->o.kv_memory ? e->o.kv_memory : mem_available() / 4;
        size_t useful = (size_t)e->o.max_rows * (size_t)((c->max_context + DYN_PAGE_TOKENS - 1) / DYN_PAGE_TOKENS);
        size_t pages = budget / page;

        if (e->o.kv_memory == 0 && pages == 0)
                pages = 64;
        if (pages > useful)
                pages = useful;
        if (pages < 2 || pages > INT32_MAX)
                return dyn_fail(err, DYN_INVALID,
                        "--kv-memory: expected at least %zu bytes (two pages of %d tokens), found %zu", 2 * page,
                        DYN_PAGE_TOKENS, budget);
        return model_kv_create(e->model, (int)pages, e->o.kv_dtype, &e->kv, err);
}

static void fill_info(struct dyn_engine *e)
{
        const struct model_config *c = model_config(e->model);
        const struct model_facts *facts = model_facts(e->model);
        int fits = e->kv.n_pages * DYN_PAGE_TOKENS;
        uint64_t parts[] = {facts->hash, map_hash(model_ops(e->model)->name, strlen(model_ops(e->model)->name)),
                facts->weight_dtype, e->kv.dtype};

        snprintf(e->fingerprint, sizeof e->fingerprint, "%016llx", (unsigned long long)map_hash(parts, sizeof parts));
        e->info = (struct dyn_model_info){
                .arch = c->arch,
                .backend = model_ops(e->model)->name,
                .n_layers = c->n_layers,
                .dim = c->dim,
                .hidden_dim = c->hidden_dim,
                .n_heads = c->n_heads,
                .n_kv_heads = c->n_kv_heads,
                .head_dim = c->head_dim,
                .vocab_size = c->vocab_size,
                .max_context = fits < c->max_context ? fits : c->max_context,
                .n_params = facts->n_params,
                .weight_bytes = facts->weight_bytes,
                .weight_dtype = facts->weight_dtype,
                .fingerprint = e->fingerprint,
                .kv_bytes = (size_t)e->kv.n_pages * model_kv_page_bytes(e->model, e->kv.dtype),
                .kv_pages = e->kv.n_pages,
        };
        if (fits < c->max_context)
                log_warn("the KV cache holds %d tokens, so requests are limited to that instead of the model's %d: "
                         "raise --kv-memory",
                        fits, c->max_context);
}

static enum dyn_status open_model(struct dyn_engine *e, struct dyn_error *err)
{
        struct model_options options = {
                .path = e->o.model,
                .ops = dyn_backend_find(e->o.backend, err),
                .weights = e->o.weights,
                .threads = e->o.threads,
                .step_tokens = e->o.step_tokens,
                .max_logit_rows = e->o.max_rows + EXTRA_LOGITS,
                .max_context = e->o.max_context,
                .progress = e->o.progress,
                .ctx = e->o.ctx,
        };

        if (options.ops == NULL)
                return DYN_UNSUPPORTED;
        return model_open(&e->model, &options, err);
}

static void init_metrics(struct engine_metrics *m)
{
        m->step_seconds.bounds = metric_seconds;
        m->step_seconds.n_bounds = METRIC_BUCKETS;
        m->step_rows.bounds = m->step_adapters.bounds = metric_powers;
        m->step_rows.n_bounds = m->step_adapters.n_bounds = sizeof metric_powers / sizeof *metric_powers;
}

static enum dyn_status start(struct dyn_engine *e, struct dyn_error *err)
{
        static const enum merge_policy policies[] = {
                [DYN_MERGE_AUTO] = MERGE_AUTO, [DYN_MERGE_NEVER] = MERGE_NEVER, [DYN_MERGE_ALWAYS] = MERGE_ALWAYS};
        enum dyn_status st = merger_create(&e->merger, e->model, policies[e->o.merge], &e->metrics, err);

        if (st != DYN_OK)
                return st;
        struct sched_options options = {
                .model = e->model,
                .kv = &e->kv,
                .max_rows = e->o.max_rows,
                .step_tokens = e->o.step_tokens,
                .extra_logits = EXTRA_LOGITS,
                .prefix_cache = e->o.prefix_cache,
                .merger = e->merger,
                .metrics = &e->metrics,
                .emit = emit,
                .ctx = e,
        };

        init_metrics(&e->metrics);
        fill_info(e);
        e->host = (struct adapter_host){model_ops(e->model), model_device(e->model), model_sites(e->model),
                mem_strdup(e->o.model), e, dyn_engine_prefer_merged, dyn_engine_kick};
        e->inbox = queue_create(sizeof(struct sequence *));
        e->outbox = queue_create(sizeof(struct dyn_event));
        e->sched = sched_create(&options);
        e->started = pthread_create(&e->thread, NULL, run, e) == 0;
        return e->started ? DYN_OK : dyn_fail(err, DYN_IO, "the system gives no thread");
}

enum dyn_status dyn_engine_create(struct dyn_engine **out, const struct dyn_engine_options *o, struct dyn_error *err)
{
        struct dyn_engine *e = mem_zalloc(sizeof *e);
        struct dyn_error unread;
        enum dyn_status st;

        err = err ? err : &unread;
        e->o = *o;
        pthread_mutex_init(&e->wish_lock, NULL);
        if (o->max_rows < 1 || o->max_queue < 1 || o->step_tokens < o->max_rows)
                st = dyn_fail(err, DYN_INVALID, "--step-tokens: expected at least --max-rows (%d), found %d",
                        o->max_rows, o->step_tokens);
        else if ((st = open_model(e, err)) == DYN_OK && (st = create_kv(e, err)) == DYN_OK)
                st = start(e, err);
        if (st != DYN_OK) {
                dyn_engine_destroy(e);
                return st;
        }
        *out = e;
        return DYN_OK;
}

void dyn_engine_destroy(struct dyn_engine *e)
{
        struct sequence *seq;

        if (e == NULL)
                return;
        if (e->started) {
                atomic_store(&e->stopping, true);
                queue_wake(e->inbox);
                pthread_join(e->thread, NULL);
                while (queue_pop(e->inbox, &seq))
                        sched_add(e->sched, seq);
        }
        sched_destroy(e->sched);
        if (e->merger != NULL)
                take_wish(e);
        merger_destroy(e->merger);
        pthread_mutex_destroy(&e->wish_lock);
        mem_free((char *)e->host.base);
        queue_destroy(e->inbox);
        queue_destroy(e->outbox);
        if (e->model != NULL)
                model_kv_destroy(e->model, &e->kv);
        model_close(e->model);
        mem_free(e);
}

// The caller's side
// --------------------------------------------------------------------------------------------------------

const struct dyn_model_info *dyn_engine_model(const struct dyn_engine *e)
{
        return &e->info;
}

const struct engine_metrics *dyn_engine_metrics(const struct dyn_engine *e)
{
        return &e->metrics;
}

const struct adapter_host *dyn_engine_adapter_host(const struct dyn_engine *e)
{
        return &e->host;
}

enum dyn_status dyn_adapter_load(
        struct dyn_engine *e, const char *name, const char *path, struct dyn_adapter **out, struct dyn_error *err)
{
        return adapter_load(&e->host, name, path, out, err);
}

void dyn_engine_prefer_merged(struct dyn_engine *e, struct dyn_adapter *a, bool keep)
{
        assert(a == NULL || a->patches != NULL);
        if (a != NULL)
                atomic_fetch_add(&dyn_adapter_pin(a)->running, 1);
        pthread_mutex_lock(&e->wish_lock);
        struct dyn_adapter *before = e->wish;

        e->wish = a;
        e->keep = keep;
        e->wished = true;
        pthread_mutex_unlock(&e->wish_lock);
        if (before != NULL) {
                atomic_fetch_sub(&before->running, 1);
                dyn_adapter_unpin(before);
        }
        queue_wake(e->inbox);
}

int64_t dyn_adapter_merged_since(const struct dyn_adapter *a)
{
        return atomic_load(&a->merged_since);
}

const char *dyn_adapter_unmerged_because(const struct dyn_adapter *a)
{
        return atomic_load(&a->unmerged_because);
}

static bool ids_in_range(const struct dyn_engine *e, const int32_t *ids, int n)
{
        for (int i = 0; i < n; i++)
                if (ids[i] < 0 || ids[i] >= e->info.vocab_size)
                        return false;
        return true;
}

static enum dyn_status check_request(const struct dyn_engine *e, const struct dyn_request *r, struct dyn_error *err)
{
        if (r->n_prompt < 1)
                return dyn_fail(err, DYN_INVALID, "prompt: expected at least one token, found none");
        if (r->max_tokens < 0 || r->n_prompt > e->info.max_context - r->max_tokens)
                return dyn_fail(err, DYN_INVALID, "expected at most %d tokens in prompt and answer, found %d and %d",
                        e->info.max_context, r->n_prompt, r->max_tokens);
        if (!ids_in_range(e, r->prompt, r->n_prompt) || !ids_in_range(e, r->stop_ids, r->n_stop_ids))
                return dyn_fail(err, DYN_INVALID, "token ids: expected 0 to %d", e->info.vocab_size - 1);
        for (int i = 0; i < r->sampling.n_bias; i++)
                if (!ids_in_range(e, &r->sampling.bias[i].id, 1))
                        return dyn_fail(err, DYN_INVALID, "logit_bias: expected token ids from 0 to %d",
                                e->info.vocab_size - 1);
        if (r->adapter != NULL && r->adapter->patches == NULL)
                return dyn_fail(err, DYN_INVALID, "adapter %s is not on the device", r->adapter->info.name);
        if (r->n_logprobs > DYN_MAX_LOGPROBS || r->n_prompt_logprobs > DYN_MAX_LOGPROBS)
                return dyn_fail(err, DYN_INVALID, "logprobs: expected at most %d", DYN_MAX_LOGPROBS);
        return DYN_OK;
}

enum dyn_status dyn_engine_submit(struct dyn_engine *e, struct dyn_request *r, struct dyn_error *err)
{
        enum dyn_status st = check_request(e, r, err);

        if (st != DYN_OK)
                return st;
        if (atomic_fetch_add(&e->metrics.waiting, 1) >= e->o.max_queue) {
                atomic_fetch_sub(&e->metrics.waiting, 1);
                return dyn_fail(err, DYN_BUSY, "%d requests wait already: try again later", e->o.max_queue);
        }
        if (r->adapter != NULL)
                atomic_fetch_add(&r->adapter->running, 1);
        r->sequence = sequence_create(r);
        queue_push(e->inbox, &r->sequence);
        return DYN_OK;
}

void dyn_engine_kick(struct dyn_engine *e)
{
        queue_wake(e->inbox);
}

bool dyn_engine_poll(struct dyn_engine *e, struct dyn_event *event)
{
        return queue_pop(e->outbox, event);
}
