#include "api/prompts.h"

#include <math.h>
#include <string.h>

#include "api/conversation.h"
#include "base/alloc.h"

enum dyn_status prompts_read_ids(
        struct api *api, const cJSON *array, const char *param, struct tokens *ids, struct problem *p)
{
        int n_vocab = api->model->vocab_size, i = 0;
        char found[100];

        for (const cJSON *v = array->child; v != NULL; v = v->next, i++) {
                double id = v->valuedouble;

                if (!cJSON_IsNumber(v) || id < 0 || id >= n_vocab || id != floor(id))
                        return problem_set(p, DYN_INVALID, param, NULL,
                                "\"%s\": token %d: expected a token id from 0 to %d, found %s", param, i, n_vocab - 1,
                                json_describe(v, found, sizeof found));
                tokens_push(ids, (int32_t)id);
        }
        return DYN_OK;
}

// Splitting text costs time, so that what cannot fit is refused by its length alone.
enum dyn_status prompts_encode(struct api *api, const char *text, size_t len, bool add_special, const char *param,
        struct tokens *ids, struct problem *p)
{
        size_t most = (size_t)api->model->max_context * api->longest_piece;

        if (len > most)
                return problem_set(p, DYN_INVALID, param, "context_length_exceeded",
                        "the prompt of %zu bytes is longer than a context of %d tokens can be", len,
                        api->model->max_context);
        tokenizer_encode(api->tokenizer, text, len, add_special, true, ids);
        return DYN_OK;
}

// Told at the first prompt that does not fit, before others are split.
static enum dyn_status check_fits(const struct api *api, const struct prompt *prompt, struct problem *p)
{
        if (prompt->ids.n <= api->model->max_context)
                return DYN_OK;
        return problem_set(p, DYN_INVALID, "prompt", "context_length_exceeded",
                "the context is %d tokens: the prompt has %d and leaves no room for an answer", api->model->max_context,
                prompt->ids.n);
}

static enum dyn_status read_one(
        struct api *api, const struct params *params, const cJSON *v, struct prompt *prompt, struct problem *p)
{
        char found[100];

        if (cJSON_IsString(v)) {
                if (params->echo)
                        prompt->text = mem_strdup(v->valuestring);
                return prompts_encode(api, v->valuestring, strlen(v->valuestring), params->add_special_tokens, "prompt",
                        &prompt->ids, p);
        }
        if (cJSON_IsArray(v))
                return prompts_read_ids(api, v, "prompt", &prompt->ids, p);
        return problem_set(p, DYN_INVALID, "prompt", NULL,
                "\"prompt\": expected a string, strings, token ids or lists of token ids, found %s",
                json_describe(v, found, sizeof found));
}

// Each prompt has at least one token.
static enum dyn_status check_empty(const struct prompts *prompts, struct problem *p)
{
        for (int i = 0; i < prompts->n; i++)
                if (prompts->at[i].ids.n == 0)
                        return problem_set(p, DYN_INVALID, "prompt", NULL,
                                "\"prompt\": expected at least one token, found an empty prompt");
        return DYN_OK;
}

enum dyn_status prompts_of_completion(
        struct api *api, const struct params *params, struct prompts *prompts, struct problem *p)
{
        const cJSON *v = params->prompt;
        bool several = cJSON_IsArray(v) && v->child != NULL && !cJSON_IsNumber(v->child);
        enum dyn_status st = DYN_OK;

        *prompts = (struct prompts){0};
        if (v == NULL)
                return problem_set(p, DYN_INVALID, "prompt", "missing_required_parameter", "\"prompt\": is required");
        int n = several ? cJSON_GetArraySize(v) : 1;
        if (n > api->max_queue)
                return problem_set(p, DYN_INVALID, "prompt", NULL,
                        "\"prompt\": expected at most %d prompts, which the queue can hold, found %d", api->max_queue,
                        n);
        prompts->at = mem_array((size_t)n, sizeof *prompts->at);
        if (several)
                v = v->child;
        while (v != NULL && st == DYN_OK) {
                struct prompt *prompt = &prompts->at[prompts->n++];

                st = read_one(api, params, v, prompt, p);
                if (st == DYN_OK)
                        st = check_fits(api, prompt, p);
                v = several ? v->next : NULL;
        }
        if (st == DYN_OK)
                st = check_empty(prompts, p);
        if (st != DYN_OK)
                prompts_finish(prompts);
        return st;
}

enum dyn_status prompts_of_chat(
        struct api *api, const struct params *params, struct prompts *prompts, struct problem *p)
{
        struct buf text = {0};
        enum dyn_status st = conversation_render(api, params, &text, p);

        *prompts = (struct prompts){0};
        if (st == DYN_OK) {
                prompts->at = mem_array(1, sizeof *prompts->at);
                prompts->n = 1;
                st = prompts_encode(api, text.data ? text.data : "", text.len, params->add_special_tokens, "messages",
                        &prompts->at[0].ids, p);
        }
        if (st == DYN_OK && prompts->at[0].ids.n == 0)
                st = problem_set(
                        p, DYN_INVALID, "messages", NULL, "\"messages\": the chat template makes no text of them");
        if (st != DYN_OK)
                prompts_finish(prompts);
        buf_free(&text);
        return st;
}

void prompts_finish(struct prompts *prompts)
{
        for (int i = 0; i < prompts->n; i++) {
                tokens_free(&prompts->at[i].ids);
                mem_free(prompts->at[i].text);
        }
        mem_free(prompts->at);
        *prompts = (struct prompts){0};
}
