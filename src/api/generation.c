#include "api/generation.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "api/answer.h"
#include "api/intake.h"
#include "api/stream.h"
#include "base/alloc.h"
#include "base/clock.h"

// Birth and death
// -------------------------------------------------------------------------------------------------------------

struct generation *generation_create(struct api *api, struct http_exchange *x, const struct generation_form *form)
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
        g->next = api->generations;
        g->link = &api->generations;
        if (g->next != NULL)
                g->next->link = &g->next;
        api->generations = g;
        api_call_begins(api);
        return g;
}

static const char *label_of(const struct generation *g)
{
        if (g->version == NULL)
                return API_BASE_LABEL;
        return g->version->entry->blend ? API_BLEND_LABEL : g->version->entry->name;
}

// For the metrics; returns its tokens.
static uint64_t count(const struct generation *g)
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
        return n_prompt + n_answer;
}

static void destroy(struct generation *g)
{
        struct api *api = g->api;
        uint64_t n_tokens = g->accepted ? count(g) : 0;

        if (g->granted)
                registry_release(g->version);
        if (g->version != NULL)
                registry_end(g->version, n_tokens);
        *g->link = g->next;
        if (g->next != NULL)
                g->next->link = g->link;
        intake_finish(g);
        mem_free(g);
        api_call_ends(api);
}

static void write_answer(struct desk_job *job)
{
        answer_write(generation_of(job));
}

static void send_answer(struct desk_job *job)
{
        struct generation *g = generation_of(job);

        g->at_desk = false;
        if (g->exchange != NULL)
                answer_send(g);
        destroy(g);
}

void generation_complete(struct generation *g)
{
        if (g->exchange != NULL && g->params.stream)
                stream_end(g);
        if (g->exchange == NULL) {
                destroy(g);
                return;
        }
        g->job = (struct desk_job){.work = write_answer, .done = send_answer, .bytes = answer_work(g), .goes_on = true};
        g->at_desk = true;
        desk_do(g->api->desk, &g->job);
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

// After the text has grown: ends it at a stop string, or settles what none can reach any more.
static void settle(struct choice *c)
{
        const struct generation *g = c->generation;
        struct stop_match m;

        if (stop_find(&g->stops, &c->scan, c->text.data, c->text.len, c->stop_from, &m)) {
                c->finished = true;
                c->finish = "stop";
                c->stop_string = m.which;
                c->text.len = g->params.include_stop ? m.end : m.start;
                c->text.data[c->text.len] = 0;
                c->settled = c->text.len;
                return;
        }
        c->settled = c->text.len - stop_held(&g->stops, &c->scan);
}

static void on_token(struct choice *c, const struct dyn_event *e)
{
        const struct generation *g = c->generation;

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
        settle(c);
        if (c->finished)
                cancel(c);
        if (g->params.stream)
                stream_progress(c);
}

// The engine's reason, unless a stop string was there first.
static void finish(struct choice *c, enum dyn_finish reason)
{
        const struct generation *g = c->generation;

        if (c->finished)
                return;
        detok_finish(&c->detok, &c->text);
        settle(c);
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
                generation_complete(g);
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
