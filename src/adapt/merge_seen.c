// What steps held, by adapter version, for the policy of merges. An entry's sums are forgotten when it is next looked
// at, so a step costs what its own adapters cost however many are remembered.
#include "adapt/merge.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"

#define N_CHAINS (2 * MERGE_SEEN_MAX)

// Sums over steps, each weighing e^(-age / window).
struct sums {
        double at; // when they were brought up to date
        double present[MERGE_WINDOWS], alone[MERGE_WINDOWS], rows[MERGE_WINDOWS];
};

struct entry {
        uint64_t version;
        struct sums sums;
        int16_t chain;        // the next with this hash, -1: none
        int16_t newer, older; // in the order of the last step that held it, -1: none
};

struct merge_seen {
        struct sums all; // present: any step; alone: with an adapter; rows: of everybody
        struct entry at[MERGE_SEEN_MAX];
        int n;
        int16_t newest, oldest;
        int16_t chains[N_CHAINS];
};

struct merge_seen *merge_seen_create(void)
{
        struct merge_seen *m = mem_zalloc(sizeof *m);

        m->newest = m->oldest = -1;
        memset(m->chains, 0xff, sizeof m->chains);
        return m;
}

void merge_seen_destroy(struct merge_seen *m)
{
        mem_free(m);
}

static int16_t *chain_of(struct merge_seen *m, uint64_t version)
{
        return &m->chains[map_hash(&version, sizeof version) % N_CHAINS];
}

static int find(const struct merge_seen *m, uint64_t version)
{
        int i = m->chains[map_hash(&version, sizeof version) % N_CHAINS];

        while (i >= 0 && m->at[i].version != version)
                i = m->at[i].chain;
        return i;
}

// What is left of each window's sums at a later moment. The windows' lengths are powers of 8 of each other.
static void left_of(double seconds, double left[MERGE_WINDOWS])
{
        double x = seconds > 0 ? exp(-seconds / merge_window_seconds(MERGE_LONG)) : 1;

        for (int w = MERGE_WINDOWS - 1; w >= 0; w--) {
                left[w] = x;
                x *= x, x *= x, x *= x;
        }
}

static void forget(struct sums *s, double now)
{
        double left[MERGE_WINDOWS];

        left_of(now - s->at, left);
        for (int w = 0; w < MERGE_WINDOWS; w++) {
                s->present[w] *= left[w];
                s->alone[w] *= left[w];
                s->rows[w] *= left[w];
        }
        s->at = fmax(s->at, now);
}

static void add(struct sums *s, double now, int present, int alone, int rows)
{
        forget(s, now);
        for (int w = 0; w < MERGE_WINDOWS; w++) {
                s->present[w] += present;
                s->alone[w] += alone;
                s->rows[w] += rows;
        }
}

static void unlink_entry(struct merge_seen *m, int i)
{
        struct entry *e = &m->at[i];

        *(e->newer >= 0 ? &m->at[e->newer].older : &m->newest) = e->older;
        *(e->older >= 0 ? &m->at[e->older].newer : &m->oldest) = e->newer;
}

static void link_newest(struct merge_seen *m, int i)
{
        m->at[i].newer = -1;
        m->at[i].older = m->newest;
        *(m->newest >= 0 ? &m->at[m->newest].newer : &m->oldest) = (int16_t)i;
        m->newest = (int16_t)i;
}

// An entry for a version that has none: a new one, or that of the version silent longest.
static int take(struct merge_seen *m, uint64_t version)
{
        int16_t *chain;
        int i = m->n;

        if (m->n < MERGE_SEEN_MAX) {
                m->n++;
        } else {
                i = m->oldest;
                unlink_entry(m, i);
                for (chain = chain_of(m, m->at[i].version); *chain != i; chain = &m->at[*chain].chain)
                        ;
                *chain = m->at[i].chain;
        }
        chain = chain_of(m, version);
        m->at[i] = (struct entry){.version = version, .chain = *chain};
        *chain = (int16_t)i;
        link_newest(m, i);
        return i;
}

void merge_seen_step(struct merge_seen *m, double now, const uint64_t *versions, const int *rows, int n)
{
        int total = 0, adapters = 0;

        for (int i = 0; i < n; i++) {
                total += rows[i];
                adapters += versions[i] != 0 && rows[i] > 0;
        }
        if (total == 0)
                return;
        add(&m->all, now, 1, adapters > 0, total);
        for (int i = 0; i < n; i++) {
                int at;

                if (versions[i] == 0 || rows[i] == 0)
                        continue;
                at = find(m, versions[i]);
                if (at < 0)
                        at = take(m, versions[i]);
                unlink_entry(m, at);
                link_newest(m, at);
                add(&m->at[at].sums, now, 1, rows[i] == total, rows[i]);
        }
}

void merge_seen_totals(const struct merge_seen *m, double now, struct merge_snapshot *s)
{
        struct sums all = m->all;

        forget(&all, now);
        for (enum merge_window w = 0; w < MERGE_WINDOWS; w++) {
                double steps = all.present[w];

                s->traffic[w] = (struct merge_traffic){0};
                if (steps > 0)
                        s->traffic[w] = (struct merge_traffic){.steps = steps / merge_window_seconds(w),
                                .rows = all.rows[w] / steps,
                                .patched = all.alone[w] / steps};
        }
}

void merge_seen_of(const struct merge_seen *m, double now, struct merge_candidate *c)
{
        struct sums all = m->all, of = {0};
        int i = find(m, c->version);

        if (i >= 0)
                of = m->at[i].sums;
        forget(&all, now);
        forget(&of, now);
        for (int w = 0; w < MERGE_WINDOWS; w++) {
                double steps = all.present[w];

                c->share[w] = (struct merge_share){0};
                if (steps > 0)
                        c->share[w] = (struct merge_share){.present = of.present[w] / steps,
                                .alone = of.alone[w] / steps,
                                .rows = of.rows[w] / steps};
        }
}

int merge_seen_versions(const struct merge_seen *m, double now, uint64_t *versions, int max)
{
        int n = 0;

        for (int i = m->newest; i >= 0 && n < max; i = m->at[i].older) {
                if (now - m->at[i].sums.at > merge_window_seconds(MERGE_LONG))
                        break;
                versions[n++] = m->at[i].version;
        }
        return n;
}
