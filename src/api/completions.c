#include "api/answer.h"
#include "api/generation.h"

static void write_echo(struct buf *text, const struct choice *c)
{
        const struct generation *g = c->generation;
        const struct prompt *prompt = c->prompt;
        struct detok detok;

        if (prompt->text != NULL) {
                buf_puts(text, prompt->text);
                return;
        }
        detok_init(&detok, g->api->tokenizer, g->params.skip_special_tokens);
        for (int i = 0; i < prompt->ids.n; i++)
                detok_push(&detok, prompt->ids.ids[i], text);
        detok_finish(&detok, text);
}

static void write_text(struct writer *w, const struct choice *c, const struct slice *s)
{
        struct buf text = {0};

        writer_key(w, "text");
        if (!s->opens || !c->generation->params.echo) {
                writer_bytes(w, s->text, s->len);
                return;
        }
        write_echo(&text, c);
        buf_append(&text, s->text, s->len);
        writer_bytes(w, text.data, text.len);
        buf_free(&text);
}

static void write_logprobs(struct writer *w, const struct choice *c, const struct slice *s)
{
        const struct generation *g = c->generation;
        struct logprobs_style style = answer_style(g);
        struct logprobs_run runs[2] = {
                {&c->prompt_probs, 0, s->opens && g->params.echo ? c->prompt_probs.n : 0},
                {&c->probs, s->first_token, s->end_token},
        };

        writer_key(w, "logprobs");
        if (g->params.n_logprobs < 0)
                writer_null(w);
        else
                logprobs_write_completion(w, runs, 2, &style);
}

static void write_choice(struct writer *w, const struct choice *c, const struct slice *s)
{
        writer_open(w, '{');
        writer_member_int(w, "index", c->index);
        write_text(w, c, s);
        write_logprobs(w, c, s);
        answer_choice_finish(w, c, s);
        answer_choice_ids(w, c, s);
        if (s->opens)
                answer_prompt(w, c);
        writer_close(w, '}');
}

static const struct generation_form form = {
        .of = OF_COMPLETIONS,
        .id_prefix = "cmpl-",
        .object = "text_completion",
        .chunk_object = "text_completion",
        .read_prompts = prompts_of_completion,
        .write_choice = write_choice,
};

void api_completions(struct http_exchange *x, void *ctx)
{
        generation_begin(ctx, x, &form);
}
