#include "sched/sched.h"

#include <string.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sched/outcome.h"
#include "sched/plan.h"
#include "sched/roster.h"

struct sched {
        struct sched_options o;
        struct outcome outcome;
        struct roster roster;

        // The step being made.
        struct plan_view *views;   // (max_rows)
        struct plan_share *shares; // (max_rows)
        int n_shares;
        int32_t *tokens;            // (step_tokens)
        struct dyn_span *spans;     // (max_rows)
        struct model_group *groups; // (max_rows)
        struct merger_rows *rows;   // (max_rows), of each group
        int32_t *logit_rows;        // (max_rows + extra_logits)
        struct model_step in;
        float *logits; // (max_rows + extra_logits, vocab_size)
};

struct sched *sched_create(const struct sched_options *o)
{
        struct sched *s = mem_zalloc(sizeof *s);
        size_t rows = (size_t)o->max_rows, logits = rows + (size_t)o->extra_logits;
        size_t vocab_size = (size_t)model_config(o->model)->vocab_size;

        s->o = *o;
        s->outcome = (struct outcome){.sampler = sampler_create((int)vocab_size),
                .vocab_size = vocab_size,
                .raw = mem_array(vocab_size, sizeof(float)),
                .metrics = o->metrics,
                .emit = o->emit,
                .ctx = o->ctx};
        s->roster = (struct roster){.pool = kv_pool_create(o->kv->n_pages),
                .prefix_cache = o->prefix_cache,
                .metrics = o->metrics,
                .emit = o->emit,
                .ctx = o->ctx};
        roster_init(&s->roster, o->max_rows);
        s->views = mem_array(rows, sizeof *s->views);
        s->shares = mem_array(rows, sizeof *s->shares);
        s->tokens = mem_array((size_t)o->step_tokens, sizeof *s->tokens);
        s->spans = mem_array(rows, sizeof *s->spans);
        s->groups = mem_array(rows, sizeof *s->groups);
        s->rows = mem_array(rows, sizeof *s->rows);
        s->logit_rows = mem_array(logits, sizeof *s->logit_rows);
        s->logits = mem_array(logits * vocab_size, sizeof *s->logits);
        return s;
}

void sched_add(struct sched *s, struct sequence *seq)
{
        roster_add(&s->roster, seq);
}

// Rows lie by adapter version; those of the one that is merged last, so that all others are computed together.
static uint64_t place_of(const struct sched *s, const struct sequence *seq)
{
        const struct dyn_adapter *merged = merger_adapter(s->o.merger);

        return merged != NULL && seq->request->adapter == merged ? UINT64_MAX : seq->chain.version;
}

static void plan(struct sched *s)
{
        struct plan_limits limits = {s->o.step_tokens, s->o.extra_logits};

        for (int i = 0; i < s->roster.n_running; i++) {
                struct sequence *seq = s->roster.running[i];

                s->views[i] = (struct plan_view){
                        .pending = sequence_pending(seq),
                        .version = place_of(s, seq),
                        .all_logits = sequence_reports_prompt(seq),
                        .held = sequence_is_held(seq),
                };
        }
        s->n_shares = plan_step(s->views, s->roster.n_running, &limits, s->shares);
}

static void join_group(struct sched *s, const struct sequence *seq, const struct dyn_span *span)
{
        struct dyn_adapter *adapter = seq->request->adapter;
        int *n = &s->in.n_groups;

        if (*n == 0 || s->rows[*n - 1].adapter != adapter) {
                s->groups[*n] = (struct model_group){
                        span->first_row, 0, adapter ? adapter->patches : NULL, merger_mode(s->o.merger, adapter) != 0};
                s->rows[(*n)++] = (struct merger_rows){adapter, 0};
        }
        s->groups[*n - 1].n_rows += span->n_rows;
        s->rows[*n - 1].n += span->n_rows;
}

// From shares to what the model takes.
static void lay_out(struct sched *s)
{
        struct model_step *in = &s->in;

        *in = (struct model_step){
                .tokens = s->tokens, .spans = s->spans, .groups = s->groups, .logit_rows = s->logit_rows};
        for (int i = 0; i < s->n_shares; i++) {
                const struct plan_share *share = &s->shares[i];
                struct sequence *seq = s->roster.running[share->view];
                bool last = share->n_tokens == sequence_pending(seq);

                memcpy(s->tokens + share->first_row, seq->tokens + seq->n_computed,
                        (size_t)share->n_tokens * sizeof *s->tokens);
                s->spans[in->n_spans++] =
                        (struct dyn_span){share->first_row, share->n_tokens, seq->n_computed, seq->pages};
                join_group(s, seq, &s->spans[i]);
                for (int k = 0; k < share->n_tokens; k++)
                        if (s->views[share->view].all_logits || (last && k == share->n_tokens - 1))
                                s->logit_rows[in->n_logits++] = share->first_row + k;
                in->n_rows += share->n_tokens;
        }
}

static void sample_and_emit(struct sched *s)
{
        enum dyn_finish finish[s->n_shares];
        struct sequence *over[s->n_shares];
        float *logits = s->logits;
        int n_over = 0;

        for (int i = 0; i < s->n_shares; i++) {
                const struct plan_share *share = &s->shares[i];
                struct sequence *seq = s->roster.running[share->view];

                if (outcome_take(&s->outcome, seq, share->n_tokens, s->views[share->view].all_logits, &logits,
                            &finish[n_over]))
                        over[n_over++] = seq;
                if (s->o.prefix_cache)
                        sequence_publish(seq, s->roster.pool);
        }
        for (int i = 0; i < n_over; i++)
                roster_end(&s->roster, over[i], finish[i]);
}

static void count(struct sched *s, int64_t began)
{
        struct engine_metrics *m = s->o.metrics;
        int prompt = 0;

        for (int i = 0; i < s->n_shares; i++) {
                const struct sequence *seq = s->roster.running[s->shares[i].view];
                int left = seq->request->n_prompt - seq->n_computed, n = s->shares[i].n_tokens;

                prompt += left < 0 ? 0 : left < n ? left : n;
        }
        metric_add(&m->steps, 1);
        metric_add(&m->steps_mixed, s->in.n_groups > 1);
        metric_add(&m->prompt_tokens, (uint64_t)prompt);
        metric_observe(&m->step_rows, s->n_shares);
        metric_observe(&m->step_adapters, s->in.n_groups);
        metric_observe(&m->step_seconds, (double)(clock_ns() - began) * 1e-9);
}

// The device had no room for the step: the youngest waits until smaller steps have gone well; a lone one cannot be
// helped.
static void back_off(struct sched *s, const struct dyn_error *err)
{
        struct roster *r = &s->roster;

        log_warn("step of %d rows: %s", s->in.n_rows, err->text);
        if (r->n_running == 1) {
                roster_end(r, r->running[0], DYN_FINISH_ERROR);
                return;
        }
        roster_preempt(r, r->n_running - 1);
        r->row_limit = r->n_running;
}

static void show_gauges(struct sched *s)
{
        metric_set(&s->o.metrics->running, s->roster.n_running);
        metric_set(&s->o.metrics->kv_pages_used, s->o.kv->n_pages - kv_pool_available(s->roster.pool));
        metric_set(&s->o.metrics->kv_pages_cached, kv_pool_kept(s->roster.pool));
}

// Before the merger decides anew: the rows were computed in the mode of before.
static void note_modes(struct sched *s)
{
        for (int i = 0; i < s->n_shares; i++) {
                struct sequence *seq = s->roster.running[s->shares[i].view];

                sequence_ran(seq, merger_mode(s->o.merger, seq->request->adapter));
        }
}

static bool run(struct sched *s)
{
        struct dyn_error err;
        int64_t began = clock_ns();

        lay_out(s);
        if (model_run(s->o.model, s->o.kv, &s->in, s->logits, &err) != DYN_OK) {
                back_off(s, &err);
                return false;
        }
        s->roster.row_limit += s->roster.row_limit < s->o.max_rows;
        note_modes(s);
        merger_saw(s->o.merger, s->rows, s->in.n_groups, (double)(clock_ns() - began) * 1e-9,
                s->in.n_rows == s->in.n_spans);
        return true;
}

// Everything that may happen in a step is on this page.
bool sched_step(struct sched *s)
{
        int64_t began = clock_ns();
        bool merging = merger_work(s->o.merger, s->n_shares == 0);

        roster_retire(&s->roster);
        roster_admit(&s->roster);
        roster_reserve(&s->roster);
        plan(s);
        if (s->n_shares > 0 && run(s)) {
                count(s, began);
                sample_and_emit(s);
        }
        show_gauges(s);
        return s->n_shares > 0 || merging;
}

void sched_destroy(struct sched *s)
{
        if (s == NULL)
                return;
        roster_finish(&s->roster);
        kv_pool_destroy(s->roster.pool);
        sampler_destroy(s->outcome.sampler);
        mem_free(s->outcome.raw);
        mem_free(s->views);
        mem_free(s->shares);
        mem_free(s->tokens);
        mem_free(s->spans);
        mem_free(s->groups);
        mem_free(s->rows);
        mem_free(s->logit_rows);
        mem_free(s->logits);
        mem_free(s);
}
