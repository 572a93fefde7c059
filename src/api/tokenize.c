// POST /tokenize and POST /detokenize: text or messages to token ids and back, exactly as an inference call would see
// them. Names and forms are vLLM's. Read and answered at the desk.
#include <stddef.h>
#include <string.h>

#include "api/conversation.h"
#include "api/prompts.h"
#include "api/reply.h"
#include "api/served.h"
#include "api/writer.h"
#include "base/alloc.h"
#include "text/detok.h"

// One call. While it is at the desk, all but exchange is the desk's.
struct tokenizing {
        struct desk_job job;
        struct api *api;
        struct http_exchange *exchange; // NULL once the client has left
        struct buf text;                // the body as it came, until it is read
        size_t body_bytes;
        cJSON *body; // params borrow from it
        struct params params;
        bool parsed;
        struct problem problem;
        struct buf answer;
};

static struct tokenizing *tokenizing_of(struct desk_job *job)
{
        return (struct tokenizing *)((char *)job - offsetof(struct tokenizing, job));
}

static bool parse(struct tokenizing *t, enum fields_of of)
{
        const char *text = t->text.data ? t->text.data : "";

        t->parsed = fields_parse(text, t->text.len, of, &t->body, &t->params, &t->problem) == DYN_OK &&
                    served_read(&t->params, &t->problem) == DYN_OK;
        buf_free(&t->text);
        return t->parsed;
}

static enum dyn_status encode(
        struct api *api, const cJSON *body, struct params *params, struct tokens *ids, struct problem *p)
{
        struct buf text = {0};
        char found[100];

        if ((params->prompt == NULL) == (params->messages == NULL))
                return problem_set(p, DYN_INVALID, params->prompt ? "messages" : "prompt", NULL,
                        "expected one of \"prompt\" and \"messages\"");
        if (params->messages != NULL) {
                // A template writes the special tokens itself.
                bool add = params->add_special_tokens && json_member(body, "add_special_tokens") != NULL;
                enum dyn_status st = conversation_render(api, params, &text, p);

                if (st == DYN_OK)
                        st = prompts_encode(api, text.data ? text.data : "", text.len, add, "messages", ids, p);
                buf_free(&text);
                return st;
        }
        if (!cJSON_IsString(params->prompt))
                return problem_set(p, DYN_INVALID, "prompt", NULL, "\"prompt\": expected a string, found %s",
                        json_describe(params->prompt, found, sizeof found));
        return prompts_encode(api, params->prompt->valuestring, strlen(params->prompt->valuestring),
                params->add_special_tokens, "prompt", ids, p);
}

static void write_tokens(struct buf *body, const struct api *api, const struct params *params, const struct tokens *ids)
{
        struct writer w = {body};

        writer_open(&w, '{');
        writer_member_int(&w, "count", ids->n);
        writer_member_int(&w, "max_model_len", api->model->max_context);
        writer_key(&w, "tokens");
        writer_open(&w, '[');
        for (int i = 0; i < ids->n; i++)
                writer_int(&w, ids->ids[i]);
        writer_close(&w, ']');
        writer_key(&w, "token_strs");
        if (!params->return_token_strs)
                writer_null(&w);
        else {
                writer_open(&w, '[');
                for (int i = 0; i < ids->n; i++) {
                        size_t len;
                        const char *piece = tokenizer_piece(api->tokenizer, ids->ids[i], &len);

                        writer_bytes(&w, piece, len);
                }
                writer_close(&w, ']');
        }
        writer_close(&w, '}');
}

static void tokenize(struct desk_job *job)
{
        struct tokenizing *t = tokenizing_of(job);
        struct tokens ids = {0};

        if (parse(t, OF_TOKENIZE) && encode(t->api, t->body, &t->params, &ids, &t->problem) == DYN_OK)
                write_tokens(&t->answer, t->api, &t->params, &ids);
        tokens_free(&ids);
}

static void write_text(struct buf *body, const struct api *api, const struct tokens *ids)
{
        struct writer w = {body};
        struct buf text = {0};
        struct detok detok;

        detok_init(&detok, api->tokenizer, false);
        for (int i = 0; i < ids->n; i++)
                detok_push(&detok, ids->ids[i], &text);
        detok_finish(&detok, &text);
        writer_open(&w, '{');
        writer_key(&w, "prompt");
        writer_bytes(&w, text.data ? text.data : "", text.len);
        writer_close(&w, '}');
        buf_free(&text);
}

static void detokenize(struct desk_job *job)
{
        struct tokenizing *t = tokenizing_of(job);
        struct tokens ids = {0};

        if (!parse(t, OF_DETOKENIZE))
                return;
        if (!cJSON_IsArray(t->params.tokens))
                problem_set(&t->problem, DYN_INVALID, "tokens", NULL, "\"tokens\": expected an array of token ids");
        else if (prompts_read_ids(t->api, t->params.tokens, "tokens", &ids, &t->problem) == DYN_OK)
                write_text(&t->answer, t->api, &ids);
        tokens_free(&ids);
}

static void end(struct tokenizing *t)
{
        struct api *api = t->api;

        desk_delete(api->desk, t->body, t->body_bytes);
        buf_free(&t->text);
        buf_free(&t->answer);
        mem_free(t);
        api_call_ends(api);
}

// An unknown adapter is told before what may be wrong with the text.
static void answer(struct desk_job *job)
{
        struct tokenizing *t = tokenizing_of(job);
        struct problem unknown = {0};

        if (t->exchange != NULL) {
                if (t->parsed && served_check(t->api->registry, t->api->base, &t->params, &unknown) != DYN_OK)
                        reply_problem(t->exchange, &unknown);
                else if (t->problem.err.status != DYN_OK)
                        reply_problem(t->exchange, &t->problem);
                else
                        reply_json_buf(t->exchange, 200, &t->answer);
        }
        end(t);
}

static void on_abort(struct http_exchange *x, void *user)
{
        struct tokenizing *t = user;

        t->exchange = NULL;
        if (desk_forget(t->api->desk, &t->job))
                end(t);
}

static void begin(struct api *api, struct http_exchange *x, void (*work)(struct desk_job *))
{
        struct problem p = {0};
        struct buf text;

        if (api_check_serving(api, x, &p) != DYN_OK || api_take_body(api, x, &text, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        struct tokenizing *t = mem_zalloc(sizeof *t);
        t->api = api;
        t->exchange = x;
        t->text = text;
        t->body_bytes = text.len;
        t->job = (struct desk_job){.work = work, .done = answer, .bytes = text.len};
        api_call_begins(api);
        http_on_abort(x, on_abort, t);
        desk_do(api->desk, &t->job);
}

void api_tokenize(struct http_exchange *x, void *ctx)
{
        begin(ctx, x, tokenize);
}

void api_detokenize(struct http_exchange *x, void *ctx)
{
        begin(ctx, x, detokenize);
}
