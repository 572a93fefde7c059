#include "api/generation.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/answer.h"
#include "api/intake.h"
#include "api/reply.h"
#include "api/served.h"
#include "api/stream.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define LOST_NS 3000000000 // how long a request waits for its name to have a version that is there

// Birth and death
// -------------------------------------------------------------------------------------------------------------

static struct generation *create(struct api *api, struct http_exchange *x, const struct generation_form *form)
{
        struct generation *g = mem_zalloc(sizeof *g);
        uint64_t random[2] = {0};

        if (getrandom(random, sizeof random, 0) != sizeof random)
                random[0] = (uint64_t)clock_ns();
        g->api = api;
        g->exchange = x;
        g->form = form;
        g->created = clock_unix();
        g->arrived_ns = clock_ns();
        snprintf(g->id, sizeof g->id, "%s%016llx%016llx", form->id_prefix, (unsigned long long)random[0],
                (unsigned long long)random[1]);
        return g;
}

static void destroy(struct generation *g)
{
        intake_finish(g);
        mem_free(g);
}

static void count_in(struct generation *g)
{
        struct api *api = g->api;

        if (g->version != NULL)
                registry_begin(g->version);
        g->next = api->generations;
        g->link = &api->generations;
        if (g->next != NULL)
                g->next->link = &g->next;
        api->generations = g;
}

static const char *label_of(const struct generation *g)
{
        if (g->version == NULL)
                return API_BASE_LABEL;
        return g->version->entry->blend ? API_BLEND_LABEL : g->version->entry->name;
}

static void count_out(struct generation *g)
{
        struct api *api = g->api;
        struct traffic *t = counters_traffic(&api->counters, label_of(g));
        uint64_t n_prompt = 0, n_answer = 0;
        enum outcome outcome = OUTCOME_OK;

        for (int i = 0; i < g->n_choices; i++) {
                n_prompt += g->choices[i].first_of_prompt ? (uint64_t)g->choices[i].request.n_prompt : 0;
                n_answer += (uint64_t)g->choices[i].tokens.n;
                if (g->choices[i].failed)
                        outcome = OUTCOME_ERROR;
        }
        if (g->aborted)
                outcome = OUTCOME_CANCELLED;
        if (g->rejected) {
                outcome = OUTCOME_REJECTED;
                n_prompt = 0;
        }
        t->requests[outcome]++;
        t->prompt_tokens += n_prompt;
        t->completion_tokens += n_answer;
        metric_observe(&api->counters.request_seconds, (double)(clock_ns() - g->arrived_ns) * 1e-9);
        if (g->granted)
                registry_release(g->version);
        if (g->version != NULL)
                registry_end(g->version, n_prompt + n_answer);
        *g->link = g->next;
        if (g->next != NULL)
                g->next->link = g->link;
}

// All sequences have ended: the answer, if somebody still waits for it, and the end.
static void complete(struct generation *g)
{
        struct api *api = g->api;

        if (g->exchange != NULL && g->params.stream)
                stream_end(g);
        else if (g->exchange != NULL)
                answer_send(g);
        count_out(g);
        destroy(g);
        if (api->generations == NULL && api->idle != NULL)
                api->idle(api->idle_ctx);
}

// Control
// ----------------------------------------------------------------------------------------------------------------------

static void cancel(struct choice *c)
{
        atomic_store(&c->request.cancelled, true);
        dyn_engine_kick(c->generation->api->engine);
}

void generation_cancel(struct generation *g)
{
        for (int i = 0; i < g->n_submitted; i++)
                if (!g->choices[i].ended)
                        atomic_store(&g->choices[i].request.cancelled, true);
        dyn_engine_kick(g->api->engine);
}

void generation_hold(struct generation *g, bool held)
{
        if (g->held == held)
                return;
        g->held = held;
        for (int i = 0; i < g->n_submitted; i++)
                atomic_store(&g->choices[i].request.held, held);
        dyn_engine_kick(g->api->engine);
}

// The peer left. What runs is ended; the object goes with the last END.
static void on_abort(struct http_exchange *x, void *user)
{
        struct generation *g = user;

        g->exchange = NULL;
        g->aborted = true;
        if (g->wanting || g->retrying) {
                if (g->wanting)
                        resident_forget(&g->want);
                else
                        registry_retry_forget(&g->retry);
                g->wanting = g->retrying = false;
                complete(g);
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
                        complete(g);
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
        complete(g);
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

void generation_begin(struct api *api, struct http_exchange *x, const struct generation_form *form)
{
        struct problem p = {0};
        struct generation *g;
        size_t len;

        if (api_check_serving(api, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        g = create(api, x, form);
        const char *body = http_body(x, &len);
        if (intake_read(g, body, len, &p) != DYN_OK) {
                reply_problem(x, &p);
                destroy(g);
                return;
        }
        count_in(g);
        http_on_abort(x, on_abort, g);
        if (g->version != NULL)
                want_adapter(g);
        else
                start(g);
}

// Events
// -----------------------------------------------------------------------------------------------------------------------

static bool is_stop_id(const struct generation *g, int32_t id, int n)
{
        for (int i = 0; i < n; i++)
                if (g->stop_ids.ids[i] == id)
                        return true;
        return false;
}

static void observe(struct choice *c)
{
        struct counters *counters = &c->generation->api->counters;
        int64_t now = clock_ns(), before = c->token_ns ? c->token_ns : c->generation->arrived_ns;

        metric_observe(
                c->token_ns ? &counters->token_seconds : &counters->first_token_seconds, (double)(now - before) * 1e-9);
        c->token_ns = now;
}

// Characters of the text so far, for text_offset.
static size_t count_chars(struct choice *c)
{
        for (; c->counted < c->text.len; c->counted++)
                c->n_chars += ((unsigned char)c->text.data[c->counted] & 0xc0) != 0x80;
        return c->n_chars;
}

// After the text has grown beyond `seen`: ends it at a stop string, or settles what none can reach any more.
static void settle(struct choice *c, size_t seen)
{
        const struct generation *g = c->generation;
        struct stop_match m;

        if (stop_find(&g->stops, c->text.data, c->text.len, c->stop_from, seen, &m)) {
                c->finished = true;
                c->finish = "stop";
                c->stop_string = m.which;
                c->text.len = g->params.include_stop ? m.end : m.start;
                c->text.data[c->text.len] = 0;
                c->settled = c->text.len;
                return;
        }
        c->settled = c->text.len - stop_held(&g->stops, c->text.data, c->text.len, c->stop_from);
}

static void on_token(struct choice *c, const struct dyn_event *e)
{
        const struct generation *g = c->generation;
        size_t seen = c->text.len;

        if (c->finished)
                return;
        observe(c);
        if (g->params.n_logprobs >= 0)
                logprobs_push(&c->probs, e, count_chars(c));
        tokens_push(&c->tokens, e->token);
        if (g->params.include_stop || !is_stop_id(g, e->token, g->stop_ids.n))
                detok_push(&c->detok, e->token, &c->text);
        if (c->tokens.n <= g->params.min_tokens)
                c->stop_from = c->text.len;
        settle(c, seen);
        if (c->finished)
                cancel(c);
        if (g->params.stream)
                stream_progress(c);
}

// The engine's reason, unless a stop string was there first.
static void finish(struct choice *c, enum dyn_finish reason)
{
        const struct generation *g = c->generation;
        size_t seen = c->text.len;

        if (c->finished)
                return;
        detok_finish(&c->detok, &c->text);
        settle(c, seen);
        c->settled = c->text.len;
        if (c->finished)
                return;
        c->finished = true;
        c->finish = reason == DYN_FINISH_STOP ? "stop" : "length";
        c->failed = reason == DYN_FINISH_ERROR || (reason == DYN_FINISH_CANCELLED && !g->aborted && !g->rejected);
        if (reason == DYN_FINISH_STOP && c->tokens.n > 0) {
                int32_t last = c->tokens.ids[c->tokens.n - 1];

                c->stop_token = is_stop_id(g, last, g->n_own_stop_ids) ? last : -1;
        }
}

static void on_end(struct choice *c, const struct dyn_event *e)
{
        struct generation *g = c->generation;

        finish(c, e->finish);
        c->ended = true;
        c->cached_tokens = e->cached_tokens;
        g->n_ended++;
        if (g->params.stream && !c->failed)
                stream_finish(c);
        if (g->n_ended == g->n_submitted)
                complete(g);
}

// A prompt's characters are counted as its tokens come, so that offsets run on from the echo into the answer.
static void on_prompt(struct choice *c, const struct dyn_event *e)
{
        struct buf text = {0};

        logprobs_push(&c->prompt_probs, e, c->n_chars);
        if (c->generation->params.echo) {
                detok_push(&c->echo_detok, e->token, &text);
                for (size_t i = 0; i < text.len; i++)
                        c->n_chars += ((unsigned char)text.data[i] & 0xc0) != 0x80;
        }
        buf_free(&text);
}

// Which weights all choices were computed with so far.
static void note_mode(struct generation *g, const struct dyn_event *e)
{
        if (!g->has_mode) {
                g->mode = e->mode;
                memcpy(g->merged, e->merged, sizeof g->merged);
        } else if (g->mode != e->mode || strcmp(g->merged, e->merged) != 0) {
                g->mode = DYN_MODE_SWITCHED;
        }
        g->has_mode = true;
        if (g->mode == DYN_MODE_SWITCHED && g->switched == 0)
                g->switched = ++g->api->n_switched;
}

void generation_event(const struct dyn_event *e)
{
        struct choice *c = e->request->owner;

        if (e->kind == DYN_EVENT_TOKEN || (e->kind == DYN_EVENT_END && e->finish != DYN_FINISH_CANCELLED))
                note_mode(c->generation, e);
        switch (e->kind) {
        case DYN_EVENT_PROMPT:
                on_prompt(c, e);
                break;
        case DYN_EVENT_TOKEN:
                on_token(c, e);
                break;
        case DYN_EVENT_END:
                on_end(c, e);
                break;
        }
}
