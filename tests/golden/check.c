// Holds the engine against the golden files of transformers and PEFT (README.md): every prompt log-probability within
// the tolerance, and the greedy tokens equal as long as the oracle itself was sure.
//
// usage: golden_check GOLDEN.json MODEL ADAPTERS [DEMO_ADAPTERS]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "driver.h"
#include "io/json.h"

#define SURE  0.05 // the oracle's margin above which its token must come
#define N_TOP 5

static int passed, failed;
static double worst;

static struct dyn_adapter *load(struct driver *d, const cJSON *name, char **folders, int n_folders)
{
        struct dyn_adapter *adapter = NULL;
        struct dyn_error err = {0};

        for (int i = 0; i < n_folders && adapter == NULL; i++) {
                char *path = mem_printf("%s/%s", folders[i], name->valuestring);
                struct stat info;

                if (stat(path, &info) == 0 &&
                        dyn_adapter_load(d->engine, name->valuestring, path, &adapter, &err) != DYN_OK)
                        fprintf(stderr, "%s\n", err.text);
                mem_free(path);
        }
        if (adapter == NULL) {
                fprintf(stderr, "adapter %s could not be loaded\n", name->valuestring);
                exit(1);
        }
        return adapter;
}

// Log-probabilities of the prompt, and of the oracle's five best where they are among ours.
static bool prompt_agrees(const cJSON *c, const struct result *r, double tolerance)
{
        const cJSON *logprobs = json_member(c, "prompt_logprobs"), *tops = json_member(c, "prompt_top");
        double off = 0;

        for (int i = 1; i < cJSON_GetArraySize(logprobs); i++) {
                const cJSON *top = cJSON_GetArrayItem(tops, i), *best;

                off = fmax(off, fabs((double)r->prompt[i].logprob - cJSON_GetArrayItem(logprobs, i)->valuedouble));
                cJSON_ArrayForEach(best, top)
                {
                        for (int k = 0; k < r->prompt[i].n_top; k++)
                                if (r->prompt[i].top[k].id == best->child->valueint)
                                        off = fmax(off, fabs((double)r->prompt[i].top[k].logprob -
                                                                best->child->next->valuedouble));
                }
        }
        worst = fmax(worst, off);
        if (off <= tolerance && r->n_prompt == cJSON_GetArraySize(logprobs))
                return true;
        printf("  prompt: a log-probability is off by %.5f\n", off);
        return false;
}

static bool greedy_agrees(const cJSON *c, const struct result *r, double tolerance)
{
        const cJSON *tokens = json_member(c, "greedy"), *logprobs = json_member(c, "greedy_logprobs");
        const cJSON *margins = json_member(c, "margins");

        for (int i = 0; i < cJSON_GetArraySize(tokens); i++) {
                bool sure = cJSON_GetArrayItem(margins, i)->valuedouble > SURE;
                int expected = cJSON_GetArrayItem(tokens, i)->valueint;

                if (i >= r->n_tokens || (r->tokens[i].token != expected && sure)) {
                        printf("  answer: token %d: expected %d\n", i, expected);
                        return false;
                }
                if (r->tokens[i].token != expected)
                        break;
                double off = fabs((double)r->tokens[i].logprob - cJSON_GetArrayItem(logprobs, i)->valuedouble);
                worst = fmax(worst, off);
                if (off > tolerance) {
                        printf("  answer: token %d: log-probability off by %.5f\n", i, off);
                        return false;
                }
        }
        return true;
}

static void check_case(struct driver *d, const cJSON *c, double tolerance, char **folders, int n_folders)
{
        const cJSON *prompt = json_member(c, "prompt"), *adapter = json_member(c, "adapter");
        int n = cJSON_GetArraySize(prompt);
        int32_t *ids = mem_array((size_t)n, sizeof *ids);
        struct result r;

        for (int i = 0; i < n; i++)
                ids[i] = cJSON_GetArrayItem(prompt, i)->valueint;
        struct dyn_request request = driver_request(ids, n, cJSON_GetArraySize(json_member(c, "greedy")));
        request.n_logprobs = 0;
        request.n_prompt_logprobs = N_TOP;
        request.adapter = cJSON_IsString(adapter) ? load(d, adapter, folders, n_folders) : NULL;
        driver_submit(d, &request, &r);
        driver_wait(d, 1);
        bool good = prompt_agrees(c, &r, tolerance) & greedy_agrees(c, &r, tolerance);

        if (!good)
                printf("FAILED %s\n", json_member(c, "name")->valuestring);
        *(good ? &passed : &failed) += 1;
        dyn_adapter_unpin(request.adapter);
        driver_free(&r);
        mem_free(ids);
}

static int check(
        const char *golden, const char *model, enum dyn_dtype kv_dtype, double tolerance, char **folders, int n_folders)
{
        struct driver d;
        struct dyn_error err;
        cJSON *json;
        const cJSON *c;

        if (json_parse_file(golden, 64 << 20, &json, &err) != DYN_OK) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
        }
        driver_open(&d, (struct dyn_engine_options){.model = model,
                                .backend = "auto",
                                .kv_memory = 64 << 20,
                                .kv_dtype = kv_dtype,
                                .max_rows = 8,
                                .max_queue = 64,
                                .step_tokens = 48});
        cJSON_ArrayForEach(c, json_member(json, "cases"))
        {
                check_case(&d, c, tolerance, folders, n_folders);
        }
        driver_close(&d);
        cJSON_Delete(json);
        printf("%s, KV in %s: worst log-probability off by %.5f (limit %.2f)\n", model, dyn_dtype_name(kv_dtype), worst,
                tolerance);
        worst = 0;
        return 0;
}

int main(int argc, char **argv)
{
        if (argc < 4) {
                fprintf(stderr, "usage: golden_check GOLDEN.json MODEL ADAPTERS [DEMO_ADAPTERS]\n");
                return 2;
        }
        if (check(argv[1], argv[2], DYN_F32, 0.02, argv + 3, argc - 3) ||
                check(argv[1], argv[2], DYN_F16, 0.05, argv + 3, argc - 3))
                return 1;
        printf("%d passed, %d failed\n", passed, failed);
        return failed > 0;
}
