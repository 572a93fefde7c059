// What the engine counts about itself. Written on the engine thread (waiting: by submit, too), read by anybody.
#ifndef DYNLORA_SCHED_STATS_H
#define DYNLORA_SCHED_STATS_H

#include "metrics/metrics.h"

struct engine_metrics {
        metric_gauge running, waiting;     // sequences
        metric_gauge kv_pages_used;        // by running sequences (kept prefixes are not counted)
        metric_gauge kv_pages_cached;      // kept for reuse, free to take
        metric_counter steps, steps_mixed; // all; those with more than one adapter (the base counts as one)
        metric_counter prompt_tokens;      // computed, without reused ones
        metric_counter cached_tokens;      // reused
        metric_counter generated_tokens;
        metric_counter preemptions;
        struct metric_histogram step_seconds;  // duration of a step
        struct metric_histogram step_rows;     // sequences in a step
        struct metric_histogram step_adapters; // distinct adapters in a step, the base among them
};

#endif
