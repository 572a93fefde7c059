// The promise "same answer alone and in a crowd": requests to the base and to adapters, of mixed lengths and ways to
// sample, first one by one, then all at once at random times; with the KV cache so small that sequences are preempted,
// with and without prefix reuse, with other chunk sizes and thread counts. Every token and every log-probability must
// be the same bits.
//
// usage: golden_crowd MODEL [ADAPTER_FOLDER...]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "driver.h"
#include "dynlora/backend.h"
#include "sample/sample.h"
#include "sched/stats.h"

#define N_REQUESTS 32
#define MAX_PROMPT 90
#define MAX_ANSWER 40

struct scenario {
        const char *name;
        int max_rows, step_tokens, threads, kv_pages;
        bool prefix_cache, together, must_preempt, must_reuse;
};

static const struct scenario scenarios[] = {
        {"together, room for all", 32, 64, 2, 512, false, true, false, false},
        {"together, small chunks, one thread", 16, 16, 1, 512, false, true, false, false},
        {"together, prefix reuse", 8, 48, 2, 512, true, true, false, true},
        {"together, preempted", 32, 64, 2, 10, false, true, true, false},
        {"together, preempted, prefix reuse, three threads", 32, 40, 3, 10, true, true, true, false},
};

static int n_adapters;
static char **adapters;
static int32_t prompts[N_REQUESTS][MAX_PROMPT];
static struct dyn_logit_bias bias[2] = {{5, 3}, {9, -100}};

static unsigned draw(int i, int what, unsigned below)
{
        return (unsigned)(sample_uniform((uint64_t)i, (uint64_t)what) * below);
}

// Half of the prompts begin alike, so that prefixes can be found again.
static struct dyn_request make(int i, int vocab_size)
{
        int n_prompt = 1 + (int)draw(i, 0, MAX_PROMPT - 1), shared = i % 2 ? 48 : 0;

        for (int k = 0; k < n_prompt; k++)
                prompts[i][k] =
                        (int32_t)(sample_uniform(k < shared ? 7777 : (uint64_t)i, (uint64_t)(100 + k)) * vocab_size);
        struct dyn_request r = driver_request(prompts[i], n_prompt, 1 + (int)draw(i, 1, MAX_ANSWER));
        r.n_logprobs = i % 3 == 0 ? -1 : (int)draw(i, 2, 6);
        r.n_prompt_logprobs = i % 5 == 0 ? 3 : -1;
        r.sampling.seed = (uint64_t)i * 31;
        if (i % 4 != 0)
                r.sampling.temperature = 0.5f + (float)draw(i, 3, 10) / 10;
        if (i % 4 == 2)
                r.sampling.top_p = 0.9f;
        if (i % 4 == 3)
                r.sampling.top_k = 20;
        if (i % 7 == 0) {
                r.sampling.repetition_penalty = 1.2f;
                r.sampling.frequency_penalty = 0.3f;
                r.sampling.bias = bias;
                r.sampling.n_bias = 2;
        }
        return r;
}

// Runs all requests under a scenario; returns how many sequences were preempted and how many prompt tokens were reused.
static void run(const char *model, const struct scenario *sc, size_t page_bytes, struct result *results,
        uint64_t *preempted, uint64_t *reused)
{
        struct dyn_request requests[N_REQUESTS];
        struct dyn_adapter *loaded[n_adapters + 1];
        struct driver d;
        struct dyn_error err;

        driver_open(&d, (struct dyn_engine_options){.model = model,
                                .merge = DYN_MERGE_NEVER,
                                .backend = "auto",
                                .threads = sc->threads,
                                .kv_memory = (size_t)sc->kv_pages * page_bytes,
                                .max_rows = sc->max_rows,
                                .max_queue = 64,
                                .step_tokens = sc->step_tokens,
                                .max_context = 256,
                                .prefix_cache = sc->prefix_cache});
        loaded[0] = NULL;
        for (int i = 0; i < n_adapters; i++)
                if (dyn_adapter_load(d.engine, "a", adapters[i], &loaded[i + 1], &err) != DYN_OK) {
                        fprintf(stderr, "%s\n", err.text);
                        exit(1);
                }
        for (int i = 0; i < N_REQUESTS; i++) {
                requests[i] = make(i, dyn_engine_model(d.engine)->vocab_size);
                requests[i].adapter = loaded[i % (n_adapters + 1)];
                driver_submit(&d, &requests[i], &results[i]);
                if (!sc->together)
                        driver_wait(&d, 1);
                else
                        usleep(draw(i, 4, 1000));
        }
        if (sc->together)
                driver_wait(&d, N_REQUESTS);
        *preempted = atomic_load(&dyn_engine_metrics(d.engine)->preemptions);
        *reused = atomic_load(&dyn_engine_metrics(d.engine)->cached_tokens);
        for (int i = 1; i <= n_adapters; i++)
                dyn_adapter_unpin(loaded[i]);
        driver_close(&d);
}

static bool same_events(const struct dyn_event *a, const struct dyn_event *b, int n)
{
        for (int i = 0; i < n; i++)
                if (a[i].token != b[i].token || memcmp(&a[i].logprob, &b[i].logprob, sizeof a->logprob) != 0 ||
                        a[i].rank != b[i].rank || a[i].n_top != b[i].n_top ||
                        memcmp(a[i].top, b[i].top, (size_t)a[i].n_top * sizeof *a->top) != 0)
                        return false;
        return true;
}

static int count_different(const struct result *alone, const struct result *crowd)
{
        int n = 0;

        for (int i = 0; i < N_REQUESTS; i++)
                n += alone[i].n_tokens != crowd[i].n_tokens || alone[i].n_prompt != crowd[i].n_prompt ||
                     alone[i].end.finish != crowd[i].end.finish ||
                     !same_events(alone[i].tokens, crowd[i].tokens, alone[i].n_tokens) ||
                     !same_events(alone[i].prompt, crowd[i].prompt, alone[i].n_prompt);
        return n;
}

// What a page of the KV cache takes, so that budgets can be said in pages.
static size_t page_bytes_of(const char *model)
{
        struct driver d;
        size_t bytes;

        driver_open(&d, (struct dyn_engine_options){.model = model,
                                .merge = DYN_MERGE_NEVER,
                                .backend = "auto",
                                .kv_memory = 64 << 20,
                                .max_rows = 1,
                                .max_queue = 1,
                                .step_tokens = 1});
        const struct dyn_model_info *info = dyn_engine_model(d.engine);
        bytes = info->kv_bytes / (size_t)info->kv_pages;
        driver_close(&d);
        return bytes;
}

int main(int argc, char **argv)
{
        static const struct scenario alone_scenario = {"alone", 1, 7, 1, 512, false, false, false, false};
        struct result alone[N_REQUESTS], crowd[N_REQUESTS];
        int passed = 0, failed = 0;
        uint64_t preempted, reused;

        if (argc < 2) {
                fprintf(stderr, "usage: golden_crowd MODEL [ADAPTER_FOLDER...]\n");
                return 2;
        }
        adapters = argv + 2;
        n_adapters = argc - 2;
        size_t page_bytes = page_bytes_of(argv[1]);
        run(argv[1], &alone_scenario, page_bytes, alone, &preempted, &reused);
        for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
                run(argv[1], &scenarios[i], page_bytes, crowd, &preempted, &reused);
                int different = count_different(alone, crowd);
                bool good = different == 0 && (preempted > 0 || !scenarios[i].must_preempt) &&
                            (reused > 0 || !scenarios[i].must_reuse);

                printf("%s: %d of %d differ, %llu preempted, %llu tokens reused%s\n", scenarios[i].name, different,
                        N_REQUESTS, (unsigned long long)preempted, (unsigned long long)reused, good ? "" : ": FAILED");
                *(good ? &passed : &failed) += 1;
                for (int k = 0; k < N_REQUESTS; k++)
                        driver_free(&crowd[k]);
        }
        for (int k = 0; k < N_REQUESTS; k++)
                driver_free(&alone[k]);
        printf("%d passed, %d failed\n", passed, failed);
        return failed > 0;
}
