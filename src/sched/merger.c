#include "sched/merger.h"

#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sched/census.h"
#include "sched/costs.h"

// Ids of versions are below, so that a mode in between is never taken for one.
#define BETWEEN ((uint64_t)1 << 63)

#define DECIDE_NS   100000000 // between two looks at the policy
#define IDLE_SLICE  0.005     // seconds
#define LEAST_SLICE 0.0005
#define SLICES      8 // in a step: it may take half as long again already, while some layers are read twice
#define MEMORY_KEPT ((size_t)64 << 20) // a merge leaves the system at least this

struct merger {
        struct model *model;
        enum merge_policy policy;
        bool quantised; // as bf16 the weights take longer to read than as they lie with a patch beside them
        struct engine_metrics *metrics;
        struct costs costs;
        struct census census;

        struct dyn_adapter *preferred, *nominated; // pinned and in use, or NULL: kept merged; merged once
        struct dyn_adapter *target;                // what should lie in the weights; NULL: nothing
        struct dyn_adapter *holders[2];            // pinned and in use: what lies in some site, or is on the way there
        int next_site;                             // those before hold what they should
        size_t written;                            // bytes in this switch
        uint64_t mode, n_modes;
        double switched; // when the last merge began, seconds of clock_ns; -infinity
        double no_memory_until;
        int64_t decided;
};

static double now(void)
{
        return (double)clock_ns() * 1e-9;
}

// Holding adapters
// -------------------------------------------------------------------------------------------------------------------

static void hold(struct dyn_adapter *a)
{
        atomic_fetch_add(&dyn_adapter_pin(a)->running, 1);
}

static void let_go(struct dyn_adapter *a)
{
        if (a == NULL)
                return;
        atomic_fetch_sub(&a->running, 1);
        dyn_adapter_unpin(a);
}

static bool is_holder(const struct merger *m, const struct dyn_adapter *a)
{
        return a == m->holders[0] || a == m->holders[1];
}

static void add_holder(struct merger *m, struct dyn_adapter *a)
{
        if (is_holder(m, a))
                return;
        struct dyn_adapter **place = m->holders[0] == NULL ? &m->holders[0] : &m->holders[1];

        assert(*place == NULL);
        hold(a);
        *place = a;
}

static void keep_holder(struct merger *m, const struct dyn_adapter *a)
{
        for (int i = 0; i < 2; i++)
                if (m->holders[i] != a) {
                        let_go(m->holders[i]);
                        m->holders[i] = NULL;
                }
}

// Switching
// -------------------------------------------------------------------------------------------------------------------

static bool switching(const struct merger *m)
{
        return m->next_site < model_sites(m->model)->n;
}

static const struct dyn_lowrank *wanted_at(const struct merger *m, int site)
{
        return m->target != NULL && m->target->patches[site].rank > 0 ? &m->target->patches[site] : NULL;
}

static size_t touched_bytes(const struct merger *m, struct dyn_adapter *a)
{
        size_t bytes = 0;

        if (a->touched_bytes > 0)
                return a->touched_bytes;
        for (int i = 0; i < model_sites(m->model)->n; i++)
                if (a->patches[i].rank > 0)
                        bytes += model_merged_bytes(m->model, i);
        return a->touched_bytes = bytes;
}

// Brings the weights to a target from now on, from wherever they are.
static void aim(struct merger *m, struct dyn_adapter *target)
{
        for (int i = 0; i < 2; i++)
                if (m->holders[i] != NULL)
                        atomic_store(&m->holders[i]->merged_since, 0);
        if (target != NULL) {
                add_holder(m, target);
                m->switched = now();
        }
        m->target = target;
        m->mode = BETWEEN | ++m->n_modes;
        m->next_site = 0;
        m->written = 0;
}

static void arrive(struct merger *m)
{
        keep_holder(m, m->target);
        if (m->target != NULL) {
                m->mode = m->target->id;
                atomic_store(&m->target->unmerged_because, NULL);
                atomic_store(&m->target->merged_since, clock_unix());
                metric_add(&m->metrics->merges, 1);
        } else {
                m->mode = 0;
                metric_add(&m->metrics->restores, 1);
        }
        log_debug("%s%s: %zu bytes of weights written", m->target ? "merged adapter " : "restored the base",
                m->target ? m->target->info.name : "", m->written);
}

static void give_up(struct merger *m, enum dyn_status st, const struct dyn_error *err)
{
        atomic_store(&m->target->unmerged_because, st == DYN_NO_MEMORY ? "the device has no memory for merged weights"
                                                                       : "a merged weight would not be finite");
        if (st == DYN_NO_MEMORY)
                m->no_memory_until = now() + MERGE_HORIZON;
        else
                m->target->refused = true;
        log_warn("adapter %s stays per row: %s", m->target->info.name, err->text);
        aim(m, NULL);
}

// Brings one site to what it should be. True if that took any work.
static bool visit(struct merger *m, int site)
{
        const struct dyn_lowrank *wanted = wanted_at(m, site), *there = model_merged(m->model, site);
        struct dyn_error err;

        if (wanted == there)
                return false;
        double began = now();
        size_t bytes = model_merged_bytes(m->model, site);

        m->mode = BETWEEN | ++m->n_modes;
        if (wanted == NULL) {
                model_restore(m->model, site);
                costs_saw_restore(&m->costs, bytes, now() - began);
                return true;
        }
        enum dyn_status st = model_merge(m->model, site, wanted, &err);

        if (st != DYN_OK) {
                give_up(m, st, &err);
                return true;
        }
        m->written += bytes;
        costs_saw_merge(&m->costs, bytes, now() - began);
        return true;
}

// Seconds that the next site will take, as far as one can tell.
static double expected(const struct merger *m, int site)
{
        const struct dyn_lowrank *wanted = wanted_at(m, site);

        if (wanted == NULL || wanted == model_merged(m->model, site))
                return 0;
        return m->costs.now.merge * (double)model_merged_bytes(m->model, site);
}

// One site at least, and then as many as fit.
static void work_for(struct merger *m, double seconds)
{
        double end = now() + seconds;
        bool worked = false;

        while (switching(m) && !(worked && now() + expected(m, m->next_site) > end))
                worked |= visit(m, m->next_site++);
        if (!switching(m))
                arrive(m);
}

// Deciding
// --------------------------------------------------------------------------------------------------------------------

static bool barred(const struct dyn_adapter *a)
{
        return a->refused || atomic_load(&a->unmergeable) || atomic_load(&a->retired) || atomic_load(&a->in_the_way);
}

// The flags that an adapter in use has now.
static void ask(const struct merger *m, struct merge_candidate *c, const struct dyn_adapter *a)
{
        bool asked_for = a == m->target || a == m->preferred;

        c->barred = barred(a) || (now() < m->no_memory_until && a != m->target) || (m->quantised && !asked_for);
        c->preferred = a == m->preferred;
}

static void ask_always(struct merger *m, struct merge_snapshot *s, struct dyn_adapter *a)
{
        if (a != NULL)
                ask(m, census_add(&m->census, now(), s, a->id, a->info.bytes, touched_bytes(m, a)), a);
}

// A merge needs memory for every weight that it touches; what the one before it has is used again.
static bool memory_suffices(struct merger *m, struct dyn_adapter *a)
{
        size_t have = mem_available(), need = touched_bytes(m, a);

        have += m->target != NULL ? touched_bytes(m, m->target) : 0;
        return have >= need + MEMORY_KEPT;
}

static void follow(struct merger *m, struct dyn_adapter *target)
{
        if (target == m->target)
                return;
        if (target == NULL || memory_suffices(m, target)) {
                aim(m, target);
                return;
        }
        m->no_memory_until = now() + MERGE_HORIZON;
        atomic_store(&target->unmerged_because, "the system's memory does not allow copies of the weights it touches");
        log_warn("adapter %s stays per row: merging it takes %zu MiB, and the system has %zu MiB", target->info.name,
                touched_bytes(m, target) >> 20, mem_available() >> 20);
}

static void count_decision(struct merger *m, const char *why)
{
        for (int i = 0; i < MAX_MERGE_REASONS && merge_reasons[i] != NULL; i++)
                if (merge_reasons[i] == why)
                        metric_add(&m->metrics->merge_decisions[i], 1);
}

static const char *name_of(const struct dyn_adapter *a)
{
        return a ? a->info.name : "nothing";
}

// rows: of the last step, whose adapters are in use.
static void gather(struct merger *m, struct merge_snapshot *s, const struct merger_rows *rows, int n)
{
        struct merge_candidate *c;

        for (int i = 0; i < n; i++) {
                struct dyn_adapter *a = rows[i].adapter;

                if (a != NULL)
                        census_know(&m->census, now(), a->id, a->info.bytes, touched_bytes(m, a));
        }
        census_fill(&m->census, now(), s);
        for (int i = 0; i < n; i++)
                if (rows[i].adapter != NULL && (c = census_find(s, rows[i].adapter->id)) != NULL)
                        ask(m, c, rows[i].adapter);
        ask_always(m, s, m->target);
        ask_always(m, s, m->preferred);
}

// The adapter of that version if it is in use; who was chosen for the traffic before and is not now must come again.
static struct dyn_adapter *in_use(struct merger *m, uint64_t version, const struct merger_rows *rows, int n)
{
        if (m->preferred != NULL && m->preferred->id == version)
                return m->preferred;
        for (int i = 0; i < n; i++)
                if (rows[i].adapter != NULL && rows[i].adapter->id == version)
                        return rows[i].adapter;
        return m->target;
}

static void decide(struct merger *m, const struct merger_rows *rows, int n)
{
        struct merge_candidate at[MERGE_SEEN_MAX + 2]; // all seen, what is merged, who is preferred
        struct merge_snapshot s = {.policy = m->policy,
                .costs = m->costs.now,
                .at = at,
                .merged = m->target ? m->target->id : 0,
                .since_switch = now() - m->switched};

        m->decided = clock_ns();
        gather(m, &s, rows, n);
        merge_seen_weigh(m->census.seen, &s);
        struct merge_verdict verdict = merge_decide(&s);
        struct dyn_adapter *target = verdict.version ? in_use(m, verdict.version, rows, n) : NULL;

        count_decision(m, verdict.why);
        log_debug(
                "merge policy: %s merged, %s should be: %s (gain %.3g s, switch %.3g s; %d candidates, %.1f rows, %.1f "
                "steps/s)",
                name_of(m->target), name_of(target), verdict.why, verdict.gain, verdict.cost, s.n, s.rows, s.steps);
        follow(m, target);
}

// What a step read beside the base's weights.
static struct costs_rows applied(const struct merger *m, const struct merger_rows *rows, int n)
{
        struct costs_rows found = {0};

        for (int i = 0; i < n; i++) {
                struct dyn_adapter *a = rows[i].adapter;

                found.n += rows[i].n;
                if (a != NULL && a != m->target)
                        costs_patch(&found, a->info.bytes, rows[i].n);
                if (a != NULL && a == m->target && n > 1)
                        found.weights = touched_bytes(m, a);
        }
        return found;
}

static void count_mode(struct merger *m, const struct merger_rows *rows, int n)
{
        enum step_mode mode = STEP_BASE;

        for (int i = 0; i < n; i++)
                if (rows[i].adapter != NULL && merger_mode(m, rows[i].adapter) != 0)
                        mode = n > 1 ? STEP_MIXED : STEP_MERGED;
                else if (rows[i].adapter != NULL && mode == STEP_BASE)
                        mode = STEP_PER_ROW;
        metric_add(&m->metrics->steps_by_mode[mode], 1);
}

// From outside
// ----------------------------------------------------------------------------------------------------------------

void merger_saw(struct merger *m, const struct merger_rows *rows, int n, double seconds, bool decode)
{
        uint64_t versions[n];
        int counts[n];

        count_mode(m, rows, n);
        if (m->policy == MERGE_NEVER)
                return;
        for (int i = 0; i < n; i++) {
                versions[i] = rows[i].adapter ? rows[i].adapter->id : 0;
                counts[i] = rows[i].n;
        }
        struct costs_rows patches = applied(m, rows, n);

        merge_seen_step(m->census.seen, now(), versions, counts, n);
        costs_saw_step(&m->costs, &patches, seconds, decode && !switching(m));
        if (!switching(m) && clock_ns() - m->decided >= DECIDE_NS)
                decide(m, rows, n);
}

bool merger_work(struct merger *m, bool idle)
{
        if (m->target != NULL && barred(m->target))
                aim(m, NULL);
        if (!switching(m) && m->nominated != NULL) {
                follow(m, m->nominated);
                let_go(m->nominated);
                m->nominated = NULL;
        }
        if (!switching(m) && idle && m->preferred != NULL && m->preferred != m->target &&
                clock_ns() - m->decided >= DECIDE_NS)
                decide(m, NULL, 0);
        if (switching(m))
                work_for(m, idle ? IDLE_SLICE : fmax(m->costs.step / SLICES, LEAST_SLICE));
        return switching(m);
}

void merger_prefer(struct merger *m, struct dyn_adapter *adapter, bool keep)
{
        let_go(m->preferred);
        let_go(m->nominated);
        m->preferred = m->nominated = NULL;
        m->decided = 0;
        if (adapter != NULL && m->policy == MERGE_NEVER) {
                atomic_store(&adapter->unmerged_because, "the server runs with --merge never");
                let_go(adapter);
        } else if (keep) {
                m->preferred = adapter;
        } else {
                m->nominated = adapter;
        }
}

uint64_t merger_mode(const struct merger *m, const struct dyn_adapter *a)
{
        return a != NULL && is_holder(m, a) ? m->mode : 0;
}

const struct dyn_adapter *merger_adapter(const struct merger *m)
{
        return m->target;
}

enum dyn_status merger_create(struct merger **out, struct model *model, enum merge_policy policy,
        struct engine_metrics *metrics, struct dyn_error *err)
{
        struct merger *m = mem_zalloc(sizeof *m);
        enum dyn_status st = policy == MERGE_NEVER ? DYN_OK : costs_measure(&m->costs, model, err);

        if (st != DYN_OK) {
                mem_free(m);
                return st;
        }
        m->model = model;
        m->policy = policy;
        m->metrics = metrics;
        m->quantised = dyn_dtype_block(model_facts(model)->weight_dtype) > 1 && policy == MERGE_AUTO;
        census_init(&m->census);
        m->switched = -INFINITY;
        m->next_site = model_sites(model)->n;
        *out = m;
        return DYN_OK;
}

void merger_destroy(struct merger *m)
{
        if (m == NULL)
                return;
        let_go(m->preferred);
        let_go(m->nominated);
        for (int i = 0; i < model_sites(m->model)->n; i++)
                model_restore(m->model, i);
        keep_holder(m, NULL);
        census_finish(&m->census);
        mem_free(m);
}
