#include "adapt/merge.h"

#include <math.h>

// How many times its cost, the way out again included, a switch to another adapter must have been worth. An adapter
// that falls silent as soon as it is merged wastes the merge, but was there for that much longer than the merge takes
// to pay. Of 1 to 3, all did about as well in tests/bench/policy.
#define MARGIN 1.5

// Leaving is worth the restore, and this share of the merge that coming back will cost.
#define WAY_BACK 0.25

// Seconds under which a merge is not worth it, however cheap: it changes the last digits of its adapter's answers. And
// under which nothing is worth a change.
#define LEAST_MERGE 0.05
#define LEAST       1e-3

static const char never[] = "never", barred[] = "barred", preferred[] = "preferred", most_rows[] = "most rows",
                  pays[] = "pays", loses[] = "loses", too_soon[] = "too soon", costs_more[] = "costs more",
                  absent[] = "absent", stays[] = "stays", nothing[] = "nothing to merge";

const char *const merge_reasons[] = {
        never, barred, preferred, most_rows, pays, loses, too_soon, costs_more, absent, stays, nothing, NULL};

const char *merge_policy_name(enum merge_policy policy)
{
        static const char *const names[] = {[MERGE_AUTO] = "auto", [MERGE_NEVER] = "never", [MERGE_ALWAYS] = "always"};

        return names[policy];
}

double merge_per_row(const struct merge_snapshot *s, const struct merge_candidate *c)
{
        return s->costs.call * c->only + (double)c->bytes * (s->costs.byte * c->present + s->costs.row * c->rows);
}

double merge_merged(const struct merge_snapshot *s, const struct merge_candidate *c)
{
        return s->costs.pass * (double)c->touched * (c->present - c->alone);
}

double merge_gain(const struct merge_snapshot *s, const struct merge_candidate *c)
{
        return merge_per_row(s, c) - merge_merged(s, c);
}

static double merge_cost(const struct merge_snapshot *s, const struct merge_candidate *c)
{
        return c == NULL ? 0 : s->costs.merge * (double)c->touched;
}

static double restore_cost(const struct merge_snapshot *s, const struct merge_candidate *c)
{
        return c == NULL ? 0 : s->costs.restore * (double)c->touched;
}

static double cost_of(
        const struct merge_snapshot *s, const struct merge_candidate *to, const struct merge_candidate *from)
{
        return to == from ? 0 : merge_cost(s, to) + restore_cost(s, from);
}

double merge_needed(
        const struct merge_snapshot *s, const struct merge_candidate *to, const struct merge_candidate *from)
{
        if (to != NULL)
                return fmax(MARGIN * (cost_of(s, to, from) + restore_cost(s, to)), LEAST_MERGE);
        return fmax(cost_of(s, to, from) + WAY_BACK * merge_cost(s, from), LEAST);
}

static const struct merge_candidate *find(const struct merge_snapshot *s, uint64_t version)
{
        for (int i = 0; version && i < s->n; i++)
                if (s->at[i].version == version)
                        return &s->at[i];
        return NULL;
}

static double missed(const struct merge_snapshot *s, const struct merge_candidate *to)
{
        return to ? to->missed : s->missed;
}

static struct merge_verdict verdict(const struct merge_snapshot *s, const struct merge_candidate *to,
        const struct merge_candidate *from, const char *why)
{
        uint64_t version = to ? to->version : 0;

        return (struct merge_verdict){.version = version,
                .next = version,
                .gain = to == from ? 0 : missed(s, to),
                .needed = to == from ? 0 : merge_needed(s, to, from),
                .cost = cost_of(s, to, from),
                .why = why};
}

// It stays as it is; `next` is what it could have become.
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

// Traffic wants `to` merged.
static struct merge_verdict move(const struct merge_snapshot *s, const struct merge_candidate *to,
        const struct merge_candidate *from, const char *why)
{
        if (s->since_switch < MERGE_HORIZON)
                return stay(s, to, from, too_soon);
        return to->absent ? stay(s, to, from, absent) : verdict(s, to, from, why);
}

static struct merge_verdict decide_always(const struct merge_snapshot *s, const struct merge_candidate *from)
{
        const struct merge_candidate *best = from;
        double most = from ? from->rows : 0;

        for (int i = 0; i < s->n; i++) {
                if (!s->at[i].barred && s->at[i].rows > most) {
                        best = &s->at[i];
                        most = best->rows;
                }
        }
        if (best == from)
                return stay(s, from, from, from ? stays : nothing);
        return move(s, best, from, most_rows);
}

// The candidate with the largest share of what it needs; of those that have all of it, the one that gains most.
static const struct merge_candidate *closest(
        const struct merge_snapshot *s, const struct merge_candidate *from, double *share)
{
        const struct merge_candidate *best = NULL;

        *share = 0;
        for (int i = 0; i < s->n; i++) {
                const struct merge_candidate *c = &s->at[i];
                double of = c == from || c->barred ? 0 : fmin(1, c->missed / merge_needed(s, c, from));

                if (of > *share || (best && of == *share && merge_gain(s, c) > merge_gain(s, best))) {
                        best = c;
                        *share = of;
                }
        }
        return best;
}

static struct merge_verdict decide_auto(const struct merge_snapshot *s, const struct merge_candidate *from)
{
        double share;
        const struct merge_candidate *best = closest(s, from, &share);

        struct merge_verdict v = share >= 1 ? move(s, best, from, pays)
                                            : stay(s, best, from,
                                                      best   ? costs_more
                                                      : from ? stays
                                                             : nothing);
        bool stays_merged = from && v.version == from->version;

        return stays_merged && s->missed >= merge_needed(s, NULL, from) ? verdict(s, NULL, from, loses) : v;
}

struct merge_verdict merge_decide(const struct merge_snapshot *s)
{
        const struct merge_candidate *from = find(s, s->merged), *first = best_preferred(s);
        bool leaves = s->merged && (from == NULL || from->barred);

        if (s->policy == MERGE_NEVER)
                return verdict(s, NULL, from, never);
        if (from && from->preferred && !leaves)
                return stay(s, from, from, preferred);
        if (first)
                return verdict(s, first, from, preferred);
        if (leaves)
                return verdict(s, NULL, from, barred);
        return s->policy == MERGE_ALWAYS ? decide_always(s, from) : decide_auto(s, from);
}
