// The policy of the server in its three settings, and who knows the future.
#include "policy.h"

#include <math.h>

#include "base/alloc.h"

int choose_oldest(const struct view *v, int *chosen)
{
        int n = v->n < v->model->max_rows ? v->n : v->model->max_rows;

        for (int i = 0; i < n; i++)
                chosen[i] = i;
        return n;
}

// The server's own
// ----------------------------------------------------------------------------------------------------------

struct own {
        enum merge_policy policy;
        double belief; // what it takes patches to cost, times this
        struct merge_seen *seen;
        uint64_t merged;
        double decided, switched;
        uint64_t versions[MAX_ROWS]; // (n) in the last step
        int n;
};

static void *own_create(enum merge_policy policy, double belief)
{
        struct own *own = mem_zalloc(sizeof *own);

        *own = (struct own){
                .policy = policy, .belief = belief, .seen = merge_seen_create(), .decided = -1, .switched = -INFINITY};
        return own;
}

static void *auto_create(const struct view *v, double seconds)
{
        return own_create(MERGE_AUTO, 1);
}

static void *always_create(const struct view *v, double seconds)
{
        return own_create(MERGE_ALWAYS, 1);
}

static void *never_create(const struct view *v, double seconds)
{
        return own_create(MERGE_NEVER, 1);
}

static void *timid_create(const struct view *v, double seconds)
{
        return own_create(MERGE_AUTO, 0.5);
}

static void *bold_create(const struct view *v, double seconds)
{
        return own_create(MERGE_AUTO, 2);
}

static void own_destroy(void *mind)
{
        struct own *own = mind;

        merge_seen_destroy(own->seen);
        mem_free(own);
}

static bool has_rows(const struct own *own, uint64_t version)
{
        for (int i = 0; i < own->n; i++)
                if (own->versions[i] == version)
                        return true;
        return false;
}

static struct merge_verdict decide(const struct own *own, const struct view *v)
{
        struct merge_candidate at[MERGE_SEEN_MAX + 1];
        struct merge_snapshot s = {.policy = own->policy,
                .costs = v->model->costs,
                .at = at,
                .merged = own->merged,
                .since_switch = v->now - own->switched};
        uint64_t versions[MERGE_SEEN_MAX + 1];
        bool there = own->merged == 0;

        s.costs.call *= own->belief;
        s.costs.byte *= own->belief;
        s.costs.row *= own->belief;
        s.n = merge_seen_versions(own->seen, v->now, versions, MERGE_SEEN_MAX);
        for (int i = 0; i < s.n; i++)
                there |= versions[i] == own->merged;
        if (!there)
                versions[s.n++] = own->merged;
        for (int i = 0; i < s.n; i++) {
                at[i] = (struct merge_candidate){.version = versions[i],
                        .bytes = v->model->bytes,
                        .touched = v->model->touched,
                        .absent = versions[i] != own->merged && !has_rows(own, versions[i])};
                merge_seen_of(own->seen, v->now, &at[i]);
        }
        merge_seen_totals(own->seen, v->now, &s);
        merge_seen_weigh(own->seen, &s);
        return merge_decide(&s);
}

static int own_choose(void *mind, const struct view *v, int *chosen, uint64_t *merged)
{
        struct own *own = mind;

        if (v->now - own->decided >= DECIDED) {
                struct merge_verdict verdict = decide(own, v);

                if (verdict.version && verdict.version != own->merged)
                        own->switched = v->now;
                own->merged = verdict.version;
                own->decided = v->now;
        }
        *merged = own->merged;
        return choose_oldest(v, chosen);
}

static void own_ran(void *mind, double now, const struct share *s, int n)
{
        struct own *own = mind;
        int rows[MAX_ROWS];

        own->n = n;
        for (int i = 0; i < n; i++) {
                own->versions[i] = s[i].version;
                rows[i] = s[i].rows;
        }
        merge_seen_step(own->seen, now, own->versions, rows, n);
}

const struct strategy strategy_auto = {"auto", false, auto_create, own_destroy, own_choose, own_ran};
const struct strategy strategy_always = {"always", false, always_create, own_destroy, own_choose, own_ran};
const struct strategy strategy_never = {"never", false, never_create, own_destroy, own_choose, own_ran};
const struct strategy strategy_timid = {"timid", false, timid_create, own_destroy, own_choose, own_ran};
const struct strategy strategy_bold = {"bold", false, bold_create, own_destroy, own_choose, own_ran};
