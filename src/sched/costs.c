#include "sched/costs.h"

#include <math.h>

#include "base/clock.h"
#include "base/log.h"

// How fast what is measured takes the place of what was believed.
#define LEARN_SITE  0.02
#define LEARN_STEP  0.05
#define LEARN_PLAIN 0.01
#define LEARN_PATCH 0.02

// Seconds for which steps without patches can be held against others. Later the machine may be another: what makes it
// slower would be taken for the patches' doing.
#define PLAIN_HOLDS 10.0

// Bounds of what is believed of patches, over what was measured at start: steps are noisy.
#define LEAST_FACTOR 0.25
#define MOST_FACTOR  4.0

static void learn(double *believed, double measured, double speed)
{
        *believed += speed * (measured - *believed);
}

// What is believed of steps goes towards what one took by so much of itself, however far that is: it ends at their
// median. A mean would be that of the few steps for which something else had the core or the disk. 0: nothing yet.
static void lean(double *believed, double measured, double speed)
{
        if (*believed == 0)
                *believed = measured;
        *believed = fmin(fmax(measured, *believed / (1 + speed)), *believed * (1 + speed));
}

enum dyn_status costs_measure(struct costs *c, struct model *model, struct dyn_error *err)
{
        struct model_costs found;
        int64_t began = clock_ns();
        enum dyn_status st = model_profile(model, &found, err);

        if (st != DYN_OK)
                return st;
        c->patch_factor = c->pass_factor = 1;
        c->now = c->profiled = (struct merge_costs){.call = found.call,
                .byte = found.byte,
                .row = found.row,
                .pass = found.pass,
                .merge = found.merge,
                .restore = found.restore};
        log_info(
                "costs measured in %.0f ms: merging %.1f GB/s; a patch takes %.0f us a MB and step, %.0f us more a row",
                (double)(clock_ns() - began) * 1e-6, 1e-9 / found.merge, found.byte * 1e12, found.row * 1e12);
        return DYN_OK;
}

static struct costs_plain *plain_of(struct costs *c, int n_rows)
{
        int bucket = 0;

        while (bucket < COSTS_BUCKETS - 1 && n_rows >> (bucket + 1) > 0)
                bucket++;
        return &c->plain[bucket];
}

// A factor over what was measured at start, from what a step took beyond one that had none of it.
static void learn_factor(double *factor, double seconds, double expected)
{
        if (expected > 0)
                lean(factor, fmin(fmax(seconds / expected, LEAST_FACTOR), MOST_FACTOR), LEARN_PATCH);
}

// The difference between decode steps with and without patches, or with weights read twice and without, held against
// what the formula of adapt/merge.h says.
static void learn_patches(struct costs *c, double now, const struct costs_rows *r, double seconds)
{
        const struct merge_costs *p = &c->profiled;
        double patches = r->byte_reads > 0 ? p->call + p->byte * r->byte_reads + p->row * r->byte_rows : 0;
        struct costs_plain *plain = plain_of(c, r->n);

        if (patches == 0 && r->weights == 0) {
                if (now - plain->seen > PLAIN_HOLDS)
                        plain->seconds = 0;
                lean(&plain->seconds, seconds, LEARN_PLAIN);
                plain->seen = now;
                return;
        }
        if (plain->seconds == 0 || now - plain->seen > PLAIN_HOLDS)
                return;
        double more = seconds - plain->seconds;

        if (r->weights > 0)
                learn_factor(&c->pass_factor, more - c->patch_factor * patches, p->pass * (double)r->weights);
        else
                learn_factor(&c->patch_factor, more, patches);
        c->now.call = p->call * c->patch_factor;
        c->now.byte = p->byte * c->patch_factor;
        c->now.row = p->row * c->patch_factor;
        c->now.pass = p->pass * c->pass_factor;
}

void costs_saw_step(struct costs *c, double now, const struct costs_rows *r, double seconds, bool decode)
{
        lean(&c->step, seconds, LEARN_STEP);
        if (decode)
                learn_patches(c, now, r, seconds);
}

void costs_saw_merge(struct costs *c, size_t bytes, double seconds)
{
        learn(&c->now.merge, seconds / (double)bytes, LEARN_SITE);
}

void costs_saw_restore(struct costs *c, size_t bytes, double seconds)
{
        learn(&c->now.restore, seconds / (double)bytes, LEARN_SITE);
}
