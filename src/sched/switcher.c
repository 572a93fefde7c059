#include "sched/switcher.h"

#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

static double now(void)
{
        return (double)clock_ns() * 1e-9;
}

static void hold(struct dyn_adapter *a)
{
        atomic_fetch_add(&dyn_adapter_pin(a)->running, 1);
}

void switcher_let_go(struct dyn_adapter *a)
{
        if (a == NULL)
                return;
        atomic_fetch_sub(&a->running, 1);
        dyn_adapter_unpin(a);
}

static bool is_holder(const struct switcher *w, const struct dyn_adapter *a)
{
        return a == w->holders[0] || a == w->holders[1];
}

static void add_holder(struct switcher *w, struct dyn_adapter *a)
{
        if (is_holder(w, a))
                return;
        struct dyn_adapter **place = w->holders[0] == NULL ? &w->holders[0] : &w->holders[1];

        assert(*place == NULL);
        hold(a);
        *place = a;
}

static void keep_holder(struct switcher *w, const struct dyn_adapter *a)
{
        for (int i = 0; i < 2; i++)
                if (w->holders[i] != a) {
                        switcher_let_go(w->holders[i]);
                        w->holders[i] = NULL;
                }
}

bool switcher_busy(const struct switcher *w)
{
        return w->next_site < model_sites(w->model)->n;
}

static const struct dyn_lowrank *wanted_at(const struct switcher *w, int site)
{
        return w->target != NULL && w->target->patches[site].rank > 0 ? &w->target->patches[site] : NULL;
}

size_t switcher_touched(const struct switcher *w, struct dyn_adapter *a)
{
        size_t bytes = 0;

        if (a->touched_bytes > 0)
                return a->touched_bytes;
        for (int i = 0; i < model_sites(w->model)->n; i++)
                if (a->patches[i].rank > 0)
                        bytes += model_merged_bytes(w->model, i);
        return a->touched_bytes = bytes;
}

// Brings the weights to a target from now on, from wherever they are.
void switcher_aim(struct switcher *w, struct dyn_adapter *target)
{
        for (int i = 0; i < 2; i++)
                if (w->holders[i] != NULL)
                        atomic_store(&w->holders[i]->merged_since, 0);
        if (target != NULL) {
                add_holder(w, target);
                w->merged = now();
        }
        w->target = target;
        w->next_site = 0;
        w->written = 0;
}

static void arrive(struct switcher *w)
{
        keep_holder(w, w->target);
        if (w->target != NULL) {
                atomic_store(&w->target->unmerged_because, NULL);
                atomic_store(&w->target->merged_since, clock_unix());
                metric_add(&w->metrics->merges, 1);
        } else {
                metric_add(&w->metrics->restores, 1);
        }
        log_debug("%s%s: %zu bytes of weights written", w->target ? "merged adapter " : "restored the base",
                w->target ? w->target->info.name : "", w->written);
}

static void give_up(struct switcher *w, enum dyn_status st, const struct dyn_error *err)
{
        if (st == DYN_NO_MEMORY)
                w->no_memory_until = now() + MERGE_HORIZON;
        else
                atomic_store(&w->target->refused, true);
        atomic_store(&w->target->unmerged_because, st == DYN_NO_MEMORY ? "the device has no memory for merged weights"
                                                                       : "a merged weight would not be finite");
        log_warn("adapter %s stays per row: %s", w->target->info.name, err->text);
        switcher_aim(w, NULL);
}

static void bring(struct switcher *w, int site, const struct dyn_lowrank *wanted)
{
        size_t bytes = model_merged_bytes(w->model, site);
        double began = now();
        struct dyn_error err;

        if (wanted == NULL) {
                model_restore(w->model, site);
                costs_saw_restore(w->costs, bytes, now() - began);
                return;
        }
        enum dyn_status st = model_merge(w->model, site, wanted, &err);

        if (st != DYN_OK) {
                give_up(w, st, &err);
                return;
        }
        w->written += bytes;
        costs_saw_merge(w->costs, bytes, now() - began);
}

// Brings one site to what it should be. True if that took any work.
static bool visit(struct switcher *w, int site)
{
        const struct dyn_lowrank *wanted = wanted_at(w, site), *there = model_merged(w->model, site);
        int64_t bytes = (int64_t)model_merged_bytes(w->model, site);

        if (wanted == there)
                return false;
        bring(w, site, wanted);
        w->merged_bytes += model_merged(w->model, site) != NULL ? bytes : 0;
        w->merged_bytes -= there != NULL ? bytes : 0;
        metric_set(&w->metrics->merged_bytes, w->merged_bytes);
        return true;
}

// Seconds that the next site will take, as far as one can tell.
static double expected(const struct switcher *w, int site)
{
        const struct dyn_lowrank *wanted = wanted_at(w, site);

        if (wanted == NULL || wanted == model_merged(w->model, site))
                return 0;
        return w->costs->now.merge * (double)model_merged_bytes(w->model, site);
}

// One site at least, and then as many as fit.
void switcher_work(struct switcher *w, double seconds)
{
        double end = now() + seconds;
        bool worked = false;

        while (switcher_busy(w) && !(worked && now() + expected(w, w->next_site) > end))
                worked |= visit(w, w->next_site++);
        if (!switcher_busy(w))
                arrive(w);
}

uint64_t switcher_mode(const struct switcher *w, const struct dyn_adapter *a)
{
        return a != NULL && a == w->target && !switcher_busy(w) ? a->id : 0;
}

void switcher_init(struct switcher *w, struct model *model, struct costs *costs, struct engine_metrics *metrics)
{
        *w = (struct switcher){.model = model,
                .costs = costs,
                .metrics = metrics,
                .next_site = model_sites(model)->n,
                .merged = -INFINITY};
}

void switcher_finish(struct switcher *w)
{
        for (int i = 0; i < model_sites(w->model)->n; i++)
                model_restore(w->model, i);
        keep_holder(w, NULL);
}
