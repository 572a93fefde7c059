#include "adapt/merge.h"

#include <math.h>

// How many times its cost a merge must have been worth before it is made. An adapter that goes silent as soon as it is
// merged wastes the merge, and it was here for twice as long as the merge pays back.
#define MERGE_MARGIN 2.0

// Leaving costs the restore, and this share of the merge that it will take to come back.
#define MERGE_RETURN 0.25

static const char never[] = "never", barred[] = "barred", preferred[] = "preferred", most_rows[] = "most rows",
                  pays[] = "pays", loses[] = "loses", too_soon[] = "too soon", costs_more[] = "costs more",
                  stays[] = "stays", nothing[] = "nothing to merge";

const char *const merge_reasons[] = {never, barred, preferred, most_rows, pays, loses, too_soon, costs_more,
        stays, nothing, NULL};

const char *merge_policy_name(enum merge_policy policy)
{
        static const char *const names[] = {[MERGE_AUTO] = "auto", [MERGE_NEVER] = "never", [MERGE_ALWAYS] = "always"};

        return names[policy];
}

double merge_window_seconds(enum merge_window w)
{
        static const double seconds[] = {[MERGE_BRIEF] = MERGE_HORIZON / 8,
                [MERGE_MIDDLE] = MERGE_HORIZON,
                [MERGE_LONG] = MERGE_HORIZON * 8};

        return seconds[w];
}

// Of a step, in the mean of a window: patches(step) - patches(step, c there).
static double gain_in(const struct merge_snapshot *s, const struct merge_candidate *c, enum merge_window w)
{
        const struct merge_traffic *t = &s->traffic[w];
        const struct merge_share *of = &c->share[w];
        double others = 1 - of->alone;

        return s->costs.call * (t->patched - others) +
               (double)c->bytes * (s->costs.byte * (of->present - others) + s->costs.row * (2 * of->rows - t->rows));
}

double merge_gain(const struct merge_snapshot *s, const struct merge_candidate *c)
{
        return gain_in(s, c, MERGE_MIDDLE);
}

// What the window's traffic would have gained with c merged (NULL: nothing). Steps a second times the window's length
// is how many steps it holds, each counted for what is left of it.
static double gained(const struct merge_snapshot *s, const struct merge_candidate *c, enum merge_window w)
{
        return c == NULL ? 0 : gain_in(s, c, w) * s->traffic[w].steps * merge_window_seconds(w);
}

// What c is expected to gain against `from`: the most that a window says, as long as no shorter one speaks against it.
static double advantage(
        const struct merge_snapshot *s, const struct merge_candidate *c, const struct merge_candidate *from)
{
        double most = 0;

        for (enum merge_window w = 0; w < MERGE_WINDOWS; w++) {
                double a = gained(s, c, w) - gained(s, from, w);

                if (!(a >= 0))
                        break;
                most = fmax(most, a);
        }
        return most;
}

static double cost_of(const struct merge_snapshot *s, const struct merge_candidate *c, const struct merge_candidate *from)
{
        return (c == NULL ? 0 : s->costs.merge * (double)c->touched) +
               (from == NULL ? 0 : s->costs.restore * (double)from->touched);
}

static const struct merge_candidate *find(const struct merge_snapshot *s, uint64_t version)
{
        for (int i = 0; version && i < s->n; i++)
                if (s->at[i].version == version)
                        return &s->at[i];
        return NULL;
}

static struct merge_verdict verdict(const struct merge_snapshot *s, const struct merge_candidate *to,
        const struct merge_candidate *from, const char *why)
{
        return (struct merge_verdict){.version = to ? to->version : 0,
                .gain = advantage(s, to, from),
                .cost = to == from ? 0 : cost_of(s, to, from),
                .why = why};
}

// It stays as it is, and `next` (may be NULL) is what it could have become.
static struct merge_verdict stay(const struct merge_snapshot *s, const struct merge_candidate *next,
        const struct merge_candidate *from, const char *why)
{
        struct merge_verdict v = verdict(s, next, from, why);

        v.version = from ? from->version : 0;
        return v;
}

// The preferred candidate that gains most, or NULL.
static const struct merge_candidate *best_preferred(const struct merge_snapshot *s)
{
        const struct merge_candidate *best = NULL;

        for (int i = 0; i < s->n; i++)
                if (s->at[i].preferred && !s->at[i].barred &&
                        (best == NULL || merge_gain(s, &s->at[i]) > merge_gain(s, best)))
                        best = &s->at[i];
        return best;
}

static struct merge_verdict decide_always(const struct merge_snapshot *s, const struct merge_candidate *from)
{
        const struct merge_candidate *best = from;
        double most = from ? from->share[MERGE_MIDDLE].rows : 0;

        for (int i = 0; i < s->n; i++) {
                if (!s->at[i].barred && s->at[i].share[MERGE_MIDDLE].rows > most) {
                        best = &s->at[i];
                        most = best->share[MERGE_MIDDLE].rows;
                }
        }
        if (best == from)
                return stay(s, from, from, from ? stays : nothing);
        return s->since_switch >= MERGE_HORIZON ? verdict(s, best, from, most_rows) : stay(s, best, from, too_soon);
}

static struct merge_verdict decide_auto(const struct merge_snapshot *s, const struct merge_candidate *from)
{
        const struct merge_candidate *best = NULL;
        double most = 0;

        for (int i = 0; i < s->n; i++) {
                const struct merge_candidate *c = &s->at[i];
                double over = c == from || c->barred ? 0 : advantage(s, c, from) - MERGE_MARGIN * cost_of(s, c, from);

                if (over > most) {
                        best = c;
                        most = over;
                }
        }
        if (best && s->since_switch >= MERGE_HORIZON)
                return verdict(s, best, from, pays);
        if (from && advantage(s, NULL, from) > cost_of(s, NULL, from) + MERGE_RETURN * cost_of(s, from, NULL))
                return verdict(s, NULL, from, loses);
        return best ? stay(s, best, from, too_soon) : stay(s, from, from, from ? stays : costs_more);
}

struct merge_verdict merge_decide(const struct merge_snapshot *s)
{
        const struct merge_candidate *from = find(s, s->merged), *first = best_preferred(s);
        bool leaves = s->merged && (from == NULL || from->barred);
        struct merge_verdict v;

        if (s->policy == MERGE_NEVER)
                return verdict(s, NULL, from, never);
        if (from && from->preferred && !leaves)
                return stay(s, from, from, preferred);
        if (first)
                return verdict(s, first, from, preferred);
        if (leaves)
                return verdict(s, NULL, from, barred);
        v = s->policy == MERGE_ALWAYS ? decide_always(s, from) : decide_auto(s, from);
        return v;
}
