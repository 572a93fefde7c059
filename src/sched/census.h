// Who may be merged: the versions that traffic was seen for, with what the policy asks of each. A version is remembered
// by numbers alone, since it may be gone when nobody uses it. Engine thread.
#ifndef DYNLORA_SCHED_CENSUS_H
#define DYNLORA_SCHED_CENSUS_H

#include "adapt/merge.h"

#define CENSUS_MAX 1024

struct census {
        struct merge_seen *seen;
        struct census_version {
                uint64_t version;
                size_t bytes, touched; // as in struct merge_candidate
                bool barred;           // when it was last in use
        } known[CENSUS_MAX];           // (n_known), ascending
        int n_known;
};

void census_init(struct census *);
void census_finish(struct census *);

// A version that is in use: remembers what it is like.
void census_know(struct census *, double now, uint64_t version, size_t bytes, size_t touched, bool barred);

// Adds every version seen of late to the candidates, at most MERGE_SEEN_MAX, as absent, and fills in the traffic.
void census_fill(const struct census *, double now, struct merge_snapshot *);

// The candidate of a version, NULL if there is none.
struct merge_candidate *census_find(const struct merge_snapshot *, uint64_t version);

// Adds one if it is not there yet.
struct merge_candidate *census_add(
        const struct census *, double now, struct merge_snapshot *, uint64_t version, size_t bytes, size_t touched);

#endif
