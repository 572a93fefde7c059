// Whether an adapter should lie merged in the base's weights, and which: a pure function of what was seen of late and
// what things were measured to cost. No model, no clock, no threads: the engine and the simulator (tests/bench/policy)
// call the same code. Times are seconds, sizes bytes.
//
// What a step costs because of adapters. Per row: each adapter in the step has its patch read once and applied to its
// rows. With A merged: A's rows cost nothing, but if there are other rows, A's patch is read to take it away from them.
//
//      patches(step)          = call [any adapter] + sum over adapters j in it: byte bytes_j + row rows_j bytes_j
//      patches(step, A there) = call [rows not A's] + the same sum without A
//                               + [rows not A's] (byte bytes_A) + row (rows not A's) bytes_A
//
// The difference is linear in what is counted below, so the mean gain of a step follows exactly from means. What
// merging gained in the recent past, taken as long as the horizon, is what it is expected to gain in the next horizon:
// if that pays for the switch with a margin, it is made (this is the ski-rental rule: no traffic makes it lose more
// than a constant factor of the switch cost a horizon). Compare Wu et al., "dLoRA", OSDI 2024, whose thresholds are
// constants.
#ifndef DYNLORA_ADAPT_MERGE_H
#define DYNLORA_ADAPT_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum merge_policy { MERGE_AUTO, MERGE_NEVER, MERGE_ALWAYS };

// "auto", ...
const char *merge_policy_name(enum merge_policy);

#define MERGE_HORIZON 10.0 // seconds looked back and ahead; also the least time between two merges

// Measured at start (engine thread) and corrected while it runs.
struct merge_costs {
        double call;    // a step with any patch at all
        double byte;    // a byte of a patch in a step
        double row;     // a byte of a patch and a row of it
        double merge;   // a byte of touched weights, merged
        double restore; // a byte of touched weights, restored
};

// An adapter version that traffic was seen for, or that is merged, or that somebody prefers merged. The means are over
// the steps of the last horizon, later ones counting more (merge_seen_*): shares are of steps.
struct merge_candidate {
        uint64_t version;
        size_t bytes;   // of its patches
        size_t touched; // of the weights at the sites that it patches
        double present; // share of steps with rows of it
        double alone;   // share of steps with no other rows
        double rows;    // rows (tokens) of it in a step
        bool barred;    // must not be merged: mode unmerged, a kind that cannot be, no memory, retired
        bool preferred; // mode merged, or merged at start: merged whatever it costs
};

struct merge_snapshot {
        enum merge_policy policy;
        struct merge_costs costs;
        const struct merge_candidate *at; // (n)
        int n;
        double steps;        // steps a second, of late
        double rows;         // rows in a step
        double patched;      // share of steps with rows of any adapter
        uint64_t merged;     // the version that is merged or being merged, 0: none
        double since_switch; // since the last merge began; infinity if there was none
};

struct merge_verdict {
        uint64_t version; // what should be merged, 0: nothing
        double gain;      // expected over the horizon, against what is merged now; seconds
        double cost;      // of the switch; seconds
        const char *why;  // a few words for the log and the metrics' label: "pays", "costs more", "too soon", ...
};

// What should be merged now. The answer is the same version again when nothing should change.
struct merge_verdict merge_decide(const struct merge_snapshot *);

// Seconds a step gains on average with that candidate merged against nothing merged; may be below 0.
double merge_gain(const struct merge_snapshot *, const struct merge_candidate *);

// What was seen: rows by version, forgotten over the horizon
// ----------------------------------------------------------------------------------------------------------

struct merge_seen;

struct merge_seen *merge_seen_create(void);
void merge_seen_destroy(struct merge_seen *);

// A step that took `seconds` and began at `now`. versions, rows: (n) adapters in it, rows of the base with version 0; a
// version occurs once.
void merge_seen_step(struct merge_seen *, double now, double seconds, const uint64_t *versions, const int *rows, int n);

// Fills steps, rows and patched of the snapshot, and present, alone and rows of its candidate of that version.
void merge_seen_totals(const struct merge_seen *, double now, struct merge_snapshot *);
void merge_seen_of(const struct merge_seen *, double now, struct merge_candidate *);

// Versions seen within the horizon, at most max; returns how many. Those that fell silent are forgotten.
int merge_seen_versions(struct merge_seen *, double now, uint64_t *versions, int max);

#endif
