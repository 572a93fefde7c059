#include "sched/roster.h"

#include <assert.h>
#include <string.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "sched/outcome.h"

static void put_waiting(struct roster *r, struct sequence *seq)
{
        struct sequence **at = &r->first_waiting;

        while (*at != NULL && (*at)->order < seq->order)
                at = &(*at)->next;
        seq->next = *at;
        *at = seq;
}

void roster_add(struct roster *r, struct sequence *seq)
{
        seq->order = r->arrived++;
        put_waiting(r, seq);
}

static void remove_waiting(struct roster *r, struct sequence **at)
{
        *at = (*at)->next;
        atomic_fetch_sub(&r->metrics->waiting, 1);
}

// The request is the submitter's again once END is out: nothing of it is touched afterwards.
static void end(struct roster *r, struct sequence *seq, enum dyn_finish finish)
{
        struct dyn_event event = {
                .request = seq->request, .kind = DYN_EVENT_END, .finish = finish, .cached_tokens = seq->cached_tokens};

        outcome_stamp(seq, &event);
        sequence_release(seq, r->pool);
        seq->request->sequence = NULL;
        if (seq->request->adapter != NULL)
                atomic_fetch_sub(&seq->request->adapter->running, 1);
        sequence_destroy(seq);
        r->emit(r->ctx, &event);
}

static void remove_running(struct roster *r, int i)
{
        r->n_running--;
        memmove(r->running + i, r->running + i + 1, (size_t)(r->n_running - i) * sizeof *r->running);
}

void roster_end(struct roster *r, struct sequence *seq, enum dyn_finish finish)
{
        int i = 0;

        while (r->running[i] != seq)
                i++;
        remove_running(r, i);
        end(r, seq, finish);
}

void roster_init(struct roster *r, int max_rows)
{
        r->row_limit = max_rows;
        r->running = mem_array((size_t)max_rows, sizeof *r->running);
}

void roster_finish(struct roster *r)
{
        while (r->n_running > 0)
                end(r, r->running[--r->n_running], DYN_FINISH_CANCELLED);
        while (r->first_waiting != NULL) {
                struct sequence *seq = r->first_waiting;

                remove_waiting(r, &r->first_waiting);
                end(r, seq, DYN_FINISH_CANCELLED);
        }
        mem_free(r->running);
}

void roster_retire(struct roster *r)
{
        for (int i = r->n_running - 1; i >= 0; i--)
                if (atomic_load(&r->running[i]->request->cancelled))
                        roster_end(r, r->running[i], DYN_FINISH_CANCELLED);
        for (struct sequence **at = &r->first_waiting; *at != NULL;) {
                struct sequence *seq = *at;

                if (atomic_load(&seq->request->cancelled)) {
                        remove_waiting(r, at);
                        end(r, seq, DYN_FINISH_CANCELLED);
                } else {
                        at = &seq->next;
                }
        }
}

static void add_running(struct roster *r, struct sequence *seq)
{
        int at = r->n_running++;

        for (; at > 0 && r->running[at - 1]->order > seq->order; at--)
                r->running[at] = r->running[at - 1];
        r->running[at] = seq;
}

// Reused pages, then fresh ones for all tokens and the next. Leaves a page of room for each running sequence to grow,
// so that what is admitted is not thrown out at once.
static bool admit_one(struct roster *r, struct sequence *seq)
{
        if (r->prefix_cache && seq->request->n_prompt_logprobs < 0) {
                seq->n_pages = reuse_match(r->pool, &seq->chain, seq->tokens, seq->n_tokens - 1, seq->pages);
                seq->n_published = seq->n_pages;
                seq->n_computed = seq->n_pages * DYN_PAGE_TOKENS;
                if (seq->n_pages > 0)
                        sequence_reused(seq);
        }
        int need = seq->n_tokens / DYN_PAGE_TOKENS + 1 - seq->n_pages;
        if (need + r->n_running > kv_pool_available(r->pool) && r->n_running > 0) {
                sequence_release(seq, r->pool);
                return false;
        }
        bool reserved = sequence_reserve(seq, r->pool, seq->n_tokens);
        assert(reserved); // alone, every request fits: dyn_engine_submit saw to it
        (void)reserved;
        if (!seq->admitted_before) {
                seq->cached_tokens = seq->n_computed;
                metric_add(&r->metrics->cached_tokens, (uint64_t)seq->n_computed);
        }
        seq->admitted_before = true;
        add_running(r, seq);
        return true;
}

void roster_preempt(struct roster *r, int i)
{
        struct sequence *seq = r->running[i];

        remove_running(r, i);
        sequence_release(seq, r->pool);
        put_waiting(r, seq);
        atomic_fetch_add(&r->metrics->waiting, 1);
        metric_add(&r->metrics->preemptions, 1);
}

// The youngest that is held, whose reader is slow, or -1.
static int youngest_held(const struct roster *r)
{
        int i = r->n_running - 1;

        while (i >= 0 && !sequence_is_held(r->running[i]))
                i--;
        return i;
}

static struct sequence **next_waiting(struct roster *r)
{
        struct sequence **at = &r->first_waiting;

        while (*at != NULL && sequence_is_held(*at))
                at = &(*at)->next;
        return at;
}

void roster_admit(struct roster *r)
{
        struct sequence **at;

        while (*(at = next_waiting(r)) != NULL) {
                if (r->n_running < r->row_limit && admit_one(r, *at)) {
                        remove_waiting(r, at);
                        continue;
                }
                int held = youngest_held(r);

                if (held < 0)
                        break;
                roster_preempt(r, held);
        }
}

void roster_reserve(struct roster *r)
{
        for (int i = 0; i < r->n_running; i++)
                while (i < r->n_running && !sequence_reserve(r->running[i], r->pool, r->running[i]->n_tokens)) {
                        int held = youngest_held(r), payer = held >= 0 ? held : r->n_running - 1;

                        roster_preempt(r, payer);
                        i -= payer < i;
                }
}
