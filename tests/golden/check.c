// Holds the engine against golden files that make_golden.py wrote: log-probabilities of prompts, greedy answers, and
// the log-probabilities of those.
//
// usage: golden_check GOLDEN.json MODEL ADAPTERS [DEMO_ADAPTERS]
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "oracle.h"

#define N_TOP 5

// How far the engine may be from the oracle.
struct limits {
        double worst, mean; // of log-probabilities
        double sure;        // the oracle's margin above which its token must come
};

static const struct limits exact = {0.02, 0.005, 0.05}, half_kv = {0.05, 0.01, 0.05}, rounded = {4, 0.15, 0.6};

static int passed, failed;

static void check_case(
        struct driver *d, const cJSON *c, const struct limits *limits, char **folders, int n_folders, struct gap *all)
{
        const cJSON *adapter = json_member(c, "adapter");
        int n;
        int32_t *ids = oracle_prompt(c, &n);
        struct gap gap = {0};
        struct result r;

        struct dyn_request request = driver_request(ids, n, cJSON_GetArraySize(json_member(c, "greedy")));
        request.n_logprobs = 0;
        request.n_prompt_logprobs = N_TOP;
        request.adapter = cJSON_IsString(adapter) ? oracle_adapter(d, adapter->valuestring, folders, n_folders) : NULL;
        driver_submit(d, &request, &r);
        driver_wait(d, 1);
        bool good = oracle_prompt_gap(c, "prompt_logprobs", &r, &gap) & oracle_greedy_gap(c, &r, limits->sure, &gap);

        oracle_top_gap(c, &r, &gap);
        if (!good || gap.worst > limits->worst) {
                printf("FAILED %s: a log-probability is off by %.5f\n", json_member(c, "name")->valuestring, gap.worst);
                failed++;
        } else {
                passed++;
        }
        all->worst = fmax(all->worst, gap.worst);
        all->sum += gap.sum;
        all->n += gap.n;
        dyn_adapter_unpin(request.adapter);
        driver_free(&r);
        mem_free(ids);
}

static void check(const cJSON *golden, const char *model, enum dyn_weights weights, enum dyn_dtype kv_dtype,
        const struct limits *limits, char **folders, int n_folders)
{
        struct driver d;
        struct gap all = {0};
        const cJSON *c;

        driver_open(&d, (struct dyn_engine_options){.model = model,
                                .backend = "auto",
                                .weights = weights,
                                .kv_memory = 64 << 20,
                                .kv_dtype = kv_dtype,
                                .max_rows = 8,
                                .max_queue = 64,
                                .step_tokens = 48,
                                .merge = DYN_MERGE_NEVER});
        cJSON_ArrayForEach(c, json_member(golden, "cases"))
        {
                check_case(&d, c, limits, folders, n_folders, &all);
        }
        driver_close(&d);
        printf("%s, KV in %s%s: log-probabilities off by %.5f in the mean (limit %.3f), %.5f at worst (limit %.2f)\n",
                model, dyn_dtype_name(kv_dtype), weights == DYN_WEIGHTS_NATIVE ? ", quantised as it lies" : "",
                gap_mean(&all), limits->mean, all.worst, limits->worst);
        *(gap_mean(&all) <= limits->mean ? &passed : &failed) += 1;
}

int main(int argc, char **argv)
{
        if (argc < 4) {
                fprintf(stderr, "usage: golden_check GOLDEN.json MODEL ADAPTERS [DEMO_ADAPTERS]\n");
                return 2;
        }
        cJSON *golden = oracle_open(argv[1]);
        const char *dot = strrchr(argv[2], '.');

        check(golden, argv[2], DYN_WEIGHTS_BF16, DYN_F32, &exact, argv + 3, argc - 3);
        check(golden, argv[2], DYN_WEIGHTS_BF16, DYN_F16, &half_kv, argv + 3, argc - 3);
        if (dot != NULL && strcmp(dot, ".gguf") == 0)
                check(golden, argv[2], DYN_WEIGHTS_NATIVE, DYN_F32, &rounded, argv + 3, argc - 3);
        cJSON_Delete(golden);
        printf("%d passed, %d failed\n", passed, failed);
        return failed > 0;
}
