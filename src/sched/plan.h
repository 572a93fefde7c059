// What one step computes: a pure function of what runs. No model, no memory, no clock: tested by itself.
#ifndef DYNLORA_SCHED_PLAN_H
#define DYNLORA_SCHED_PLAN_H

#include <stdbool.h>
#include <stdint.h>

// A running sequence as the planner sees it.
struct plan_view {
        int pending;      // tokens to compute, at least one
        uint64_t version; // of its adapter, 0 is the base
        bool all_logits;  // every row gives logits, not only the last pending one
        bool held;        // leave it out
};

struct plan_limits {
        int step_tokens;
        int extra_logits; // rows with logits beyond one for each sequence
};

// A sequence's share: its next n_tokens pending tokens, at rows first_row and on.
struct plan_share {
        int view;
        int first_row, n_tokens;
};

// Views are oldest first. Sequences with one pending token come first, then prompts in chunks, oldest first, until the
// step is full. Shares are written in row order: by adapter version, then age, so that rows of one adapter lie
// together. shares: (n_views). Returns how many.
int plan_step(const struct plan_view *, int n_views, const struct plan_limits *, struct plan_share *shares);

#endif
