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
// The difference is linear in what is counted below, so what merging would have gained in a stretch of the past follows
// exactly from means. It is taken to be what merging gains from here on: traffic is expected to go on for as long as it
// has lasted (the ski-rental rule: whoever switches when staying has cost as much as switching pays at most a constant
// factor more than one who knows the future). How long it has lasted is asked of three windows, each eight times as
// long as the one before, so that a cheap merge is made and left within a second or two, and an expensive one after as
// much steady traffic as it takes to pay. Compare Wu et al., "dLoRA", OSDI 2024, whose thresholds are constants.
#ifndef DYNLORA_ADAPT_MERGE_H
#define DYNLORA_ADAPT_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MERGE_NEVER wins over everything, also over candidates that somebody prefers merged. MERGE_ALWAYS merges the adapter
// with most rows, whatever that costs.
enum merge_policy { MERGE_AUTO, MERGE_NEVER, MERGE_ALWAYS };

// "auto", ...
const char *merge_policy_name(enum merge_policy);

// The least time from the beginning of a merge to the next that traffic causes. Also the middle window.
#define MERGE_HORIZON 10.0

enum merge_window { MERGE_BRIEF, MERGE_MIDDLE, MERGE_LONG, MERGE_WINDOWS };

// Seconds: an eighth of the horizon, the horizon, eight times the horizon.
double merge_window_seconds(enum merge_window);

// Measured at start (engine thread) and corrected while it runs.
struct merge_costs {
        double call;    // a step with any patch at all
        double byte;    // a byte of a patch in a step
        double row;     // a byte of a patch and a row of it
        double merge;   // a byte of touched weights, merged
        double restore; // a byte of touched weights, restored
};

// Means over the steps of a window, later ones counting more (merge_seen_*): of all traffic, and of one version's.
struct merge_traffic {
        double steps;   // steps a second; grows from 0, as nothing was seen before the first one
        double rows;    // rows (tokens) in a step
        double patched; // share of steps with rows of any adapter
};

struct merge_share {
        double present; // share of steps with rows of it
        double alone;   // share of steps with no other rows
        double rows;    // rows of it in a step
};

// An adapter version that traffic was seen for, or that is merged, or that somebody prefers merged.
struct merge_candidate {
        uint64_t version;
        size_t bytes;   // of its patches
        size_t touched; // of the weights at the sites that it patches
        struct merge_share share[MERGE_WINDOWS];
        bool barred;    // must not be merged: mode unmerged, a kind that cannot be, no memory, retired; leaves at once
        bool preferred; // mode merged, or merged at start: merged at once whatever it costs, unless barred
};

struct merge_snapshot {
        enum merge_policy policy;
        struct merge_costs costs;
        const struct merge_candidate *at; // (n), each version once
        int n;
        struct merge_traffic traffic[MERGE_WINDOWS];
        uint64_t merged;     // the version that is merged or being merged, 0: none; without a candidate it leaves
        double since_switch; // since the last merge began; infinity if there was none
};

struct merge_verdict {
        uint64_t version; // what should be merged, 0: nothing
        double gain;      // expected, against what is merged now; seconds
        double cost;      // of the switch; seconds
        const char *why;  // a few words for the log and the metrics' label: one of merge_reasons
};

// Every `why` there is; ends with NULL.
extern const char *const merge_reasons[];

// What should be merged now. The answer is the same version again when nothing should change. When it is another, or
// when only time stands in the way of another, gain and cost are that other's. Nothing ever waits for a merge: rows
// are served per row or corrected meanwhile.
struct merge_verdict merge_decide(const struct merge_snapshot *);

// Seconds a step of the middle window gained on average with that candidate merged against nothing merged; may be
// below 0.
double merge_gain(const struct merge_snapshot *, const struct merge_candidate *);

// What was seen: rows by version, forgotten exponentially over wall time
// ----------------------------------------------------------------------------------------------------------

#define MERGE_SEEN_MAX 256 // versions remembered; one more replaces the one that was silent longest

struct merge_seen;

struct merge_seen *merge_seen_create(void);
void merge_seen_destroy(struct merge_seen *);

// A step at `now`, which never goes back. versions, rows: (n) in it, the base's rows with version 0; each version once.
void merge_seen_step(struct merge_seen *, double now, const uint64_t *versions, const int *rows, int n);

// Fills the snapshot's traffic, and the share of a candidate by its version (nothing if it was not seen).
void merge_seen_totals(const struct merge_seen *, double now, struct merge_snapshot *);
void merge_seen_of(const struct merge_seen *, double now, struct merge_candidate *);

// The versions that were seen within the long window, the latest first, at most max; returns how many.
int merge_seen_versions(const struct merge_seen *, double now, uint64_t *versions, int max);

#endif
