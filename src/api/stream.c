#include "api/stream.h"

#include "api/answer.h"
#include "api/reply.h"

static void on_drained(struct http_exchange *x, void *user)
{
        generation_hold(user, false);
}

static void write_event(struct generation *g, const char *name, const struct buf *data)
{
        http_stream_event(g->exchange, name, data->data, data->len);
        if (g->exchange != NULL && http_stream_backlog(g->exchange) > HTTP_BACKLOG_HIGH)
                generation_hold(g, true);
}

static void emit(struct choice *c, const struct slice *s)
{
        struct generation *g = c->generation;
        struct buf *chunk = &g->api->chunk;
        struct writer w = {chunk};

        c->opened = true;
        c->sent += s->len;
        c->sent_tokens = s->end_token;
        if (g->exchange == NULL)
                return;
        buf_clear(chunk);
        answer_head(&w, g, g->form->chunk_object);
        writer_key(&w, "choices");
        writer_open(&w, '[');
        g->form->write_choice(&w, c, s);
        writer_close(&w, ']');
        if (g->params.include_usage)
                writer_member_null(&w, "usage");
        writer_close(&w, '}');
        write_event(g, NULL, chunk);
}

// What has not been sent yet. Tokens wait with the text that they belong to.
static struct slice pending(const struct choice *c)
{
        return (struct slice){.opens = !c->opened,
                .text = c->text.data ? c->text.data + c->sent : "",
                .len = c->settled - c->sent,
                .first_token = c->sent_tokens,
                .end_token = (size_t)c->tokens.n};
}

void stream_begin(struct generation *g)
{
        answer_headers(g);
        http_add_header(g->exchange, "Cache-Control", "no-cache");
        http_stream_open(g->exchange, 200, "text/event-stream");
        if (g->exchange != NULL)
                http_on_drained(g->exchange, on_drained, g);
}

// The role comes with the first token and not before: until then nobody knows which weights the fingerprint has to
// name.
void stream_progress(struct choice *c)
{
        if (!c->opened && c->generation->form->opens_alone)
                emit(c, &(struct slice){.opens = true, .text = ""});
        struct slice s = pending(c);

        if (s.len > 0 || (s.opens && c->generation->params.echo))
                emit(c, &s);
}

void stream_finish(struct choice *c)
{
        stream_progress(c);
        struct slice last = pending(c);
        last.ends = true;
        emit(c, &last);
}

static void write_usage(struct generation *g)
{
        struct buf *chunk = &g->api->chunk;
        struct writer w = {chunk};

        buf_clear(chunk);
        answer_head(&w, g, g->form->chunk_object);
        writer_key(&w, "choices");
        writer_open(&w, '[');
        writer_close(&w, ']');
        answer_usage(&w, g);
        writer_close(&w, '}');
        write_event(g, NULL, chunk);
}

void stream_end(struct generation *g)
{
        struct problem p = {0};

        if (answer_problem(g, &p)) {
                buf_clear(&g->api->chunk);
                reply_problem_body(&p, &g->api->chunk);
                write_event(g, "error", &g->api->chunk);
        } else {
                if (g->params.include_usage)
                        write_usage(g);
                if (g->exchange != NULL)
                        http_stream_event(g->exchange, NULL, "[DONE]", 6);
        }
        if (g->exchange != NULL)
                http_stream_close(g->exchange);
        g->exchange = NULL;
}
