// Brings the weights from one merged adapter to another, or back to the checkpoint's, site by site between steps. An
// adapter of which some site holds the patch is pinned and in use until none does. Engine thread.
#ifndef DYNLORA_SCHED_SWITCHER_H
#define DYNLORA_SCHED_SWITCHER_H

#include "adapt/version.h"
#include "model/model.h"
#include "sched/costs.h"
#include "sched/stats.h"

struct switcher {
        struct model *model;
        struct costs *costs; // of the merger: hears what sites took
        struct engine_metrics *metrics;
        struct dyn_adapter *target;     // what should lie in the weights; NULL: nothing
        struct dyn_adapter *holders[2]; // pinned and in use: what lies in some site, or is on the way there
        int next_site;                  // those before hold what they should
        size_t written;                 // bytes in this switch
        int64_t merged_bytes;           // that lie merged now
        double merged;                  // when the last merge began, seconds of clock_ns; -infinity
        double no_memory_until;         // until then nothing is worth a try
};

void switcher_init(struct switcher *, struct model *, struct costs *, struct engine_metrics *);

// The weights are restored and every adapter is let go.
void switcher_finish(struct switcher *);

// Ends a pin and a use (running) of the adapter; NULL is fine.
void switcher_let_go(struct dyn_adapter *);

// Brings the weights to a target from now on, from wherever they are.
void switcher_aim(struct switcher *, struct dyn_adapter *target);

// Whether some site does not hold yet what it should.
bool switcher_busy(const struct switcher *);

// One site at least, and then as many as fit.
void switcher_work(struct switcher *, double seconds);

// Bytes of the weights that the adapter's patches lie over.
size_t switcher_touched(const struct switcher *, struct dyn_adapter *);

// As merger_mode.
uint64_t switcher_mode(const struct switcher *, const struct dyn_adapter *);

#endif
