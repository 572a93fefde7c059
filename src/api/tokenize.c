// POST /tokenize and POST /detokenize: text or messages to token ids and back, exactly as an inference call would see
// them. Names and forms are vLLM's.
#include <string.h>

#include "api/conversation.h"
#include "api/prompts.h"
#include "api/reply.h"
#include "api/served.h"
#include "api/writer.h"
#include "text/detok.h"

// Parses the body and checks that what it names exists. On DYN_OK the caller deletes *body.
static enum dyn_status begin(struct api *api, struct http_exchange *x, enum fields_of of, cJSON **body,
        struct params *params, struct problem *p)
{
        size_t len;
        const char *text = http_body(x, &len);
        enum dyn_status st = api_check_serving(api, p);

        *body = NULL;
        if (st == DYN_OK)
                st = fields_parse(text, len, of, body, params, p);
        if (st == DYN_OK)
                st = served_check(api->registry, api->base, params, p);
        return st;
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

static void answer_tokens(
        struct api *api, struct http_exchange *x, const struct params *params, const struct tokens *ids)
{
        struct buf body = {0};
        struct writer w = {&body};

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
        reply_json(x, 200, &body);
        buf_free(&body);
}

void api_tokenize(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct tokens ids = {0};
        struct params params;
        cJSON *body;
        enum dyn_status st = begin(api, x, OF_TOKENIZE, &body, &params, &p);

        if (st == DYN_OK)
                st = encode(api, body, &params, &ids, &p);
        if (st == DYN_OK)
                answer_tokens(api, x, &params, &ids);
        else
                reply_problem(x, &p);
        tokens_free(&ids);
        cJSON_Delete(body);
}

static void answer_text(struct api *api, struct http_exchange *x, const struct tokens *ids)
{
        struct buf text = {0}, body = {0};
        struct writer w = {&body};
        struct detok detok;

        detok_init(&detok, api->tokenizer, false);
        for (int i = 0; i < ids->n; i++)
                detok_push(&detok, ids->ids[i], &text);
        detok_finish(&detok, &text);
        writer_open(&w, '{');
        writer_key(&w, "prompt");
        writer_bytes(&w, text.data ? text.data : "", text.len);
        writer_close(&w, '}');
        reply_json(x, 200, &body);
        buf_free(&text);
        buf_free(&body);
}

void api_detokenize(struct http_exchange *x, void *ctx)
{
        struct api *api = ctx;
        struct problem p = {0};
        struct tokens ids = {0};
        struct params params;
        cJSON *body;
        enum dyn_status st = begin(api, x, OF_DETOKENIZE, &body, &params, &p);

        if (st == DYN_OK && !cJSON_IsArray(params.tokens))
                st = problem_set(&p, DYN_INVALID, "tokens", NULL, "\"tokens\": expected an array of token ids");
        if (st == DYN_OK)
                st = prompts_read_ids(api, params.tokens, "tokens", &ids, &p);
        if (st == DYN_OK)
                answer_text(api, x, &ids);
        else
                reply_problem(x, &p);
        tokens_free(&ids);
        cJSON_Delete(body);
}
