// A server with continuous batching, step by step: who waits enters, the strategy says who runs and what is merged, the
// step takes as long as the model says, and a switch goes on in slices beside it.
#include "policy.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

struct switching {
        uint64_t is;   // lies in the weights, or partly
        double part;   // of its sites, 0 to 1
        uint64_t want; // what should be merged
        double began;  // the last merge
        int merges;
        double crowding;
};

struct server {
        const struct model *model;
        const struct trace *trace;
        const struct strategy *strategy;
        void *mind; // the strategy's own
        double seconds, now;
        struct live *live; // (n), by arrival
        int n, room;
        struct arrivals arrivals; // of an open trace
        int arrived;
        struct rng *clients; // (n_clients) of a closed one
        int n_clients;
        struct switching sw;
        double *latencies; // (n_done)
        int n_done;
        double tokens, wait;
};

static void enter(struct server *s, struct request r, int client)
{
        if (s->n == s->room) {
                s->room = s->room ? 2 * s->room : 64;
                s->live = mem_realloc(s->live, sizeof *s->live * (size_t)s->room);
        }
        s->live[s->n++] =
                (struct live){.r = r, .client = client, .prompt = r.prompt, .answer = r.answer, .moved = r.arrived};
}

static void arrive(struct server *s)
{
        while (s->arrived < s->arrivals.n && s->arrivals.at[s->arrived].arrived <= s->now)
                enter(s, s->arrivals.at[s->arrived++], 0);
}

static void ask_again(struct server *s, int client)
{
        enter(s, trace_request(s->trace, &s->clients[client], client, s->now, s->sw.want), client);
}

static void want(struct server *s, uint64_t version)
{
        if (version && version != s->sw.want) {
                if (s->sw.merges++)
                        s->sw.crowding = fmin(s->sw.crowding, s->now - s->sw.began);
                s->sw.began = s->now;
        }
        s->sw.want = version;
}

// Works at the switch for at most that long; returns how long it did.
static double work(struct server *s, double seconds)
{
        double done = 0, merge = model_merge(s->model);
        double restore = s->strategy->stops ? s->model->subtract : model_restore(s->model);

        while (done < seconds) {
                bool forth = s->sw.is == s->sw.want || s->sw.part == 0;
                double way, did;

                if (forth)
                        s->sw.is = s->sw.want;
                if (forth && (s->sw.is == 0 || s->sw.part == 1))
                        break;
                way = forth ? (1 - s->sw.part) * merge : s->sw.part * restore;
                did = fmin(way, seconds - done);
                done += did;
                if (did >= way)
                        s->sw.part = forth;
                else
                        s->sw.part += forth ? did / merge : -did / restore;
        }
        return done;
}

// The rows of the chosen, by version; each gets a row of its answer or as much of its prompt as the step holds.
static int lay_out(struct server *s, const int *chosen, int n, int *rows, struct share *shares)
{
        int room = STEP_TOKENS, n_shares = 0;

        for (int i = 0; i < n; i++) // answers first
                room -= rows[i] = s->live[chosen[i]].prompt == 0;
        for (int i = 0; i < n; i++) {
                const struct live *l = &s->live[chosen[i]];

                if (l->prompt)
                        room -= rows[i] = l->prompt < room ? l->prompt : room;
                for (int j = 0; rows[i] && j <= n_shares; j++) {
                        if (j == n_shares)
                                shares[n_shares++] = (struct share){l->r.version, 0};
                        if (shares[j].version == l->r.version) {
                                shares[j].rows += rows[i];
                                break;
                        }
                }
        }
        return n_shares;
}

static void finish(struct server *s, const struct live *l)
{
        if ((s->n_done & (s->n_done - 1)) == 0)
                s->latencies = mem_realloc(s->latencies, sizeof(double) * (s->n_done ? 2 * (size_t)s->n_done : 1));
        s->latencies[s->n_done++] = s->now - l->r.arrived;
}

// The step was made: answers grow, those that are complete leave, and their clients ask again, behind all others.
static void move(struct server *s, const int *chosen, int n, const int *rows)
{
        int asking[MAX_ROWS], n_asking = 0, kept = 0;

        for (int i = 0; i < n; i++) {
                struct live *l = &s->live[chosen[i]];

                if (rows[i] == 0)
                        continue;
                s->wait = fmax(s->wait, s->now - l->moved);
                l->moved = s->now;
                l->prompt -= l->prompt ? rows[i] : 0;
                l->answer -= l->prompt == 0; // the last row of a prompt gives the first token
                s->tokens += l->prompt == 0;
        }
        for (int i = 0; i < s->n; i++) {
                if (s->live[i].answer > 0) {
                        s->live[kept++] = s->live[i];
                } else {
                        finish(s, &s->live[i]);
                        asking[n_asking++] = s->live[i].client;
                }
        }
        s->n = kept;
        for (int i = 0; s->n_clients && i < n_asking; i++)
                ask_again(s, asking[i]);
}

// What adapters add to the step while a part of the sites is switched.
static double patches_of(const struct server *s, const struct share *shares, int n)
{
        double part = s->sw.part;

        return (1 - part) * model_patches(s->model, shares, n, 0) + part * model_patches(s->model, shares, n, s->sw.is);
}

static void step(struct server *s)
{
        struct view view = {s->now, s->model, s->trace, s->live, s->n};
        struct share shares[MAX_ROWS];
        int chosen[MAX_ROWS], rows[MAX_ROWS], n, n_shares, total = 0;
        uint64_t merged = s->sw.want;
        double base, patches;

        n = s->strategy->choose(s->mind, &view, chosen, &merged);
        want(s, merged);
        n_shares = lay_out(s, chosen, n, rows, shares);
        for (int i = 0; i < n; i++)
                total += rows[i];
        base = model_base(s->model, total);
        if (s->strategy->stops)
                s->now += work(s, INFINITY);
        patches = patches_of(s, shares, n_shares);
        s->now += base + patches + work(s, base); // a slice is at most as long as the step
        if (s->strategy->ran)
                s->strategy->ran(s->mind, s->now, shares, n_shares);
        move(s, chosen, n, rows);
}

static void begin(struct server *s)
{
        if (s->trace->crowd > 0) {
                s->n_clients = (int)fmax(1, s->trace->crowd * s->model->max_rows);
                s->clients = mem_array((size_t)s->n_clients, sizeof *s->clients);
                for (int i = 0; i < s->n_clients; i++) {
                        s->clients[i].state = (uint64_t)i + 1;
                        ask_again(s, i);
                }
        } else {
                s->arrivals = trace_arrivals(s->trace, s->model, s->seconds);
        }
}

static int in_order(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static struct outcome outcome_of(struct server *s)
{
        struct outcome o = {.tokens = s->tokens / s->now, .merges = s->sw.merges, .crowding = s->sw.crowding};

        for (int i = 0; i < s->n; i++) // who still stands there when time is up
                s->wait = fmax(s->wait, s->now - s->live[i].moved);
        o.wait = s->wait;
        if (s->n_done) {
                qsort(s->latencies, (size_t)s->n_done, sizeof(double), in_order);
                o.p99 = s->latencies[s->n_done * 99 / 100];
        }
        return o;
}

struct outcome server_play(
        const struct model *model, const struct trace *trace, const struct strategy *strategy, double seconds)
{
        struct server s = {
                .model = model, .trace = trace, .strategy = strategy, .seconds = seconds, .sw.crowding = INFINITY};
        struct view view = {.model = model, .trace = trace};
        struct outcome o;

        s.mind = strategy->create(&view, seconds);
        begin(&s);
        while (s.n_clients ? s.now < seconds : s.n > 0 || s.arrived < s.arrivals.n) {
                arrive(&s);
                if (s.n > 0) {
                        step(&s);
                } else {
                        double idle = s.arrivals.at[s.arrived].arrived - s.now;

                        work(&s, idle);
                        s.now += idle;
                }
        }
        o = outcome_of(&s);
        strategy->destroy(s.mind);
        mem_free(s.live);
        mem_free(s.arrivals.at);
        mem_free(s.clients);
        mem_free(s.latencies);
        return o;
}
