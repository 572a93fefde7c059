#include "api/intake.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "api/served.h"
#include "base/alloc.h"

#define DEFAULT_MAX_TOKENS 16 // of completions, as OpenAI's; a chat may go on to the context's end
#define MAX_STOP_IDS       256

// The id that a key of logit_bias spells, or -1.
static int32_t spelled_id(const char *key, int n_vocab)
{
        int64_t id = 0;

        if (*key == 0 || (*key == '0' && key[1] != 0))
                return -1;
        for (; *key >= '0' && *key <= '9' && id < n_vocab; key++)
                id = id * 10 + (*key - '0');
        return *key == 0 && id < n_vocab ? (int32_t)id : -1;
}

static enum dyn_status read_bias(struct generation *g, struct problem *p)
{
        const cJSON *bias = g->params.logit_bias;
        int n_vocab = g->api->model->vocab_size;
        char found[100];

        if (bias == NULL)
                return DYN_OK;
        if (!cJSON_IsObject(bias))
                return problem_set(p, DYN_INVALID, "logit_bias", NULL, "\"logit_bias\": expected an object, found %s",
                        json_describe(bias, found, sizeof found));
        g->bias = mem_array((size_t)cJSON_GetArraySize(bias) + 1, sizeof *g->bias);
        for (const cJSON *v = bias->child; v != NULL; v = v->next) {
                int32_t id = spelled_id(v->string, n_vocab);

                if (id < 0)
                        return problem_set(p, DYN_INVALID, "logit_bias", NULL,
                                "\"logit_bias\": expected token ids from 0 to %d as keys, found \"%.40s\"", n_vocab - 1,
                                v->string);
                if (!cJSON_IsNumber(v) || fabs(v->valuedouble) > 100)
                        return problem_set(p, DYN_INVALID, "logit_bias", NULL,
                                "\"logit_bias\": expected a number from -100 to 100 for token %d, found %s", id,
                                json_describe(v, found, sizeof found));
                g->bias[g->n_bias++] = (struct dyn_logit_bias){id, (float)v->valuedouble};
        }
        return DYN_OK;
}

static enum dyn_status read_stop_ids(struct generation *g, struct problem *p)
{
        const cJSON *ids = g->params.stop_token_ids;
        char found[100];

        if (ids != NULL && (!cJSON_IsArray(ids) || cJSON_GetArraySize(ids) > MAX_STOP_IDS))
                return problem_set(p, DYN_INVALID, "stop_token_ids", NULL,
                        "\"stop_token_ids\": expected an array of at most %d token ids, found %s", MAX_STOP_IDS,
                        json_describe(ids, found, sizeof found));
        if (ids != NULL && prompts_read_ids(g->api, ids, "stop_token_ids", &g->stop_ids, p) != DYN_OK)
                return p->err.status;
        g->n_own_stop_ids = g->stop_ids.n;
        if (!g->params.ignore_eos) {
                int n;
                const int32_t *of_model = tokenizer_stop_ids(g->api->tokenizer, &n);

                for (int i = 0; i < n; i++)
                        tokens_push(&g->stop_ids, of_model[i]);
        }
        return DYN_OK;
}

// The most tokens that an answer to this prompt may have; -1 with a problem if they do not fit.
static int limit(const struct generation *g, const struct prompt *prompt, struct problem *p)
{
        const char *of = g->form->of == OF_CHAT ? "messages" : "prompt";
        int context = g->api->model->max_context, n = prompt->ids.n;
        int64_t want = g->params.max_tokens;

        if (n > context || (want != 0 && n == context)) {
                problem_set(p, DYN_INVALID, of, "context_length_exceeded",
                        "the context is %d tokens: the prompt has %d and leaves no room for an answer", context, n);
                return -1;
        }
        if (want > context - n) {
                problem_set(p, DYN_INVALID, "max_tokens", "context_length_exceeded",
                        "the context is %d tokens: the prompt has %d and max_tokens asks for %lld more", context, n,
                        (long long)want);
                return -1;
        }
        if (want < 0)
                want = g->form->of == OF_CHAT || context - n < DEFAULT_MAX_TOKENS ? context - n : DEFAULT_MAX_TOKENS;
        if (g->params.min_tokens > want) {
                problem_set(p, DYN_INVALID, "min_tokens", NULL,
                        "\"min_tokens\": expected at most %lld, the most tokens that this answer may have, found %lld",
                        (long long)want, (long long)g->params.min_tokens);
                return -1;
        }
        return (int)want;
}

static uint64_t seed_of(const struct params *params)
{
        uint64_t seed = 0;

        if (params->seed == NULL) {
                if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
                        seed = (uint64_t)(uintptr_t)params;
                return seed;
        }
        double v = params->seed->valuedouble;
        return v < 0 ? (uint64_t)(int64_t)v : (uint64_t)v;
}

static int max_of(int64_t a, int64_t b)
{
        return (int)(a > b ? a : b);
}

static void fill_request(struct choice *c, int max_tokens, uint64_t seed)
{
        struct generation *g = c->generation;
        const struct params *params = &g->params;
        struct dyn_request *r = &c->request;

        r->prompt = c->prompt->ids.ids;
        r->n_prompt = c->prompt->ids.n;
        r->adapter = g->version ? g->version->adapter : NULL;
        r->sampling = (struct dyn_sampling){.temperature = (float)params->temperature,
                .top_p = (float)params->top_p,
                .min_p = (float)params->min_p,
                .top_k = max_of(params->top_k, 0),
                .repetition_penalty = (float)params->repetition_penalty,
                .frequency_penalty = (float)params->frequency_penalty,
                .presence_penalty = (float)params->presence_penalty,
                .seed = seed,
                .bias = g->bias,
                .n_bias = g->n_bias};
        r->max_tokens = max_tokens;
        r->min_tokens = (int)params->min_tokens;
        r->stop_ids = g->stop_ids.ids;
        r->n_stop_ids = g->stop_ids.n;
        r->n_logprobs = (int)params->n_logprobs;
        r->n_prompt_logprobs = c->first_of_prompt ? (int)params->n_prompt_logprobs : -1;
        if (params->echo)
                r->n_prompt_logprobs = max_of(r->n_prompt_logprobs, params->n_logprobs);
        r->owner = c;
}

static enum dyn_status make_choices(struct generation *g, struct problem *p)
{
        int n = (int)g->params.n, most = g->api->max_queue;
        uint64_t seed = seed_of(&g->params);

        if (n > most / g->prompts.n)
                return problem_set(p, DYN_INVALID, "n", NULL,
                        "%d prompts with n = %d make more sequences than the queue can hold, %d", g->prompts.n, n,
                        most);
        g->choices = mem_array((size_t)n * (size_t)g->prompts.n, sizeof *g->choices);
        for (int i = 0; i < g->prompts.n; i++) {
                int max_tokens = limit(g, &g->prompts.at[i], p);

                if (max_tokens < 0)
                        return p->err.status;
                for (int k = 0; k < n; k++) {
                        struct choice *c = &g->choices[g->n_choices];

                        *c = (struct choice){.generation = g,
                                .index = g->n_choices++,
                                .prompt = &g->prompts.at[i],
                                .first_of_prompt = k == 0,
                                .stop_string = -1,
                                .stop_token = -1};
                        fill_request(c, max_tokens, seed + (uint64_t)k);
                        detok_init(&c->detok, g->api->tokenizer, g->params.skip_special_tokens);
                        c->detok.started = true; // it goes on from the prompt: its first blank is no text's first
                        c->detok.strip_left = 0;
                        detok_init(&c->echo_detok, g->api->tokenizer, g->params.skip_special_tokens);
                }
        }
        return DYN_OK;
}

enum dyn_status intake_parse(struct generation *g, struct problem *p)
{
        const char *text = g->text.data ? g->text.data : "";
        enum dyn_status st = fields_parse(text, g->text.len, g->form->of, &g->body, &g->params, p);

        buf_free(&g->text);
        return st == DYN_OK ? served_read(&g->params, p) : st;
}

enum dyn_status intake_encode(struct generation *g, struct problem *p)
{
        enum dyn_status st = stop_read(&g->stops, g->params.stop, p);

        if (st == DYN_OK)
                st = read_stop_ids(g, p);
        if (st == DYN_OK)
                st = read_bias(g, p);
        if (st == DYN_OK)
                st = g->form->read_prompts(g->api, &g->params, &g->prompts, p);
        if (st == DYN_OK)
                st = make_choices(g, p);
        fields_prune(g->body, &g->params);
        g->body_bytes = 0;
        return st;
}

void intake_finish(struct generation *g)
{
        for (int i = 0; i < g->n_choices; i++) {
                struct choice *c = &g->choices[i];

                buf_free(&c->text);
                stop_scan_finish(&c->scan);
                tokens_free(&c->tokens);
                logprobs_finish(&c->probs);
                logprobs_finish(&c->prompt_probs);
        }
        mem_free(g->choices);
        mem_free(g->bias);
        tokens_free(&g->stop_ids);
        stop_finish(&g->stops);
        prompts_finish(&g->prompts);
        buf_free(&g->text);
        buf_free(&g->answer);
        desk_delete(g->api->desk, g->body, g->body_bytes);
}
