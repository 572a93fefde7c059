// What the engine counts about itself. Written on the engine thread (waiting: by submit, too), read by anybody.
#ifndef DYNLORA_SCHED_STATS_H
#define DYNLORA_SCHED_STATS_H

#include "metrics/metrics.h"

// On the checkpoint's weights: rows of the base alone, or of adapters. On merged ones: rows of the merged adapter
// alone, or of others beside them.
enum step_mode { STEP_BASE, STEP_PER_ROW, STEP_MERGED, STEP_MIXED, N_STEP_MODES };

#define MAX_MERGE_REASONS 24

struct engine_metrics {
        metric_gauge running, waiting;     // sequences
        metric_gauge kv_pages_used;        // by running sequences (kept prefixes are not counted)
        metric_gauge kv_pages_cached;      // kept for reuse, free to take
        metric_counter steps, steps_mixed; // all; those with more than one adapter (the base counts as one)
        metric_counter prompt_tokens;      // computed, without reused ones
        metric_counter cached_tokens;      // reused
        metric_counter generated_tokens;
        metric_counter preemptions;
        metric_counter merges, restores;                   // of whole adapters
        metric_gauge merged_bytes;                         // of weights that lie merged beside the base's
        metric_counter steps_by_mode[N_STEP_MODES];        // STEP_*
        metric_counter merge_decisions[MAX_MERGE_REASONS]; // of the policy, by merge_reasons (adapt/merge.h)
        struct metric_histogram step_seconds;              // duration of a step
        struct metric_histogram step_rows;                 // sequences in a step
        struct metric_histogram step_adapters;             // distinct adapters in a step, the base among them
};

#endif
