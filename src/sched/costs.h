// What merging and patches cost (struct merge_costs of adapt/merge.h): measured at start, and corrected by what slices
// and steps take. Engine thread.
#ifndef DYNLORA_SCHED_COSTS_H
#define DYNLORA_SCHED_COSTS_H

#include "adapt/merge.h"
#include "model/model.h"

#define COSTS_BUCKETS 10 // of rows in a step: 1, 2, 4, ...

struct costs {
        struct merge_costs now, profiled;
        double patch_factor; // of call, byte and row, now over profiled
        double pass_factor;  // of pass, the same
        struct costs_plain {
                double seconds; // median of decode steps that no patch was applied in, 0: never seen
                double seen;    // when the last one was
        } plain[COSTS_BUCKETS];
        double step; // median seconds of a step of late, 0: none yet
};

// Measures (model_profile) and says what it found.
enum dyn_status costs_measure(struct costs *, struct model *, struct dyn_error *);

// What a step had to do, as costs see it.
struct costs_rows {
        size_t weights;    // bytes that were read in both forms, the base's and merged
        int n;             // rows in all
        double byte_reads; // bytes of patches that were read
        double byte_rows;  // and times their rows
};

static inline void costs_patch(struct costs_rows *r, size_t bytes, int n_rows)
{
        r->byte_reads += (double)bytes;
        r->byte_rows += (double)bytes * n_rows;
}

// now: seconds of a clock that goes on.
void costs_saw_step(struct costs *, double now, const struct costs_rows *, double seconds, bool decode);
void costs_saw_merge(struct costs *, size_t bytes, double seconds);
void costs_saw_restore(struct costs *, size_t bytes, double seconds);

#endif
