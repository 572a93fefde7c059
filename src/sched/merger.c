#include "sched/merger.h"

#include <math.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "sched/census.h"
#include "sched/costs.h"
#include "sched/switcher.h"

#define DECIDE_NS   100000000 // between two looks at the policy
#define IDLE_SLICE  0.005     // seconds
#define LEAST_SLICE 0.0005
#define SLICES      8                  // in a step: those of a quiet machine differ by half already
#define MEMORY_KEPT ((size_t)64 << 20) // a merge leaves the system at least this

struct merger {
        enum merge_policy policy;
        bool quantised; // as bf16 the weights take longer to read than as they lie with a patch beside them
        struct engine_metrics *metrics;
        struct costs costs;
        struct census census;

        struct dyn_adapter *preferred, *nominated; // pinned and in use, or NULL: kept merged; merged once
        uint64_t started_with;                     // the version that was nominated, or 0
        struct switcher weights;
        int64_t decided;
};

static double now(void)
{
        return (double)clock_ns() * 1e-9;
}

// Deciding
// --------------------------------------------------------------------------------------------------------------------

// Whether an operator wants it merged, or the start did and it has been since.
static bool asked_for(const struct merger *m, const struct dyn_adapter *a)
{
        return a == m->preferred || (a == m->weights.target && a->id == m->started_with);
}

static bool barred(const struct merger *m, const struct dyn_adapter *a)
{
        return a->refused || atomic_load(&a->unmergeable) || atomic_load(&a->retired) || atomic_load(&a->in_the_way) ||
               (m->quantised && !asked_for(m, a));
}

// The flags of an adapter in use.
static void ask(const struct merger *m, struct merge_candidate *c, struct dyn_adapter *a)
{
        bool no_memory = now() < m->weights.no_memory_until && a != m->weights.target;

        c->absent = false;
        c->barred = barred(m, a) || no_memory;
        c->preferred = a == m->preferred;
        if (m->quantised && !asked_for(m, a))
                atomic_store(&a->unmerged_because,
                        "the base is quantised, and merged weights, as bf16, take longer to read; "
                        "\"mode\": \"merged\" merges it all the same");
}

static void ask_always(struct merger *m, struct merge_snapshot *s, struct dyn_adapter *a)
{
        if (a != NULL)
                ask(m, census_add(&m->census, now(), s, a->id, a->info.bytes, switcher_touched(&m->weights, a)), a);
}

// Bytes that a merge may take. The base's own weights stay in memory, although the system would give them up.
static size_t room(const struct merger *m)
{
        size_t have = mem_available(), kept = model_facts(m->weights.model)->mapped_bytes + MEMORY_KEPT;

        return have > kept ? have - kept : 0;
}

// A merge needs memory for every weight that it touches; what the one before it has is used again.
static bool memory_suffices(const struct merger *m, struct dyn_adapter *a)
{
        size_t again = m->weights.target != NULL ? switcher_touched(&m->weights, m->weights.target) : 0;

        return room(m) + again >= switcher_touched(&m->weights, a);
}

static void follow(struct merger *m, struct dyn_adapter *target)
{
        if (target == m->weights.target)
                return;
        if (target == NULL || memory_suffices(m, target)) {
                switcher_aim(&m->weights, target);
                return;
        }
        m->weights.no_memory_until = now() + MERGE_HORIZON;
        atomic_store(&target->unmerged_because, "the system's memory does not allow copies of the weights it touches");
        log_warn("adapter %s stays per row: merging it takes %zu MiB, and the system has %zu MiB beside the base's "
                 "weights",
                target->info.name, switcher_touched(&m->weights, target) >> 20, room(m) >> 20);
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
                        census_know(&m->census, now(), a->id, a->info.bytes, switcher_touched(&m->weights, a),
                                barred(m, a));
        }
        census_fill(&m->census, now(), s);
        for (int i = 0; i < n; i++)
                if (rows[i].adapter != NULL && (c = census_find(s, rows[i].adapter->id)) != NULL)
                        ask(m, c, rows[i].adapter);
        ask_always(m, s, m->weights.target);
        ask_always(m, s, m->preferred);
}

// The adapter in use that has the version, or NULL.
static struct dyn_adapter *in_use(const struct merger *m, uint64_t version, const struct merger_rows *rows, int n)
{
        if (m->preferred != NULL && m->preferred->id == version)
                return m->preferred;
        if (m->weights.target != NULL && m->weights.target->id == version)
                return m->weights.target;
        for (int i = 0; i < n; i++)
                if (rows[i].adapter != NULL && rows[i].adapter->id == version)
                        return rows[i].adapter;
        return NULL;
}

static void explain(const struct merger *m, const struct merge_snapshot *s, const struct merge_verdict *v,
        const struct dyn_adapter *target, const struct dyn_adapter *next)
{
        static const struct merge_candidate none = {0};
        const struct merge_candidate *c = census_find(s, v->next);

        if (c == NULL)
                c = &none;
        log_debug("merge policy %s: %s merged, the last merge %.3g s ago, %s should be: %s (%s takes %.3g ms "
                  "of a step per row and %.3g ms merged, is in %.0f %% of the steps, alone in %.0f %%, with %.1f "
                  "rows; merged it would have saved %.3g s of %.3g s needed, the switch costs %.3g s; %d candidates, "
                  "%.1f rows, %.1f steps/s)",
                merge_policy_name(s->policy), name_of(m->weights.target), s->since_switch, name_of(target), v->why,
                next || v->next == 0 ? name_of(next) : "one that has no rows now", 1e3 * merge_per_row(s, c),
                1e3 * merge_merged(s, c), 100 * c->present, 100 * c->alone, c->rows, v->gain, v->needed, v->cost, s->n,
                s->rows, s->steps);
}

static void decide(struct merger *m, const struct merger_rows *rows, int n)
{
        struct merge_candidate at[MERGE_SEEN_MAX + 2]; // all seen, what is merged, who is preferred
        struct merge_snapshot s = {.policy = m->policy,
                .costs = m->costs.now,
                .at = at,
                .merged = m->weights.target ? m->weights.target->id : 0,
                .since_switch = now() - m->weights.merged};

        m->decided = clock_ns();
        gather(m, &s, rows, n);
        merge_seen_weigh(m->census.seen, &s);
        struct merge_verdict verdict = merge_decide(&s);
        struct dyn_adapter *target = verdict.version ? in_use(m, verdict.version, rows, n) : NULL;

        count_decision(m, verdict.why);
        explain(m, &s, &verdict, target, verdict.next ? in_use(m, verdict.next, rows, n) : NULL);
        follow(m, target);
}

// What a step read beside the base's weights.
static struct costs_rows applied(const struct merger *m, const struct merger_rows *rows, int n)
{
        struct costs_rows found = {0};

        for (int i = 0; i < n; i++) {
                struct dyn_adapter *a = rows[i].adapter;

                found.n += rows[i].n;
                if (a != NULL && a != m->weights.target)
                        costs_patch(&found, a->info.bytes, rows[i].n);
                if (a != NULL && a == m->weights.target && n > 1)
                        found.weights = switcher_touched(&m->weights, a);
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
        costs_saw_step(&m->costs, now(), &patches, seconds, decode && !switcher_busy(&m->weights));
        if (!switcher_busy(&m->weights) && clock_ns() - m->decided >= DECIDE_NS)
                decide(m, rows, n);
}

bool merger_work(struct merger *m, bool idle)
{
        if (m->weights.target != NULL && barred(m, m->weights.target))
                switcher_aim(&m->weights, NULL);
        if (!switcher_busy(&m->weights) && m->nominated != NULL) {
                m->started_with = m->nominated->id;
                follow(m, m->nominated);
                switcher_let_go(m->nominated);
                m->nominated = NULL;
        }
        if (!switcher_busy(&m->weights) && idle && m->preferred != NULL && m->preferred != m->weights.target &&
                clock_ns() - m->decided >= DECIDE_NS)
                decide(m, NULL, 0);
        if (switcher_busy(&m->weights))
                switcher_work(&m->weights, idle ? IDLE_SLICE : fmax(m->costs.step / SLICES, LEAST_SLICE));
        return switcher_busy(&m->weights);
}

void merger_prefer(struct merger *m, struct dyn_adapter *adapter, bool keep)
{
        switcher_let_go(m->preferred);
        switcher_let_go(m->nominated);
        m->preferred = m->nominated = NULL;
        m->decided = 0;
        m->weights.no_memory_until = 0; // who asks is answered by a try
        if (adapter != NULL && m->policy == MERGE_NEVER) {
                atomic_store(&adapter->unmerged_because, "the server runs with --merge never");
                switcher_let_go(adapter);
        } else if (keep) {
                m->preferred = adapter;
        } else {
                m->nominated = adapter;
        }
}

uint64_t merger_mode(const struct merger *m, const struct dyn_adapter *a)
{
        return switcher_mode(&m->weights, a);
}

const struct dyn_adapter *merger_adapter(const struct merger *m)
{
        return m->weights.target;
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
        m->policy = policy;
        m->metrics = metrics;
        m->quantised = dyn_dtype_block(model_facts(model)->weight_dtype) > 1 && policy == MERGE_AUTO;
        census_init(&m->census);
        switcher_init(&m->weights, model, &m->costs, metrics);
        *out = m;
        return DYN_OK;
}

void merger_destroy(struct merger *m)
{
        if (m == NULL)
                return;
        switcher_let_go(m->preferred);
        switcher_let_go(m->nominated);
        switcher_finish(&m->weights);
        census_finish(&m->census);
        mem_free(m);
}
