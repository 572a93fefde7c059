#include "sched/merger.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

// Ids of versions are below, so that a mode in between is never taken for one.
#define BETWEEN ((uint64_t)1 << 63)

#define DECIDE_NS      100000000 // between two looks at the policy
#define IDLE_SLICE     0.005     // seconds
#define LEAST_SLICE    0.0005
#define MAX_KNOWN      1024
#define MAX_CANDIDATES (MERGE_SEEN_MAX + 2)
#define MEMORY_KEPT    ((size_t)64 << 20) // a merge leaves the system at least this

// How fast what is measured takes the place of what was believed.
#define LEARN_SITE  0.02
#define LEARN_STEP  0.1
#define LEARN_PATCH 0.02

#define BUCKETS 10 // of rows in a step: 1, 2, 4, ...

struct known {
        uint64_t version;
        size_t bytes, touched; // as in struct merge_candidate
};

struct merger {
        struct model *model;
        enum merge_policy policy;
        struct engine_metrics *metrics;
        struct merge_seen *seen;
        struct merge_costs profiled, costs;
        double patch_factor;   // costs of patches, measured over profiled
        double plain[BUCKETS]; // seconds of a decode step that no patch was applied in, 0: never seen
        double step;           // seconds of a step of late

        struct dyn_adapter *preferred, *nominated; // pinned and in use, or NULL: kept merged; merged once
        struct dyn_adapter *target;                // what should lie in the weights; NULL: nothing
        struct dyn_adapter *holders[2];            // pinned and in use: what lies in some site, or is on the way there
        int next_site;                             // those before hold what they should
        size_t written;                            // bytes in this switch
        uint64_t mode, n_modes;
        double switched; // when the last merge began, seconds of clock_ns; -infinity
        double no_memory_until;
        struct known known[MAX_KNOWN]; // (n_known), by version
        int n_known;
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
        for (int i = 0; a->touched_bytes == 0 && i < model_sites(m->model)->n; i++)
                if (a->patches[i].rank > 0)
                        a->touched_bytes += model_merged_bytes(m->model, i);
        return a->touched_bytes;
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

static void learn(double *believed, double measured, double speed)
{
        *believed += speed * (measured - *believed);
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
        double bytes = (double)model_merged_bytes(m->model, site);

        m->mode = BETWEEN | ++m->n_modes;
        if (wanted == NULL) {
                model_restore(m->model, site);
                learn(&m->costs.restore, (now() - began) / bytes, LEARN_SITE);
                return true;
        }
        enum dyn_status st = model_merge(m->model, site, wanted, &err);

        if (st != DYN_OK) {
                give_up(m, st, &err);
                return true;
        }
        m->written += (size_t)bytes;
        learn(&m->costs.merge, (now() - began) / bytes, LEARN_SITE);
        return true;
}

static void work_for(struct merger *m, double seconds)
{
        double end = now() + seconds;

        while (switching(m))
                if (visit(m, m->next_site++) && now() >= end)
                        break;
        if (!switching(m))
                arrive(m);
}

// Deciding
// --------------------------------------------------------------------------------------------------------------------

static bool barred(const struct dyn_adapter *a)
{
        return a->refused || atomic_load(&a->unmergeable) || atomic_load(&a->retired) || atomic_load(&a->in_the_way);
}

// What is remembered of versions that traffic was seen for, in ascending order: one that no step holds now cannot be
// asked.
static struct known *find_known(struct merger *m, uint64_t version)
{
        int low = 0, high = m->n_known;

        while (low < high) {
                int mid = (low + high) / 2;

                if (m->known[mid].version < version)
                        low = mid + 1;
                else
                        high = mid;
        }
        return &m->known[low];
}

static bool is_known(const struct merger *m, const struct known *k, uint64_t version)
{
        return k < m->known + m->n_known && k->version == version;
}

static void know(struct merger *m, struct dyn_adapter *a)
{
        struct known *k = find_known(m, a->id);

        if (is_known(m, k, a->id) || m->n_known == MAX_KNOWN)
                return;
        memmove(k + 1, k, (size_t)(m->known + m->n_known - k) * sizeof *k);
        *k = (struct known){a->id, a->info.bytes, touched_bytes(m, a)};
        m->n_known++;
}

// Forgets who has fallen silent.
static void forget(struct merger *m, const uint64_t *versions, int n)
{
        int kept = 0;

        for (int i = 0; i < m->n_known; i++)
                for (int k = 0; k < n; k++)
                        if (versions[k] == m->known[i].version) {
                                m->known[kept++] = m->known[i];
                                break;
                        }
        m->n_known = kept;
}

static struct merge_candidate *find_candidate(const struct merge_snapshot *s, uint64_t version)
{
        for (int i = 0; i < s->n; i++)
                if (s->at[i].version == version)
                        return &s->at[i];
        return NULL;
}

static void add_candidate(struct merger *m, struct merge_snapshot *s, const struct known *k)
{
        struct merge_candidate *c = &s->at[s->n++];

        *c = (struct merge_candidate){.version = k->version,
                .bytes = k->bytes,
                .touched = k->touched,
                .barred = now() < m->no_memory_until && k->version != s->merged};
        merge_seen_of(m->seen, now(), c);
}

// An adapter that is in use: the flags that it has now.
static void ask(struct merger *m, struct merge_snapshot *s, const struct dyn_adapter *a)
{
        struct merge_candidate *c = a ? find_candidate(s, a->id) : NULL;

        if (c == NULL)
                return;
        c->barred |= barred(a);
        c->preferred = a == m->preferred;
}

// Whether somebody asks for it or not.
static void add_always(struct merger *m, struct merge_snapshot *s, struct dyn_adapter *a)
{
        if (a != NULL && find_candidate(s, a->id) == NULL)
                add_candidate(m, s, &(struct known){a->id, a->info.bytes, touched_bytes(m, a)});
        ask(m, s, a);
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

// Everybody that traffic was seen for, by what is known of them. rows: of the last step, whose adapters are in use.
static void add_candidates(struct merger *m, struct merge_snapshot *s, const struct merger_rows *rows, int n)
{
        uint64_t versions[MERGE_SEEN_MAX];
        int n_versions = merge_seen_versions(m->seen, now(), versions, MERGE_SEEN_MAX);

        if (m->n_known > MAX_KNOWN - n)
                forget(m, versions, n_versions);
        for (int i = 0; i < n; i++)
                if (rows[i].adapter != NULL)
                        know(m, rows[i].adapter);
        for (int i = 0; i < n_versions; i++) {
                const struct known *k = find_known(m, versions[i]);

                if (is_known(m, k, versions[i]))
                        add_candidate(m, s, k);
        }
        for (int i = 0; i < n; i++)
                ask(m, s, rows[i].adapter);
        add_always(m, s, m->target);
        add_always(m, s, m->preferred);
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
        struct merge_candidate at[MAX_CANDIDATES];
        struct merge_snapshot s = {.policy = m->policy,
                .costs = m->costs,
                .at = at,
                .merged = m->target ? m->target->id : 0,
                .since_switch = now() - m->switched};

        m->decided = clock_ns();
        add_candidates(m, &s, rows, n);
        merge_seen_totals(m->seen, now(), &s);
        merge_seen_weigh(m->seen, &s);
        struct merge_verdict verdict = merge_decide(&s);
        struct dyn_adapter *target = verdict.version ? in_use(m, verdict.version, rows, n) : NULL;

        count_decision(m, verdict.why);
        log_debug(
                "merge policy: %s merged, %s should be: %s (gain %.3g s, switch %.3g s; %d candidates, %.1f rows, %.1f "
                "steps/s)",
                name_of(m->target), name_of(target), verdict.why, verdict.gain, verdict.cost, s.n, s.rows, s.steps);
        follow(m, target);
}

// What the formula of adapt/merge.h says that patches cost in this step.
static double patch_seconds(const struct merger *m, const struct merger_rows *rows, int n)
{
        const struct merge_costs *c = &m->profiled;
        int others = 0;
        double seconds = 0;

        for (int i = 0; i < n; i++) {
                const struct dyn_adapter *a = rows[i].adapter;

                others += a != m->target ? rows[i].n : 0;
                if (a != NULL && a != m->target)
                        seconds += (double)a->info.bytes * (c->byte + c->row * rows[i].n);
        }
        if (m->target != NULL && others > 0)
                seconds += (double)m->target->info.bytes * (c->byte + c->row * others);
        return seconds > 0 ? seconds + c->call : 0;
}

// Costs of patches from the difference between decode steps with and without.
static void learn_patches(struct merger *m, const struct merger_rows *rows, int n, double seconds)
{
        double predicted = patch_seconds(m, rows, n);
        int total = 0, bucket = 0;

        for (int i = 0; i < n; i++)
                total += rows[i].n;
        while (bucket < BUCKETS - 1 && total >> (bucket + 1) > 0)
                bucket++;
        double *plain = &m->plain[bucket];

        if (predicted == 0) {
                *plain = *plain > 0 ? *plain + LEARN_STEP * (seconds - *plain) : seconds;
                return;
        }
        if (*plain == 0)
                return;
        learn(&m->patch_factor, fmin(fmax((seconds - *plain) / predicted, 0), 4), LEARN_PATCH);
        m->patch_factor = fmax(m->patch_factor, 0.25);
        m->costs.call = m->profiled.call * m->patch_factor;
        m->costs.byte = m->profiled.byte * m->patch_factor;
        m->costs.row = m->profiled.row * m->patch_factor;
}

static void count_mode(struct merger *m, const struct merger_rows *rows, int n)
{
        bool adapters = false, others = false;

        for (int i = 0; i < n; i++) {
                adapters |= rows[i].adapter != NULL;
                others |= rows[i].adapter != m->target;
        }
        enum step_mode mode = adapters ? STEP_PER_ROW : STEP_BASE;

        if (m->mode != 0)
                mode = others ? STEP_CORRECTED : STEP_MERGED;
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
        merge_seen_step(m->seen, now(), versions, counts, n);
        m->step = m->step > 0 ? m->step + LEARN_STEP * (seconds - m->step) : seconds;
        if (decode && !switching(m))
                learn_patches(m, rows, n, seconds);
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
                work_for(m, idle ? IDLE_SLICE : fmax(m->step / 2, LEAST_SLICE));
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

uint64_t merger_mode(const struct merger *m)
{
        return m->mode;
}

const struct dyn_adapter *merger_adapter(const struct merger *m)
{
        return m->target;
}

enum dyn_status merger_create(struct merger **out, struct model *model, enum merge_policy policy,
        struct engine_metrics *metrics, struct dyn_error *err)
{
        struct model_costs costs = {0};
        int64_t began = clock_ns();
        enum dyn_status st = policy == MERGE_NEVER ? DYN_OK : model_profile(model, &costs, err);

        if (st != DYN_OK)
                return st;
        struct merger *m = mem_zalloc(sizeof *m);

        m->model = model;
        m->policy = policy;
        m->metrics = metrics;
        m->seen = merge_seen_create();
        m->patch_factor = 1;
        m->profiled = m->costs = (struct merge_costs){costs.call, costs.byte, costs.row, costs.merge, costs.restore};
        m->switched = -INFINITY;
        m->next_site = model_sites(model)->n;
        *out = m;
        if (policy != MERGE_NEVER)
                log_info(
                        "merging measured in %.0f ms: %.1f GB/s to merge; a patch costs %.3f ms a MB and step, %.3f ms "
                        "more a row",
                        (double)(clock_ns() - began) * 1e-6, 1e-9 / costs.merge, costs.byte * 1e9, costs.row * 1e9);
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
        merge_seen_destroy(m->seen);
        mem_free(m);
}
