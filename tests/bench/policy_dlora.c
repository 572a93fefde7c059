// dLoRA's dynamic batching (Wu et al., OSDI 2024), after its artifact's scheduler: each step runs either one adapter
// merged and nobody else, or the oldest requests per row; credits flow to adapters whose requests were passed over, and
// whoever has enough of them is served. Thresholds follow what a mode brought (AIMD). Its constants are kept, its two
// step times and the switch are the model's; it has no words for the base, which is an adapter here that cannot be
// merged.
#include "policy.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

struct account {
        double credit;
        bool taken; // by the last credit pass
        int queued;
};

struct dlora {
        const struct model *model;
        struct account *of;   // (n_adapters + 1)
        double enough, least; // credits
        double left, right;   // thresholds
        bool merged;
        uint64_t active, most; // merged; with most requests at the last look
        int iters, virtual_switches;
        double merged_batch, patched_batch; // requests
        double ratio;
};

static void *dlora_create(const struct view *v, double seconds)
{
        struct dlora *d = mem_zalloc(sizeof *d);
        int n = v->trace->n_adapters;

        *d = (struct dlora){.model = v->model, .right = 1};
        d->ratio = d->left = v->model->t_merged / v->model->t_patched;
        d->enough = 1e4 * n;
        d->least = d->enough - 5000;
        d->of = mem_array((size_t)n + 1, sizeof *d->of);
        for (int i = 0; i <= n; i++)
                d->of[i].credit = 1e4 * (n - 1);
        return d;
}

static void dlora_destroy(void *mind)
{
        struct dlora *d = mind;

        mem_free(d->of);
        mem_free(d);
}

// A mode ends: did it do more requests a second than the other would have?
static void adjust_thresholds(struct dlora *d)
{
        double merged = d->model->t_merged * d->iters, patched = d->model->t_patched * d->iters;
        bool won;

        if (d->merged) {
                merged += d->model->subtract;
        } else {
                patched += d->model->subtract;
                merged += d->model->subtract * d->virtual_switches;
        }
        won = d->merged_batch * patched >= d->patched_batch * merged;
        if (d->merged) {
                if (!won)
                        d->right *= 1.1;
                else if (d->right - 0.05 > d->left)
                        d->right -= 0.05;
        } else {
                if (won)
                        d->left /= 1.1;
                else if (d->left + 0.05 < d->right)
                        d->left += 0.05;
        }
        d->merged_batch = d->patched_batch = 0;
        d->virtual_switches = 0;
}

static bool holds(const int *at, int n, int x)
{
        for (int i = 0; i < n; i++)
                if (at[i] == x)
                        return true;
        return false;
}

// Those who would have run by age but do not (of the first `front`) are paid by those who run instead.
static void adjust_credits(struct dlora *d, const struct view *v, int front, const int *chosen, int n, double c)
{
        int next = 0;

        if (n == front) {
                for (int i = 0; i < n; i++) {
                        if (chosen[i] < front)
                                continue;
                        while (holds(chosen, n, next))
                                next++;
                        d->of[v->live[chosen[i]].r.version].credit -= c;
                        d->of[v->live[next++].r.version].credit += c;
                }
        } else {
                for (int i = 0; i < front && n > 0; i++) {
                        if (holds(chosen, n, i))
                                continue;
                        d->of[v->live[chosen[0]].r.version].credit -= c / 2;
                        d->of[v->live[i].r.version].credit += c / 2;
                }
        }
}

static int in_order(const void *a, const void *b)
{
        return *(const int *)a - *(const int *)b;
}

// Adds the requests of one version, oldest first.
static int add_all(const struct view *v, uint64_t version, int *chosen, int n, int most)
{
        for (int i = 0; i < v->n && n < most; i++)
                if (v->live[i].r.version == version && !holds(chosen, n, i))
                        chosen[n++] = i;
        return n;
}

// Whoever has credit enough, richest first.
static int credit_pass(struct dlora *d, const struct view *v, int *chosen)
{
        int versions[MAX_ROWS], n_took = 0, n = 0;

        while (n < v->model->max_rows && n_took < MAX_ROWS) {
                int best = -1;

                for (int i = 0; i < v->n; i++) {
                        int k = (int)v->live[i].r.version;
                        const struct account *a = &d->of[k];

                        if (a->credit >= (a->taken ? d->least : d->enough) && !holds(versions, n_took, k) &&
                                (best < 0 || a->credit > d->of[best].credit))
                                best = k;
                }
                if (best < 0)
                        break;
                versions[n_took++] = best;
                n = add_all(v, (uint64_t)best, chosen, n, v->model->max_rows);
        }
        for (int i = 0; i < v->n; i++)
                d->of[v->live[i].r.version].taken = false;
        for (int i = 0; i < n_took; i++)
                d->of[versions[i]].taken = true;
        return n;
}

// The adapter with most requests among those whose credit is not below 0; 0 if there is none.
static uint64_t count(struct dlora *d, const struct view *v)
{
        uint64_t most = 0;

        for (int i = 0; i < v->n; i++)
                d->of[v->live[i].r.version].queued = 0;
        if (d->active)
                d->of[d->active].queued = 0;
        for (int i = 0; i < v->n; i++)
                d->of[v->live[i].r.version].queued++;
        for (int i = 0; i < v->n; i++) {
                uint64_t k = v->live[i].r.version;

                if (k && d->of[k].credit >= 0 && d->of[k].queued > (most ? d->of[most].queued : 0))
                        most = k;
        }
        return most;
}

static int run_merged(struct dlora *d, const struct view *v, int front, int *chosen)
{
        int n = add_all(v, d->active, chosen, 0, v->model->max_rows);

        adjust_credits(d, v, front, chosen, n, 1 / (d->ratio * v->model->max_rows));
        return n;
}

static int dlora_choose(void *mind, const struct view *v, int *chosen, uint64_t *merged)
{
        struct dlora *d = mind;
        int max = v->model->max_rows, front = v->n < max ? v->n : max, n = credit_pass(d, v, chosen);
        uint64_t most = count(d, v), candidate = most;

        if (n == 0) {
                if (d->merged && d->of[d->active].queued > 0 && d->of[d->active].queued >= d->left * front) {
                        candidate = d->active;
                        d->iters++;
                        n = run_merged(d, v, front, chosen);
                } else if (most && d->of[most].queued >= d->right * front) {
                        adjust_thresholds(d);
                        d->merged = true;
                        d->active = most;
                        d->iters = 1;
                        n = run_merged(d, v, front, chosen);
                }
                d->merged_batch += fmin(candidate ? d->of[candidate].queued : 0, max);
                d->patched_batch += front;
                if (n > 0) {
                        *merged = d->active;
                        return n;
                }
                d->virtual_switches += most != d->most;
                d->most = most;
                n = choose_oldest(v, chosen);
        } else {
                for (int i = 0; i < front && n < max; i++)
                        if (!holds(chosen, n, i))
                                chosen[n++] = i;
                adjust_credits(d, v, front, chosen, n, 1.0 / max);
        }
        if (d->merged) {
                adjust_thresholds(d);
                d->iters = 0;
        }
        d->merged = false;
        d->active = 0;
        d->iters++;
        qsort(chosen, (size_t)n, sizeof *chosen, in_order);
        *merged = 0;
        return n;
}

const struct strategy strategy_dlora = {"dLoRA", true, dlora_create, dlora_destroy, dlora_choose, NULL};
