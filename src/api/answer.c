#include "api/answer.h"

#include <stdio.h>

#include "api/reply.h"

void answer_headers(const struct generation *g)
{
        http_add_header(g->exchange, "x-dynlora-adapter", g->version ? g->version->entry->name : API_BASE_LABEL);
}

// The same fingerprint, seed and request give the same answer: where the weights changed on the way, none is like it.
static void write_fingerprint(struct writer *w, const struct generation *g)
{
        const char *base = g->api->fingerprint;
        char text[sizeof g->api->fingerprint + 32];

        if (!g->has_mode) {
                writer_member_null(w, "system_fingerprint");
                return;
        }
        if (g->mode == DYN_MODE_PER_ROW)
                snprintf(text, sizeof text, "%s-per-row", base);
        else if (g->mode == DYN_MODE_MERGED)
                snprintf(text, sizeof text, "%s-merged-%s", base, g->merged);
        else
                snprintf(text, sizeof text, "%s-switched-%llu", base, (unsigned long long)g->switched);
        writer_member_string(w, "system_fingerprint", text);
}

void answer_head(struct writer *w, const struct generation *g, const char *object)
{
        writer_open(w, '{');
        writer_member_string(w, "id", g->id);
        writer_member_string(w, "object", object);
        writer_member_int(w, "created", g->created);
        writer_member_string(w, "model", api_served_name(g->api, g->version));
        writer_key(w, "adapter");
        api_write_adapter(w, g->version);
        write_fingerprint(w, g);
}

void answer_usage(struct writer *w, const struct generation *g)
{
        int64_t n_prompt = 0, n_answer = 0, n_cached = 0;

        for (int i = 0; i < g->n_choices; i++) {
                const struct choice *c = &g->choices[i];

                n_answer += c->tokens.n;
                if (c->first_of_prompt) {
                        n_prompt += c->request.n_prompt;
                        n_cached += c->cached_tokens;
                }
        }
        writer_key(w, "usage");
        writer_open(w, '{');
        writer_member_int(w, "prompt_tokens", n_prompt);
        writer_member_int(w, "completion_tokens", n_answer);
        writer_member_int(w, "total_tokens", n_prompt + n_answer);
        writer_key(w, "prompt_tokens_details");
        writer_open(w, '{');
        writer_member_int(w, "cached_tokens", n_cached);
        writer_close(w, '}');
        writer_close(w, '}');
}

void answer_choice_finish(struct writer *w, const struct choice *c, const struct slice *s)
{
        writer_member_string(w, "finish_reason", s->ends ? c->finish : NULL);
        writer_key(w, "stop_reason");
        if (s->ends && c->stop_string >= 0)
                writer_string(w, c->generation->stops.strings[c->stop_string]);
        else if (s->ends && c->stop_token >= 0)
                writer_int(w, c->stop_token);
        else
                writer_null(w);
}

static void write_ids(struct writer *w, const char *key, const int32_t *ids, size_t n)
{
        writer_key(w, key);
        writer_open(w, '[');
        for (size_t i = 0; i < n; i++)
                writer_int(w, ids[i]);
        writer_close(w, ']');
}

void answer_choice_ids(struct writer *w, const struct choice *c, const struct slice *s)
{
        if (c->generation->params.return_token_ids)
                write_ids(w, "token_ids", c->tokens.ids ? c->tokens.ids + s->first_token : NULL,
                        s->end_token - s->first_token);
}

void answer_prompt(struct writer *w, const struct choice *c)
{
        const struct params *params = &c->generation->params;

        if (!c->first_of_prompt)
                return;
        if (params->return_token_ids)
                write_ids(w, "prompt_token_ids", c->request.prompt, (size_t)c->request.n_prompt);
        if (params->n_prompt_logprobs >= 0) {
                struct logprobs_style style = answer_style(c->generation);

                style.n_top = (int)params->n_prompt_logprobs;
                writer_key(w, "prompt_logprobs");
                logprobs_write_prompt(w, &c->prompt_probs, &style);
        }
}

struct logprobs_style answer_style(const struct generation *g)
{
        return (struct logprobs_style){g->api->tokenizer, (int)g->params.n_logprobs, g->params.tokens_as_ids};
}

bool answer_problem(const struct generation *g, struct problem *p)
{
        for (int i = 0; i < g->n_choices; i++)
                if (g->choices[i].failed) {
                        p->about = ABOUT_SERVER;
                        problem_set(p, DYN_IO, NULL, "internal_error",
                                "the engine could not finish this request; the log says why");
                        return true;
                }
        return false;
}

size_t answer_work(const struct generation *g)
{
        size_t bytes = 0;

        for (int i = 0; i < g->n_choices; i++) {
                const struct choice *c = &g->choices[i];
                size_t n_probs = c->probs.n + c->probs.n_top + c->prompt_probs.n + c->prompt_probs.n_top;
                size_t n_prompt = g->params.echo || g->params.return_token_ids ? (size_t)c->request.n_prompt : 0;

                bytes += c->text.len + 8 * ((size_t)c->tokens.n + n_prompt) + 64 * n_probs;
        }
        return bytes / 8;
}

void answer_write(struct generation *g)
{
        struct writer w = {&g->answer};
        struct problem p;

        if (answer_problem(g, &p))
                return;
        answer_head(&w, g, g->form->object);
        writer_key(&w, "choices");
        writer_open(&w, '[');
        for (int i = 0; i < g->n_choices; i++) {
                const struct choice *c = &g->choices[i];
                struct slice whole = {
                        true, true, c->text.data ? c->text.data : "", c->text.len, 0, (size_t)c->tokens.n};

                g->form->write_choice(&w, c, &whole);
        }
        writer_close(&w, ']');
        answer_usage(&w, g);
        if (g->form->write_top != NULL)
                g->form->write_top(&w, g);
        writer_close(&w, '}');
}

void answer_send(struct generation *g)
{
        struct http_exchange *x = g->exchange;
        struct problem p = {0};

        answer_headers(g);
        g->exchange = NULL;
        if (answer_problem(g, &p))
                reply_problem(x, &p);
        else
                reply_json_buf(x, 200, &g->answer);
}
