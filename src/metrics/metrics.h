// Counters, gauges and histograms that any thread may write without a lock, and their text form for Prometheus.
// Who counts owns the struct; who prints names it. Format: Prometheus text exposition 0.0.4.
#ifndef DYNLORA_METRICS_METRICS_H
#define DYNLORA_METRICS_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

typedef _Atomic uint64_t metric_counter;
typedef _Atomic int64_t metric_gauge;

static inline void metric_add(metric_counter *c, uint64_t n)
{
        atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline void metric_set(metric_gauge *g, int64_t value)
{
        atomic_store_explicit(g, value, memory_order_relaxed);
}

#define METRIC_BUCKETS 16

// Set bounds (ascending, n_bounds <= METRIC_BUCKETS) before use; the rest starts at zero.
struct metric_histogram {
        const double *bounds;
        int n_bounds;
        metric_counter counts[METRIC_BUCKETS + 1]; // of values <= bounds[i] alone; the last: above all
        _Atomic double sum;
};

void metric_observe(struct metric_histogram *, double value);

// Bounds to share: seconds from 1 ms to 60 s, and row counts 1, 2, 4, .. 512.
extern const double metric_seconds[METRIC_BUCKETS];
extern const double metric_powers[10];

// Text form. `labels` is NULL or `a="x",b="y"` with values escaped by prom_label.
void prom_head(struct buf *, const char *name, const char *type, const char *help);
void prom_value(struct buf *, const char *name, const char *labels, double value);
void prom_histogram(struct buf *, const char *name, const char *labels, const struct metric_histogram *);
void prom_label(
        struct buf *, const char *label, const char *value); // appends label="value", with a comma before it if needed

#endif
