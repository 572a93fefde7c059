// The way of an inference call into the engine: its body is read at the desk, its version chosen and counted in, its
// prompts encoded at the desk, and its sequences submitted once the version is on the device.
#include <stddef.h>

#include "api/generation.h"
#include "api/intake.h"
#include "api/reply.h"
#include "api/served.h"
#include "api/stream.h"
#include "base/clock.h"

#define LOST_NS 3000000000 // how long a request waits for its name to have a version that is there

// Leaving
// -----------------------------------------------------------------------------------------------------------------

// The peer left. What runs is ended; the object goes with the last END.
static void on_abort(struct http_exchange *x, void *user)
{
        struct generation *g = user;

        g->exchange = NULL;
        g->aborted = true;
        if (g->at_desk) {
                if (desk_forget(g->api->desk, &g->job))
                        generation_complete(g);
                return;
        }
        if (g->wanting || g->retrying) {
                if (g->wanting)
                        resident_forget(&g->want);
                else
                        registry_retry_forget(&g->retry);
                g->wanting = g->retrying = false;
                generation_complete(g);
                return;
        }
        generation_cancel(g);
}

static void refuse(struct generation *g, const struct problem *p)
{
        reply_problem(g->exchange, p);
        g->exchange = NULL;
}

// The engine takes all sequences or none: what it took before it said no is cancelled.
static bool submit(struct generation *g, struct problem *p)
{
        while (g->n_submitted < g->n_choices) {
                struct choice *c = &g->choices[g->n_submitted];

                if (dyn_engine_submit(g->api->engine, &c->request, &p->err) != DYN_OK) {
                        problem_of(p, NULL, p->err.status == DYN_BUSY ? "queue_full" : NULL);
                        g->rejected = true;
                        generation_cancel(g);
                        return false;
                }
                g->n_submitted++;
        }
        return true;
}

// Into the engine, now that its adapter is on the device.
static void start(struct generation *g)
{
        struct problem p = {0};

        if (!submit(g, &p)) {
                refuse(g, &p);
                if (g->n_submitted == 0)
                        generation_complete(g);
                return;
        }
        if (g->params.stream)
                stream_begin(g);
}

static void want_adapter(struct generation *g);

// It ends before it has begun.
static void refuse_early(struct generation *g, const struct problem *p)
{
        refuse(g, p);
        generation_complete(g);
}

// By the same words of the request, which can mean another version by now, or none.
static void choose_again(struct retry *retry)
{
        struct generation *g = (struct generation *)((char *)retry - offsetof(struct generation, retry));
        struct adapter_version *before = g->version, *now;
        struct problem p = {0};

        g->retrying = false;
        if (served_by(g->api->registry, g->api->base, &g->params, &now, &p) != DYN_OK) {
                refuse_early(g, &p);
                return;
        }
        if (now != before) {
                registry_begin(now);
                registry_end(before, 0);
                g->version = now;
                for (int i = 0; i < g->n_choices; i++)
                        g->choices[i].request.adapter = now->adapter;
        }
        want_adapter(g);
}

// A version whose folder has changed is no reason to fail: the name has another, or none, and that is the answer.
static bool try_again(struct generation *g, enum dyn_status st)
{
        int64_t now = clock_ns();

        if (st == DYN_BUSY || st == DYN_NO_MEMORY)
                return false;
        if (g->lost_ns == 0)
                g->lost_ns = now;
        g->retry.again = choose_again;
        g->retrying = now - g->lost_ns < LOST_NS && registry_retry(g->api->registry, &g->retry);
        return g->retrying;
}

static void on_granted(struct want *w, enum dyn_status st, const struct dyn_error *error)
{
        struct generation *g = (struct generation *)((char *)w - offsetof(struct generation, want));
        struct problem p = {.about = ABOUT_SERVER};

        g->wanting = false;
        g->granted = st == DYN_OK;
        if (g->granted) {
                start(g);
                return;
        }
        if (try_again(g, st))
                return;
        p.err = *error;
        problem_of(&p, "adapter", "adapter_unavailable");
        refuse_early(g, &p);
}

// Those who wait for an adapter to come count against the queue like those who wait for a row.
static void want_adapter(struct generation *g)
{
        struct api *api = g->api;
        struct problem p = {0};

        if (registry_totals(api->registry).resident.waiting >= api->max_queue) {
                dyn_fail(&p.err, DYN_BUSY, "%d requests wait already: try again later", api->max_queue);
                problem_of(&p, NULL, "queue_full");
                g->rejected = true;
                refuse_early(g, &p);
                return;
        }
        g->wanting = true;
        g->want.granted = on_granted;
        registry_want(g->version, &g->want);
}

// Reading
// -----------------------------------------------------------------------------------------------------------------

// What ends a call between two pieces of work: a client that left, or something wrong with its body.
static bool ends_early(struct generation *g)
{
        g->at_desk = false;
        if (g->exchange != NULL && g->problem.err.status != DYN_OK)
                refuse(g, &g->problem);
        if (g->exchange != NULL)
                return false;
        generation_complete(g);
        return true;
}

static void put_on_desk(struct generation *g, void (*work)(struct desk_job *), void (*done)(struct desk_job *))
{
        g->job = (struct desk_job){.work = work, .done = done, .bytes = g->body_bytes, .goes_on = g->body != NULL};
        g->at_desk = true;
        desk_do(g->api->desk, &g->job);
}

static void encode(struct desk_job *job)
{
        struct generation *g = generation_of(job);

        intake_encode(g, &g->problem);
}

static void on_encoded(struct desk_job *job)
{
        struct generation *g = generation_of(job);

        if (ends_early(g))
                return;
        g->accepted = true;
        if (g->version != NULL)
                want_adapter(g);
        else
                start(g);
}

static void parse(struct desk_job *job)
{
        struct generation *g = generation_of(job);

        intake_parse(g, &g->problem);
}

// From here on it holds its version, whatever the name points to by the time that its prompts are encoded.
static void on_parsed(struct desk_job *job)
{
        struct generation *g = generation_of(job);
        struct adapter_version *version;

        if (g->exchange != NULL && g->problem.err.status == DYN_OK &&
                served_by(g->api->registry, g->api->base, &g->params, &version, &g->problem) == DYN_OK &&
                version != NULL) {
                registry_begin(version);
                g->version = version;
        }
        if (!ends_early(g))
                put_on_desk(g, encode, on_encoded);
}

void generation_begin(struct api *api, struct http_exchange *x, const struct generation_form *form)
{
        struct problem p = {0};
        struct buf text;

        if (api_check_serving(api, x, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        if (api_take_body(api, x, &text, &p) != DYN_OK) { // whom it names is not known
                counters_traffic(&api->counters, API_BASE_LABEL)->requests[OUTCOME_REJECTED]++;
                reply_problem(x, &p);
                return;
        }
        struct generation *g = generation_create(api, x, form);
        g->text = text;
        g->body_bytes = text.len;
        http_on_abort(x, on_abort, g);
        put_on_desk(g, parse, on_parsed);
}
