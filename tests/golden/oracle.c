#include "oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"

void gap_add(struct gap *gap, double off)
{
        gap->worst = fmax(gap->worst, off);
        gap->sum += off;
        gap->n++;
}

double gap_mean(const struct gap *gap)
{
        return gap->n > 0 ? gap->sum / gap->n : 0;
}

cJSON *oracle_open(const char *path)
{
        struct dyn_error err;
        cJSON *json;

        if (json_parse_file(path, 64 << 20, &json, &err) == DYN_OK)
                return json;
        fprintf(stderr, "%s\n", err.text);
        exit(1);
}

struct dyn_adapter *oracle_adapter(struct driver *d, const char *name, char **folders, int n_folders)
{
        struct dyn_adapter *adapter = NULL;
        struct dyn_error err = {0};

        for (int i = 0; i < n_folders && adapter == NULL; i++) {
                char *path = mem_printf("%s/%s", folders[i], name);
                struct stat info;

                if (stat(path, &info) == 0 && dyn_adapter_load(d->engine, name, path, &adapter, &err) != DYN_OK)
                        fprintf(stderr, "%s\n", err.text);
                mem_free(path);
        }
        if (adapter == NULL) {
                fprintf(stderr, "adapter %s could not be loaded\n", name);
                exit(1);
        }
        return adapter;
}

int32_t *oracle_prompt(const cJSON *c, int *n)
{
        const cJSON *prompt = json_member(c, "prompt");
        int32_t *ids = mem_array((size_t)cJSON_GetArraySize(prompt), sizeof *ids);

        *n = cJSON_GetArraySize(prompt);
        for (int i = 0; i < *n; i++)
                ids[i] = cJSON_GetArrayItem(prompt, i)->valueint;
        return ids;
}

bool oracle_prompt_gap(const cJSON *c, const char *key, const struct result *r, struct gap *gap)
{
        const cJSON *logprobs = json_member(c, key);

        if (r->n_prompt != cJSON_GetArraySize(logprobs)) {
                printf("  prompt: expected %d tokens, found %d\n", cJSON_GetArraySize(logprobs), r->n_prompt);
                return false;
        }
        for (int i = 1; i < r->n_prompt; i++)
                gap_add(gap, fabs((double)r->prompt[i].logprob - cJSON_GetArrayItem(logprobs, i)->valuedouble));
        return true;
}

// The log-probability of a token that was not drawn but may be among the best of its place.
static void add_alternative(const struct dyn_event *e, int token, double logprob, struct gap *gap)
{
        for (int k = 0; k < e->n_top; k++)
                if (e->top[k].id == token)
                        gap_add(gap, fabs((double)e->top[k].logprob - logprob));
}

void oracle_top_gap(const cJSON *c, const struct result *r, struct gap *gap)
{
        const cJSON *tops = json_member(c, "prompt_top"), *best;

        for (int i = 1; i < r->n_prompt; i++) {
                cJSON_ArrayForEach(best, cJSON_GetArrayItem(tops, i))
                {
                        add_alternative(&r->prompt[i], best->child->valueint, best->child->next->valuedouble, gap);
                }
        }
}

bool oracle_greedy_gap(const cJSON *c, const struct result *r, double sure, struct gap *gap)
{
        const cJSON *tokens = json_member(c, "greedy"), *logprobs = json_member(c, "greedy_logprobs");
        const cJSON *margins = json_member(c, "margins");

        for (int i = 0; i < cJSON_GetArraySize(tokens); i++) {
                bool is_sure = cJSON_GetArrayItem(margins, i)->valuedouble > sure;
                int expected = cJSON_GetArrayItem(tokens, i)->valueint;
                double logprob = cJSON_GetArrayItem(logprobs, i)->valuedouble;

                if (i >= r->n_tokens || (r->tokens[i].token != expected && is_sure)) {
                        printf("  answer: token %d: expected %d\n", i, expected);
                        return false;
                }
                if (r->tokens[i].token != expected) {
                        add_alternative(&r->tokens[i], expected, logprob, gap);
                        break;
                }
                gap_add(gap, fabs((double)r->tokens[i].logprob - logprob));
        }
        return true;
}
