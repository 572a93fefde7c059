#include "metrics/metrics.h"

const double metric_seconds[METRIC_BUCKETS] = {
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60};
const double metric_powers[10] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

void metric_observe(struct metric_histogram *h, double value)
{
        int i = 0;

        while (i < h->n_bounds && value > h->bounds[i])
                i++;
        metric_add(&h->counts[i], 1);
        double sum = atomic_load_explicit(&h->sum, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(
                &h->sum, &sum, sum + value, memory_order_relaxed, memory_order_relaxed))
                ;
}
