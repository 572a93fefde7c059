// Whether an adapter should lie merged in the base's weights, and which: a pure function of what was seen of late and
// what things were measured to cost. No model, no clock, no threads: the engine and the simulator (tests/bench/policy)
// call the same code. Times are seconds, sizes bytes.
//
// What a step costs because of adapters. Per row: each adapter in the step has its patch read once and applied to its
// rows. With A merged: A's rows use the merged weights and need no patch, all others the base's own, so a step that has
// both reads those weights twice. A step without A's rows is what it is without a merge.
//
//      patches(step)          = call [any adapter] + sum over adapters j in it: byte bytes_j + row rows_j bytes_j
//      patches(step, A there) = call [adapters but A] + the same sum without A
//                               + pass touched_A [A's rows and others]
//
// So A alone saves all of its patch, A beside others its patch less a pass, which is mostly a loss, and A absent saves
// nothing and costs nothing. The difference is linear in what is counted below, so what merging would have saved
// follows exactly from means. What was missed so far by not having an adapter merged is what it is expected to bring
// from here on: traffic is taken to go on for as long as it has (the ski-rental rule: whoever switches when staying has
// cost as much as switching never pays more than a constant factor of what one pays who knows the future). What speaks
// against it counts back, but never below nothing, and what speaks for it never above what is needed: so a change of
// traffic is felt at once, however long the other went on (Page, "Continuous Inspection Schemes", 1954; Borodin, Linial
// and Saks, "An Optimal On-line Algorithm for Metrical Task System", 1992). Compare Wu et al., "dLoRA", OSDI 2024,
// whose thresholds are constants.
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

// The least time from the beginning of a merge to the next that traffic causes, and the seconds that means look back.
#define MERGE_HORIZON 10.0

// Measured at start (engine thread) and corrected while it runs.
struct merge_costs {
        double call;    // a step with any patch at all
        double byte;    // a byte of a patch in a step
        double row;     // a byte of a patch and a row of it
        double merge;   // a byte of touched weights, merged
        double restore; // a byte of touched weights, restored
        double pass;    // a byte of touched weights that a step reads once more
};

// An adapter version that traffic was seen for, or that is merged, or that somebody prefers merged. The means are over
// the steps of the last horizon, later ones counting more (merge_seen_*): shares are of steps.
struct merge_candidate {
        uint64_t version;
        size_t bytes;   // of its patches
        size_t touched; // of the weights at the sites that it patches
        double present; // share of steps with rows of it
        double only;    // share of steps with rows of it and of no other adapter
        double alone;   // share of steps with rows of it and no others
        double rows;    // rows (tokens) of it in a step
        double missed;  // seconds that it would have saved since the last switch, against what is merged
        bool absent;    // has no rows now: must come again before it can be merged
        bool barred;    // must not be merged: mode unmerged, a kind that cannot be, no memory, retired; leaves at once
        bool preferred; // mode merged, or merged at start: merged at once whatever it costs, unless barred; of several
                        // the one that is merged stays
};

struct merge_snapshot {
        enum merge_policy policy;
        struct merge_costs costs;
        struct merge_candidate *at; // (n), each version once
        int n;
        double steps;        // steps a second, of late; grows from 0 when a server starts
        double rows;         // rows in a step
        double missed;       // seconds that having nothing merged would have saved since the last switch
        uint64_t merged;     // the version that is merged or being merged, 0: none; without a candidate it leaves
        double since_switch; // since the last merge began; infinity if there was none
};

struct merge_verdict {
        uint64_t version; // what should be merged, 0: nothing
        uint64_t next;    // what gain, needed and cost are of: it, or when nothing changes what came closest
        double gain;      // expected, against what is merged now: what was missed; seconds
        double needed;    // seconds that must have been missed for traffic to cause the switch
        double cost;      // of the switch; seconds
        const char *why;  // a few words for the log and the metrics' label: one of merge_reasons
};

// Every `why` there is; ends with NULL.
extern const char *const merge_reasons[];

// What should be merged now. The answer is the same version again when nothing should change; gain, needed and cost are
// then those of the switch that was closest. Nothing ever waits for a merge: rows are served per row meanwhile.
struct merge_verdict merge_decide(const struct merge_snapshot *);

// Seconds that a step takes on average for that candidate, beside the base's work: per row, and merged.
double merge_per_row(const struct merge_snapshot *, const struct merge_candidate *);
double merge_merged(const struct merge_snapshot *, const struct merge_candidate *);

// The difference: what a step gains on average with that candidate merged against nothing merged; may be below 0.
double merge_gain(const struct merge_snapshot *, const struct merge_candidate *);

// Seconds that must have been missed before the policy changes from one candidate to another (NULL: nothing merged).
double merge_needed(
        const struct merge_snapshot *, const struct merge_candidate *to, const struct merge_candidate *from);

// What was seen: rows by version, forgotten exponentially over wall time
// ----------------------------------------------------------------------------------------------------------

#define MERGE_SEEN_MAX 256   // versions remembered; one more replaces the one that was silent longest
#define MERGE_MEMORY   600.0 // seconds of silence after which a version is no candidate

struct merge_seen;

struct merge_seen *merge_seen_create(void);
void merge_seen_destroy(struct merge_seen *);

// A step at `now`. versions, rows: (n) in it, the base's rows with version 0; each version once.
void merge_seen_step(struct merge_seen *, double now, const uint64_t *versions, const int *rows, int n);

// Fills steps and rows of the snapshot, and present, only, alone and rows of a candidate by its version.
void merge_seen_totals(const struct merge_seen *, double now, struct merge_snapshot *);
void merge_seen_of(const struct merge_seen *, double now, struct merge_candidate *);

// Before each decision, some ten times a second: weighs the steps since the last call and fills `missed`, the
// snapshot's and its candidates'. Reads costs, merged, and the candidates' version, bytes and touched. Begins anew when
// another version is merged than at the last call; who is not among the candidates has missed nothing when it is again.
void merge_seen_weigh(struct merge_seen *, struct merge_snapshot *);

// The versions that were seen within the memory, the latest first, at most max; returns how many.
int merge_seen_versions(const struct merge_seen *, double now, uint64_t *versions, int max);

#endif
