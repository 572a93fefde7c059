#include "sched/census.h"

#include <string.h>

void census_init(struct census *c)
{
        c->seen = merge_seen_create();
}

void census_finish(struct census *c)
{
        merge_seen_destroy(c->seen);
}

// Where a version is or would be.
static int position(const struct census *c, uint64_t version)
{
        int low = 0, high = c->n_known;

        while (low < high) {
                int mid = (low + high) / 2;

                if (c->known[mid].version < version)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static bool is_at(const struct census *c, int i, uint64_t version)
{
        return i < c->n_known && c->known[i].version == version;
}

// Those that have fallen silent.
static void forget(struct census *c, double now)
{
        uint64_t versions[MERGE_SEEN_MAX];
        int n = merge_seen_versions(c->seen, now, versions, MERGE_SEEN_MAX), kept = 0;

        for (int i = 0; i < c->n_known; i++)
                for (int k = 0; k < n; k++)
                        if (versions[k] == c->known[i].version) {
                                c->known[kept++] = c->known[i];
                                break;
                        }
        c->n_known = kept;
}

void census_know(struct census *c, double now, uint64_t version, size_t bytes, size_t touched, bool barred)
{
        int at = position(c, version);

        if (is_at(c, at, version)) {
                c->known[at].barred = barred;
                return;
        }
        if (c->n_known == CENSUS_MAX) {
                forget(c, now);
                at = position(c, version);
        }
        memmove(c->known + at + 1, c->known + at, (size_t)(c->n_known - at) * sizeof *c->known);
        c->known[at] = (struct census_version){version, bytes, touched, barred};
        c->n_known++;
}

struct merge_candidate *census_find(const struct merge_snapshot *s, uint64_t version)
{
        for (int i = 0; i < s->n; i++)
                if (s->at[i].version == version)
                        return &s->at[i];
        return NULL;
}

struct merge_candidate *census_add(
        const struct census *c, double now, struct merge_snapshot *s, uint64_t version, size_t bytes, size_t touched)
{
        struct merge_candidate *at = census_find(s, version);

        if (at != NULL)
                return at;
        at = &s->at[s->n++];
        *at = (struct merge_candidate){.version = version, .bytes = bytes, .touched = touched};
        merge_seen_of(c->seen, now, at);
        return at;
}

void census_fill(const struct census *c, double now, struct merge_snapshot *s)
{
        uint64_t versions[MERGE_SEEN_MAX];
        int n = merge_seen_versions(c->seen, now, versions, MERGE_SEEN_MAX);

        for (int i = 0; i < n; i++) {
                int at = position(c, versions[i]);
                const struct census_version *known = &c->known[at];

                if (!is_at(c, at, versions[i]))
                        continue;
                struct merge_candidate *added = census_add(c, now, s, versions[i], known->bytes, known->touched);
                added->absent = true;
                added->barred = known->barred;
        }
        merge_seen_totals(c->seen, now, s);
}
