// Holds the engine against the golden files of transformers and PEFT (README.md): every prompt log-probability within
// the tolerance, and the greedy tokens equal as long as the oracle itself was sure.
//
// usage: golden_check GOLDEN.json MODEL ADAPTERS [DEMO_ADAPTERS]
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "oracle.h"

#define SURE  0.05 // the oracle's margin above which its token must come
#define N_TOP 5

static int passed, failed;
static double worst;

static void check_case(struct driver *d, const cJSON *c, double tolerance, char **folders, int n_folders)
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
        bool good = oracle_prompt_gap(c, "prompt_logprobs", &r, &gap) & oracle_greedy_gap(c, &r, SURE, &gap);

        oracle_top_gap(c, &r, &gap);
        worst = fmax(worst, gap.worst);
        if (!good || gap.worst > tolerance) {
                printf("FAILED %s: a log-probability is off by %.5f\n", json_member(c, "name")->valuestring, gap.worst);
                failed++;
        } else {
                passed++;
        }
        dyn_adapter_unpin(request.adapter);
        driver_free(&r);
        mem_free(ids);
}

static void check(const cJSON *golden, const char *model, enum dyn_dtype kv_dtype, double tolerance, char **folders,
        int n_folders)
{
        struct driver d;
        const cJSON *c;

        driver_open(&d, (struct dyn_engine_options){.model = model,
                                .backend = "auto",
                                .weights = DYN_WEIGHTS_BF16,
                                .kv_memory = 64 << 20,
                                .kv_dtype = kv_dtype,
                                .max_rows = 8,
                                .max_queue = 64,
                                .step_tokens = 48,
                                .merge = DYN_MERGE_NEVER});
        cJSON_ArrayForEach(c, json_member(golden, "cases"))
        {
                check_case(&d, c, tolerance, folders, n_folders);
        }
        driver_close(&d);
        printf("%s, KV in %s: worst log-probability off by %.5f (limit %.2f)\n", model, dyn_dtype_name(kv_dtype), worst,
                tolerance);
        worst = 0;
}

int main(int argc, char **argv)
{
        if (argc < 4) {
                fprintf(stderr, "usage: golden_check GOLDEN.json MODEL ADAPTERS [DEMO_ADAPTERS]\n");
                return 2;
        }
        cJSON *golden = oracle_open(argv[1]);

        check(golden, argv[2], DYN_F32, 0.02, argv + 3, argc - 3);
        check(golden, argv[2], DYN_F16, 0.05, argv + 3, argc - 3);
        cJSON_Delete(golden);
        printf("%d passed, %d failed\n", passed, failed);
        return failed > 0;
}
