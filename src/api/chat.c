#include "api/answer.h"
#include "api/generation.h"

static void write_logprobs(struct writer *w, const struct choice *c, const struct slice *s)
{
        const struct generation *g = c->generation;
        struct logprobs_style style = answer_style(g);
        bool none = g->params.n_logprobs < 0 || (g->params.stream && s->first_token == s->end_token);

        writer_key(w, "logprobs");
        if (none)
                writer_null(w);
        else
                logprobs_write_chat(w, (struct logprobs_run){&c->probs, s->first_token, s->end_token}, &style);
}

static void write_choice(struct writer *w, const struct choice *c, const struct slice *s)
{
        writer_open(w, '{');
        writer_member_int(w, "index", c->index);
        writer_key(w, c->generation->params.stream ? "delta" : "message");
        writer_open(w, '{');
        if (s->opens)
                writer_member_string(w, "role", "assistant");
        if (s->opens || s->len > 0) {
                writer_key(w, "content");
                writer_bytes(w, s->text, s->len);
        }
        writer_close(w, '}');
        write_logprobs(w, c, s);
        answer_choice_finish(w, c, s);
        answer_choice_ids(w, c, s);
        if (s->opens)
                answer_prompt(w, c);
        writer_close(w, '}');
}

// vLLM's place for what a chat says of its prompt.
static void write_top(struct writer *w, const struct generation *g)
{
        answer_prompt(w, &g->choices[0]);
}

static const struct generation_form form = {
        .of = OF_CHAT,
        .id_prefix = "chatcmpl-",
        .object = "chat.completion",
        .chunk_object = "chat.completion.chunk",
        .read_prompts = prompts_of_chat,
        .write_choice = write_choice,
        .write_top = write_top,
        .opens_alone = true,
};

void api_chat(struct http_exchange *x, void *ctx)
{
        generation_begin(ctx, x, &form);
}
