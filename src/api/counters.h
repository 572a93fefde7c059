// What this room counts for the metrics page: requests by adapter and outcome, answers by route and status, and how
// long clients wait. The loop thread writes and reads.
#ifndef DYNLORA_API_COUNTERS_H
#define DYNLORA_API_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "metrics/metrics.h"

enum outcome {
        OUTCOME_OK,
        OUTCOME_CANCELLED, // the client left
        OUTCOME_REJECTED,  // the queue was full
        OUTCOME_ERROR,
        N_OUTCOMES,
};

// One adapter, by name.
struct traffic {
        char *adapter;
        uint64_t requests[N_OUTCOMES];
        uint64_t prompt_tokens, completion_tokens;
};

// One route and status.
struct answered {
        const char *route; // its pattern; static
        int status;
        uint64_t n;
};

struct counters {
        struct traffic *traffic; // (n_traffic)
        int n_traffic;
        struct answered *answered; // (n_answered)
        int n_answered;
        struct metric_histogram first_token_seconds; // from the request's arrival to its first token
        struct metric_histogram token_seconds;       // from one token of an answer to the next
        struct metric_histogram request_seconds;     // from arrival to the end of the answer
};

void counters_init(struct counters *);
void counters_finish(struct counters *);

// The row of that adapter ("base" is the base), made if there is none yet.
struct traffic *counters_traffic(struct counters *, const char *adapter);

// Forgets the adapters for which keep answers false, so that names that come and go do not pile up.
void counters_forget(struct counters *, bool (*keep)(void *ctx, const char *adapter), void *ctx);

void counters_answer(struct counters *, const char *route, int status);

void counters_print(const struct counters *, struct buf *out);

#endif
