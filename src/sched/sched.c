#include "sched/sched.h"

#include <assert.h>
#include <string.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sched/outcome.h"
#include "sched/plan.h"

struct sched {
        struct sched_options o;
        struct kv_pool *pool;
        struct outcome outcome;
        struct sequence *first_waiting; // oldest first
        uint64_t arrived;
        struct sequence **running; // (max_rows), oldest first
        int n_running, row_limit;  // the limit falls when the device has no room for a step, and grows again

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
        s->pool = kv_pool_create(o->kv->n_pages);
        s->outcome = (struct outcome){.sampler = sampler_create((int)vocab_size),
                .vocab_size = vocab_size,
                .raw = mem_array(vocab_size, sizeof(float)),
                .metrics = o->metrics,
                .emit = o->emit,
                .ctx = o->ctx};
        s->row_limit = o->max_rows;
        s->running = mem_array(rows, sizeof *s->running);
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

// Waiting and running
// ------------------------------------------------------------------------------------------------------

static bool is_held(const struct sequence *seq)
{
        return atomic_load(&seq->request->held);
}

static void put_waiting(struct sched *s, struct sequence *seq)
{
        struct sequence **at = &s->first_waiting;

        while (*at != NULL && (*at)->order < seq->order)
                at = &(*at)->next;
        seq->next = *at;
        *at = seq;
}

void sched_add(struct sched *s, struct sequence *seq)
{
        seq->order = s->arrived++;
        put_waiting(s, seq);
}

static void remove_waiting(struct sched *s, struct sequence **at)
{
        *at = (*at)->next;
        atomic_fetch_sub(&s->o.metrics->waiting, 1);
}

// The request is the submitter's again once END is out: nothing of it is touched afterwards.
static void end(struct sched *s, struct sequence *seq, enum dyn_finish finish)
{
        struct dyn_event event = {
                .request = seq->request, .kind = DYN_EVENT_END, .finish = finish, .cached_tokens = seq->cached_tokens};

        outcome_stamp(seq, &event);
        sequence_release(seq, s->pool);
        seq->request->sequence = NULL;
        if (seq->request->adapter != NULL)
                atomic_fetch_sub(&seq->request->adapter->running, 1);
        sequence_destroy(seq);
        s->o.emit(s->o.ctx, &event);
}

static void remove_running(struct sched *s, int i)
{
        s->n_running--;
        memmove(s->running + i, s->running + i + 1, (size_t)(s->n_running - i) * sizeof *s->running);
}

// Cancelled sequences leave, whether they run or wait.
static void retire(struct sched *s)
{
        for (int i = s->n_running - 1; i >= 0; i--)
                if (atomic_load(&s->running[i]->request->cancelled)) {
                        struct sequence *seq = s->running[i];

                        remove_running(s, i);
                        end(s, seq, DYN_FINISH_CANCELLED);
                }
        for (struct sequence **at = &s->first_waiting; *at != NULL;) {
                struct sequence *seq = *at;

                if (atomic_load(&seq->request->cancelled)) {
                        remove_waiting(s, at);
                        end(s, seq, DYN_FINISH_CANCELLED);
                } else {
                        at = &seq->next;
                }
        }
}

static void add_running(struct sched *s, struct sequence *seq)
{
        int at = s->n_running++;

        for (; at > 0 && s->running[at - 1]->order > seq->order; at--)
                s->running[at] = s->running[at - 1];
        s->running[at] = seq;
}

// Reused pages, then fresh ones for all tokens and the next. Leaves a page of room for each running sequence to grow,
// so that what is admitted is not thrown out at once.
static bool admit_one(struct sched *s, struct sequence *seq)
{
        if (s->o.prefix_cache && seq->request->n_prompt_logprobs < 0) {
                seq->n_pages = reuse_match(s->pool, &seq->chain, seq->tokens, seq->n_tokens - 1, seq->pages);
                seq->n_published = seq->n_pages;
                seq->n_computed = seq->n_pages * DYN_PAGE_TOKENS;
                if (seq->n_pages > 0)
                        sequence_reused(seq);
        }
        int need = seq->n_tokens / DYN_PAGE_TOKENS + 1 - seq->n_pages;
        if (need + s->n_running > kv_pool_available(s->pool) && s->n_running > 0) {
                sequence_release(seq, s->pool);
                return false;
        }
        bool reserved = sequence_reserve(seq, s->pool, seq->n_tokens);
        assert(reserved); // alone, every request fits: dyn_engine_submit saw to it
        (void)reserved;
        if (!seq->admitted_before) {
                seq->cached_tokens = seq->n_computed;
                metric_add(&s->o.metrics->cached_tokens, (uint64_t)seq->n_computed);
        }
        seq->admitted_before = true;
        add_running(s, seq);
        return true;
}

// It is computed again later: its tokens are kept.
static void preempt(struct sched *s, int i)
{
        struct sequence *seq = s->running[i];

        remove_running(s, i);
        sequence_release(seq, s->pool);
        put_waiting(s, seq);
        atomic_fetch_add(&s->o.metrics->waiting, 1);
        metric_add(&s->o.metrics->preemptions, 1);
}

// The youngest that is held, whose reader is slow, or -1.
static int youngest_held(const struct sched *s)
{
        int i = s->n_running - 1;

        while (i >= 0 && !is_held(s->running[i]))
                i--;
        return i;
}

static struct sequence **next_waiting(struct sched *s)
{
        struct sequence **at = &s->first_waiting;

        while (*at != NULL && is_held(*at))
                at = &(*at)->next;
        return at;
}

// Oldest first: nobody overtakes, so nobody starves. Held ones stand aside, and give up row and pages to who could use
// them.
static void admit(struct sched *s)
{
        struct sequence **at;

        while (*(at = next_waiting(s)) != NULL) {
                if (s->n_running < s->row_limit && admit_one(s, *at)) {
                        remove_waiting(s, at);
                        continue;
                }
                int held = youngest_held(s);

                if (held < 0)
                        break;
                preempt(s, held);
        }
}

// A place for every pending token, oldest first; held ones pay, then the youngest.
static void reserve(struct sched *s)
{
        for (int i = 0; i < s->n_running; i++)
                while (i < s->n_running && !sequence_reserve(s->running[i], s->pool, s->running[i]->n_tokens)) {
                        int held = youngest_held(s), payer = held >= 0 ? held : s->n_running - 1;

                        preempt(s, payer);
                        i -= payer < i;
                }
}

// The step
// -------------------------------------------------------------------------------------------------------------------

// Rows lie by adapter version; those of the one that is merged last, so that all others are computed together.
static uint64_t place_of(const struct sched *s, const struct sequence *seq)
{
        const struct dyn_adapter *merged = merger_adapter(s->o.merger);

        return merged != NULL && seq->request->adapter == merged ? UINT64_MAX : seq->chain.version;
}

static void plan(struct sched *s)
{
        struct plan_limits limits = {s->o.step_tokens, s->o.extra_logits};

        for (int i = 0; i < s->n_running; i++) {
                struct sequence *seq = s->running[i];

                s->views[i] = (struct plan_view){
                        .pending = sequence_pending(seq),
                        .version = place_of(s, seq),
                        .all_logits = sequence_reports_prompt(seq),
                        .held = is_held(seq),
                };
        }
        s->n_shares = plan_step(s->views, s->n_running, &limits, s->shares);
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
                struct sequence *seq = s->running[share->view];
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
                struct sequence *seq = s->running[share->view];

                if (outcome_take(&s->outcome, seq, share->n_tokens, s->views[share->view].all_logits, &logits,
                            &finish[n_over]))
                        over[n_over++] = seq;
                if (s->o.prefix_cache)
                        sequence_publish(seq, s->pool);
        }
        for (int i = 0; i < n_over; i++) {
                int at = 0;

                while (s->running[at] != over[i])
                        at++;
                remove_running(s, at);
                end(s, over[i], finish[i]);
        }
}

static void count(struct sched *s, int64_t began)
{
        struct engine_metrics *m = s->o.metrics;
        int prompt = 0;

        for (int i = 0; i < s->n_shares; i++) {
                const struct sequence *seq = s->running[s->shares[i].view];
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
        log_warn("step of %d rows: %s", s->in.n_rows, err->text);
        if (s->n_running > 1) {
                preempt(s, s->n_running - 1);
                s->row_limit = s->n_running;
                return;
        }
        struct sequence *seq = s->running[--s->n_running];
        end(s, seq, DYN_FINISH_ERROR);
}

static void show_gauges(struct sched *s)
{
        metric_set(&s->o.metrics->running, s->n_running);
        metric_set(&s->o.metrics->kv_pages_used, s->o.kv->n_pages - kv_pool_available(s->pool));
        metric_set(&s->o.metrics->kv_pages_cached, kv_pool_kept(s->pool));
}

// Before the merger decides anew: the rows were computed in the mode of before.
static void note_modes(struct sched *s)
{
        for (int i = 0; i < s->n_shares; i++) {
                struct sequence *seq = s->running[s->shares[i].view];

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
        s->row_limit += s->row_limit < s->o.max_rows;
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

        retire(s);
        admit(s);
        reserve(s);
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
        while (s->n_running > 0)
                end(s, s->running[--s->n_running], DYN_FINISH_CANCELLED);
        while (s->first_waiting != NULL) {
                struct sequence *seq = s->first_waiting;

                remove_waiting(s, &s->first_waiting);
                end(s, seq, DYN_FINISH_CANCELLED);
        }
        kv_pool_destroy(s->pool);
        sampler_destroy(s->outcome.sampler);
        mem_free(s->outcome.raw);
        mem_free(s->running);
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
