// Who knows the future: a trace is played once with nothing merged, and a dynamic programme over slices of its time
// finds what should have been merged when. It decides nothing else, and switches at the borders of slices alone.
#include "policy.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

#define SLICE  0.25
#define TOP    24 // adapters that are looked at: those with most rows
#define STATES (TOP + 1)

// A trace that is being recorded; one at a time.
struct record {
        const struct model *model;
        uint64_t top[STATES]; // top[0]: nothing
        int n_top, n_slices;
        double *rows; // (n_rows) of each version, in the first pass
        int n_rows;
        double (*gains)[STATES]; // (n_slices, STATES) seconds, in the second
};

static struct record *recorded;

static void *record_create(const struct view *v, double seconds)
{
        return recorded;
}

static void record_destroy(void *mind)
{
}

static int record_choose(void *mind, const struct view *v, int *chosen, uint64_t *merged)
{
        *merged = 0;
        return choose_oldest(v, chosen);
}

static void record_rows(void *mind, double now, const struct share *s, int n)
{
        struct record *r = mind;

        for (int i = 0; i < n; i++)
                if (s[i].version < (uint64_t)r->n_rows)
                        r->rows[s[i].version] += s[i].rows;
}

static void record_gains(void *mind, double now, const struct share *s, int n)
{
        struct record *r = mind;
        int slice = (int)(now / SLICE);

        for (int k = 1; k < r->n_top && slice < r->n_slices; k++)
                r->gains[slice][k] += model_patches(r->model, s, n, 0) - model_patches(r->model, s, n, r->top[k]);
}

static const struct strategy recording_rows = {"", false, record_create, record_destroy, record_choose, record_rows};
static const struct strategy recording_gains = {"", false, record_create, record_destroy, record_choose, record_gains};

static void find_top(struct record *r)
{
        for (r->n_top = 1; r->n_top < STATES; r->n_top++) {
                int most = 0;

                for (int i = 1; i < r->n_rows; i++)
                        if (r->rows[i] > (most ? r->rows[most] : 0))
                                most = i;
                if (most == 0)
                        break;
                r->top[r->n_top] = (uint64_t)most;
                r->rows[most] = 0;
        }
}

struct plan {
        uint64_t *merged; // (n_slices)
        int n;
};

// Bellman, forward: the best that ends in each state, and where it came from.
static struct plan solve(const struct record *r)
{
        struct plan p = {mem_array((size_t)r->n_slices, sizeof *p.merged), r->n_slices};
        unsigned char(*from)[STATES] = mem_array((size_t)r->n_slices, sizeof *from);
        double best[STATES] = {0}, merge = model_merge(r->model), restore = model_restore(r->model);
        int state = 0;

        for (int k = 1; k < r->n_top; k++)
                best[k] = -INFINITY;
        for (int t = 0; t < r->n_slices; t++) {
                double next[STATES];

                for (int k = 0; k < r->n_top; k++) {
                        next[k] = -INFINITY;
                        for (int j = 0; j < r->n_top; j++) {
                                double cost = j == k ? 0 : (k ? merge : 0) + (j ? restore : 0);

                                if (best[j] - cost > next[k]) {
                                        next[k] = best[j] - cost;
                                        from[t][k] = (unsigned char)j;
                                }
                        }
                        next[k] += r->gains[t][k];
                }
                memcpy(best, next, sizeof best);
        }
        for (int k = 1; k < r->n_top; k++)
                state = best[k] > best[state] ? k : state;
        for (int t = r->n_slices - 1; t >= 0; t--) {
                p.merged[t] = r->top[state];
                state = from[t][state];
        }
        mem_free(from);
        return p;
}

static void *oracle_create(const struct view *v, double seconds)
{
        struct plan *plan = mem_zalloc(sizeof *plan);
        struct record r = {
                .model = v->model, .n_rows = v->trace->n_adapters + 1, .n_slices = (int)(1.5 * seconds / SLICE)};

        r.rows = mem_array((size_t)r.n_rows, sizeof *r.rows);
        r.gains = mem_array((size_t)r.n_slices, sizeof *r.gains);
        recorded = &r;
        server_play(v->model, v->trace, &recording_rows, seconds);
        find_top(&r);
        server_play(v->model, v->trace, &recording_gains, seconds);
        recorded = NULL;
        *plan = solve(&r);
        mem_free(r.rows);
        mem_free(r.gains);
        return plan;
}

static void oracle_destroy(void *mind)
{
        struct plan *p = mind;

        mem_free(p->merged);
        mem_free(p);
}

static int oracle_choose(void *mind, const struct view *v, int *chosen, uint64_t *merged)
{
        const struct plan *p = mind;
        int slice = (int)(v->now / SLICE);

        *merged = p->merged[slice < p->n ? slice : p->n - 1];
        return choose_oldest(v, chosen);
}

const struct strategy strategy_oracle = {"oracle", false, oracle_create, oracle_destroy, oracle_choose, NULL};
