// Who waits and who runs, in the order in which they came, and the pages that they hold. A sequence that gives its
// pages up goes back to its place in the line. Engine thread.
#ifndef DYNLORA_SCHED_ROSTER_H
#define DYNLORA_SCHED_ROSTER_H

#include "cache/kv.h"
#include "sched/sequence.h"
#include "sched/stats.h"

struct roster {
        // Set before roster_init.
        struct kv_pool *pool;
        bool prefix_cache;
        struct engine_metrics *metrics;
        void (*emit)(void *ctx, const struct dyn_event *); // the ends
        void *ctx;

        struct sequence *first_waiting; // oldest first
        uint64_t arrived;
        struct sequence **running; // (max_rows), oldest first
        int n_running, row_limit;  // the limit falls when the device has no room for a step, and grows again
};

void roster_init(struct roster *, int max_rows);

// Ends all with DYN_FINISH_CANCELLED.
void roster_finish(struct roster *);

// Puts a sequence at the end of the line, and takes it over.
void roster_add(struct roster *, struct sequence *);

// Ends one that runs, and destroys it. The request is the submitter's again.
void roster_end(struct roster *, struct sequence *, enum dyn_finish);

// Cancelled sequences leave, whether they run or wait.
void roster_retire(struct roster *);

// Those that fit begin to run, oldest first: nobody overtakes, so nobody starves. Held ones stand aside, and give up
// row and pages to who could use them.
void roster_admit(struct roster *);

// A place for every pending token, oldest first; held ones pay, then the youngest.
void roster_reserve(struct roster *);

// running[i] gives its pages up and is computed again later: its tokens are kept.
void roster_preempt(struct roster *, int i);

#endif
