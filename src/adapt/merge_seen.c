// What steps held, by adapter version, for the policy of merges. An entry's sums are forgotten when it is next looked
// at, so a step costs what its own adapters cost however many are remembered.
#include "adapt/merge.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"

#define N_CHAINS    (2 * MERGE_SEEN_MAX)
#define LEAST_STEPS 1e-9 // when less than that is left of all steps, nothing was seen: a mean of crumbs is noise

// Sums over steps.
struct sums {
        double steps; // of all: any step; of a version: with rows of it
        double only;  // of a version: with no other adapter's rows
        double alone; // of a version: with no other rows
        double rows;
};

struct entry {
        uint64_t version;
        struct sums sums; // each step weighing e^(-age / horizon), at `at`
        double at;
        struct sums lately; // since the last weighing
        double missed;
        bool weighed;         // in this weighing
        int16_t chain;        // the next with this hash, -1: none
        int16_t newer, older; // in the order of the last step that held it, -1: none
};

struct merge_seen {
        struct entry all;
        struct entry of[MERGE_SEEN_MAX];
        int n;
        int16_t newest, oldest;
        int16_t chains[N_CHAINS];
        uint64_t merged; // at the last weighing
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

        while (i >= 0 && m->of[i].version != version)
                i = m->of[i].chain;
        return i;
}

static struct sums sums_at(const struct entry *e, double now)
{
        double left = exp(-fmax(now - e->at, 0) / MERGE_HORIZON);

        return (struct sums){e->sums.steps * left, e->sums.only * left, e->sums.alone * left, e->sums.rows * left};
}

static void add_step(struct sums *s, bool only, bool alone, int rows)
{
        s->steps++;
        s->only += only;
        s->alone += alone;
        s->rows += rows;
}

static void add(struct entry *e, double now, bool only, bool alone, int rows)
{
        e->sums = sums_at(e, now);
        e->at = fmax(e->at, now);
        add_step(&e->sums, only, alone, rows);
        add_step(&e->lately, only, alone, rows);
}

static void unlink_entry(struct merge_seen *m, int i)
{
        struct entry *e = &m->of[i];

        *(e->newer >= 0 ? &m->of[e->newer].older : &m->newest) = e->older;
        *(e->older >= 0 ? &m->of[e->older].newer : &m->oldest) = e->newer;
}

static void link_newest(struct merge_seen *m, int i)
{
        m->of[i].newer = -1;
        m->of[i].older = m->newest;
        *(m->newest >= 0 ? &m->of[m->newest].newer : &m->oldest) = (int16_t)i;
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
                for (chain = chain_of(m, m->of[i].version); *chain != i; chain = &m->of[*chain].chain)
                        ;
                *chain = m->of[i].chain;
        }
        chain = chain_of(m, version);
        m->of[i] = (struct entry){.version = version, .chain = *chain};
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
        add(&m->all, now, false, false, total);
        for (int i = 0; i < n; i++) {
                int at;

                if (versions[i] == 0 || rows[i] == 0)
                        continue;
                at = find(m, versions[i]);
                if (at < 0)
                        at = take(m, versions[i]);
                unlink_entry(m, at);
                link_newest(m, at);
                add(&m->of[at], now, adapters == 1, rows[i] == total, rows[i]);
        }
}

static void fill_totals(struct merge_snapshot *s, struct sums all, double seconds)
{
        bool any = all.steps > LEAST_STEPS;

        s->steps = any ? all.steps / seconds : 0;
        s->rows = any ? all.rows / all.steps : 0;
}

static void fill_candidate(struct merge_candidate *c, struct sums of, struct sums all)
{
        bool any = all.steps > LEAST_STEPS;

        c->present = any ? of.steps / all.steps : 0;
        c->only = any ? of.only / all.steps : 0;
        c->alone = any ? of.alone / all.steps : 0;
        c->rows = any ? of.rows / all.steps : 0;
}

void merge_seen_totals(const struct merge_seen *m, double now, struct merge_snapshot *s)
{
        fill_totals(s, sums_at(&m->all, now), MERGE_HORIZON);
}

void merge_seen_of(const struct merge_seen *m, double now, struct merge_candidate *c)
{
        int i = find(m, c->version);

        fill_candidate(c, i < 0 ? (struct sums){0} : sums_at(&m->of[i], now), sums_at(&m->all, now));
}

static void forget_missed(struct merge_seen *m, uint64_t merged)
{
        m->merged = merged;
        m->all.missed = 0;
        for (int i = 0; i < m->n; i++)
                m->of[i].missed = 0;
}

// What the steps since the last weighing would have saved with the candidate merged, against nothing.
static double saved_lately(const struct merge_seen *m, const struct merge_snapshot *s, const struct merge_candidate *c)
{
        struct merge_snapshot lately = {.costs = s->costs};
        struct merge_candidate of = *c;
        int i = find(m, c->version);

        fill_totals(&lately, m->all.lately, 1);
        fill_candidate(&of, i < 0 ? (struct sums){0} : m->of[i].lately, m->all.lately);
        return merge_gain(&lately, &of) * lately.steps;
}

static double within(double x, double most)
{
        return fmin(fmax(x, 0), most);
}

void merge_seen_weigh(struct merge_seen *m, struct merge_snapshot *s)
{
        double saved = 0;
        const struct merge_candidate *from = NULL;

        if (s->merged != m->merged)
                forget_missed(m, s->merged);
        for (int i = 0; i < s->n && s->merged; i++)
                if (s->at[i].version == s->merged)
                        from = &s->at[i];
        if (from) {
                saved = saved_lately(m, s, from);
                m->all.missed = within(m->all.missed - saved, merge_needed(s, NULL, from));
        }
        s->missed = m->all.missed;
        for (int i = 0; i < s->n; i++) {
                struct merge_candidate *c = &s->at[i];
                int at = find(m, c->version);

                c->missed = 0;
                if (at < 0 || c == from)
                        continue;
                c->missed = m->of[at].missed + saved_lately(m, s, c) - saved;
                c->missed = m->of[at].missed = within(c->missed, merge_needed(s, c, from));
                m->of[at].weighed = true;
        }
        for (int i = 0; i < m->n; i++) { // who is no candidate misses nothing
                struct entry *e = &m->of[i];

                e->missed = e->weighed ? e->missed : 0;
                e->weighed = false;
                e->lately = (struct sums){0};
        }
        m->all.lately = (struct sums){0};
}

int merge_seen_versions(const struct merge_seen *m, double now, uint64_t *versions, int max)
{
        int n = 0;

        for (int i = m->newest; i >= 0 && n < max && now - m->of[i].at <= MERGE_MEMORY; i = m->of[i].older)
                versions[n++] = m->of[i].version;
        return n;
}
