// Carries out what the merge policy (adapt/merge.h) decides: shows it what steps were like and what they cost, and
// brings the weights to what it answers, site by site between steps, in slices that are short beside a step. An adapter
// whose patches lie in the weights is pinned until they lie there no more. Engine thread.
#ifndef DYNLORA_SCHED_MERGER_H
#define DYNLORA_SCHED_MERGER_H

#include "adapt/merge.h"
#include "adapt/version.h"
#include "model/model.h"
#include "sched/stats.h"

struct merger;

// Measures what things cost (model_profile) unless the policy is never to merge.
enum dyn_status merger_create(
        struct merger **, struct model *, enum merge_policy, struct engine_metrics *, struct dyn_error *);

// The weights are restored and every adapter is let go.
void merger_destroy(struct merger *);

// Takes over a pin and a use (running) of the adapter, NULL for nobody; with keep it is preferred from now on.
void merger_prefer(struct merger *, struct dyn_adapter *, bool keep);

// Rows of a step by adapter, NULL is the base; each adapter once, all of them in use.
struct merger_rows {
        struct dyn_adapter *adapter;
        int n;
};

// After a step. seconds: of the step without slices. decode: every row was a token of its
// own sequence, so that steps compare.
void merger_saw(struct merger *, const struct merger_rows *, int n, double seconds, bool decode);

// Between steps: decides, and works up to about an eighth of a step long, or a few milliseconds if nobody waits. True
// while there is more to do.
bool merger_work(struct merger *, bool idle);

// Which weights the rows of an adapter (NULL: the base) are computed with now: its id if it is merged whole, 0 the
// checkpoint's. While some sites are merged and others not, no row uses them: a step that has rows of it and of others
// would read the weights twice, and an answer would have been computed in a mode that never comes again.
uint64_t merger_mode(const struct merger *, const struct dyn_adapter *);

// The adapter that is merged or on the way there, or NULL.
const struct dyn_adapter *merger_adapter(const struct merger *);

#endif
