// Holds an engine that merges against the oracles of both modes (README.md). With each adapter merged in turn: its own
// rows against merged weights, and in the same batch those of the base and of another adapter: the same bits that they
// have without any merge. After a restore the base answers the same bits as before the first merge. Prefixes
// cached in one mode are gone on with in the other.
//
// usage: golden_merged GOLDEN.json MERGED.json MODEL STRIDE ADAPTERS [DEMO_ADAPTERS]
//      STRIDE 1 takes all adapters, 3 every third. A .gguf is used as it lies: matrices that are merged become bf16.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "oracle.h"

#define MAX_ADAPTERS 16
#define MAX_CASES    32
#define WAIT_NS      60000000000

#define SURE   0.05 // the oracle's margin above which its token must come
#define N_TOP  5
#define NATIVE 2.5 // observed: 1.31 in the worst, 0.10 in the mean

struct asked {
        const cJSON *c;
        int32_t *ids;
        struct dyn_request request;
        struct result result;
};

struct world {
        struct driver d;
        cJSON *golden, *merged;
        struct dyn_adapter *adapters[MAX_ADAPTERS];
        int n_adapters;
        double tolerance; // of answers beside an oracle of the same mode
};

static int passed, failed;

static const char *name_of(const struct dyn_adapter *a)
{
        return a ? dyn_adapter_info(a)->name : "base";
}

static bool is_of(const cJSON *c, const struct dyn_adapter *a)
{
        const cJSON *adapter = json_member(c, "adapter");

        return a ? cJSON_IsString(adapter) && strcmp(adapter->valuestring, name_of(a)) == 0 : cJSON_IsNull(adapter);
}

static bool same_name(const cJSON *a, const cJSON *b)
{
        return strcmp(json_member(a, "name")->valuestring, json_member(b, "name")->valuestring) == 0;
}

static void add_distance(const cJSON *a, const cJSON *b, struct gap *gap)
{
        for (int i = 1; i < cJSON_GetArraySize(a); i++)
                gap_add(gap, fabs(cJSON_GetArrayItem(a, i)->valuedouble - cJSON_GetArrayItem(b, i)->valuedouble));
}

// How far what A's merge rounds away may move answers to a prompt that was computed in the other mode, from the
// distance of the oracles of the two.
static double rounding_of(const struct world *w, const struct dyn_adapter *a)
{
        struct gap gap = {0};
        const cJSON *c, *other;

        cJSON_ArrayForEach(c, json_member(w->merged, "cases"))
        {
                cJSON_ArrayForEach(other, json_member(w->golden, "cases"))
                {
                        if (is_of(c, a) && is_of(other, a) && same_name(c, other))
                                add_distance(
                                        json_member(c, "prompt_logprobs"), json_member(other, "prompt_logprobs"), &gap);
                }
        }
        return 2 * gap.worst + w->tolerance;
}

static void tell(bool good, const char *who, const char *what, const struct gap *gap)
{
        *(good ? &passed : &failed) += 1;
        printf("%s%-24s %-38s worst %.5f mean %.5f of %d\n", good ? "" : "FAILED ", who, what, gap->worst,
                gap_mean(gap), gap->n);
}

// Asking
// --------------------------------------------------------------------------------------------------------------------

// Submits every case of an adapter, NULL is the base, behind the n that are there; returns how many there are then.
static int ask(struct world *w, struct asked *at, int n, const cJSON *file, struct dyn_adapter *a)
{
        const cJSON *c;

        cJSON_ArrayForEach(c, json_member(file, "cases"))
        {
                struct asked *q = &at[n];
                int n_prompt;

                if (!is_of(c, a) || n == MAX_CASES)
                        continue;
                q->c = c;
                q->ids = oracle_prompt(c, &n_prompt);
                q->request = driver_request(q->ids, n_prompt, cJSON_GetArraySize(json_member(c, "greedy")));
                q->request.n_logprobs = q->request.n_prompt_logprobs = 0;
                q->request.adapter = a;
                driver_submit(&w->d, &q->request, &q->result);
                n++;
        }
        return n;
}

static void forget(struct asked *at, int n)
{
        for (int i = 0; i < n; i++) {
                driver_free(&at[i].result);
                mem_free(at[i].ids);
        }
}

// A short answer of an adapter, to see what its weights are.
static struct dyn_event probe(struct world *w, struct dyn_adapter *a)
{
        static const int32_t prompt[] = {5};
        struct dyn_request r = driver_request(prompt, 1, 1);
        struct result result;

        r.adapter = a;
        driver_submit(&w->d, &r, &result);
        driver_wait(&w->d, 1);
        struct dyn_event end = result.end;

        driver_free(&result);
        return end;
}

static void give_up_after(int64_t began, const char *what)
{
        if (clock_ns() - began > WAIT_NS) {
                fprintf(stderr, "not %s after a minute\n", what);
                exit(1);
        }
        usleep(1000);
}

static void merge(struct world *w, struct dyn_adapter *a)
{
        atomic_store(&a->unmergeable, false);
        dyn_engine_prefer_merged(w->d.engine, a, true);
        for (int64_t began = clock_ns(); dyn_adapter_merged_since(a) == 0;)
                give_up_after(began, "merged");
}

static void restore(struct world *w, struct dyn_adapter *a)
{
        atomic_store(&a->unmergeable, true);
        dyn_engine_prefer_merged(w->d.engine, NULL, false);
        for (int64_t began = clock_ns(); probe(w, a).mode != DYN_MODE_PER_ROW;)
                give_up_after(began, "restored");
}

// Checks
// --------------------------------------------------------------------------------------------------------------------

static bool says_merged(const struct result *r, const struct dyn_adapter *a)
{
        bool good = r->end.mode == DYN_MODE_MERGED && strcmp(r->end.merged, dyn_adapter_info(a)->version) == 0;

        if (!good)
                printf("  expected an answer with %s merged, found mode %d, \"%s\"\n", name_of(a), (int)r->end.mode,
                        r->end.merged);
        return good;
}

static void check_own(const struct world *w, const struct asked *at, int n, const struct dyn_adapter *merged)
{
        struct gap once = {0}, by_peft = {0};
        bool good = true;

        for (int i = 0; i < n; i++) {
                good &= says_merged(&at[i].result, merged) &
                        oracle_prompt_gap(at[i].c, "prompt_logprobs", &at[i].result, &once) &
                        oracle_greedy_gap(at[i].c, &at[i].result, fmax(SURE, w->tolerance), &once);
                oracle_prompt_gap(at[i].c, "peft_logprobs", &at[i].result, &by_peft);
        }
        tell(good && once.worst <= w->tolerance && gap_mean(&once) <= w->tolerance / 4, name_of(merged), "merged",
                &once);
        tell(by_peft.worst <= fmax(w->tolerance, 0.05), name_of(merged), "merged, beside merge_and_unload", &by_peft);
}

static bool same_events(const struct dyn_event *a, const struct dyn_event *b, int n)
{
        for (int i = 0; i < n; i++)
                if (a[i].token != b[i].token || memcmp(&a[i].logprob, &b[i].logprob, sizeof a->logprob) != 0)
                        return false;
        return true;
}

// Answers beside those to the same cases on the base's own weights, bit for bit, and beside their oracle.
static void check_same(const struct world *w, const struct asked *at, const struct asked *before, int n,
        const char *what, const struct dyn_adapter *merged)
{
        struct gap gap = {0};
        bool good = n > 0;

        for (int i = 0; i < n; i++) {
                const struct result *a = &before[i].result, *b = &at[i].result;

                good &= at[i].c == before[i].c && b->end.mode == DYN_MODE_PER_ROW && a->n_prompt == b->n_prompt &&
                        a->n_tokens == b->n_tokens && same_events(a->prompt, b->prompt, a->n_prompt) &&
                        same_events(a->tokens, b->tokens, a->n_tokens);
                oracle_prompt_gap(at[i].c, "prompt_logprobs", b, &gap);
        }
        char *text = mem_printf("the same bits %s %.12s", what, name_of(merged));

        tell(good && gap.worst <= w->tolerance, name_of(at->request.adapter), text, &gap);
        mem_free(text);
}

static int ask_and_wait(struct world *w, struct asked *at, struct dyn_adapter *a)
{
        int n = ask(w, at, 0, w->golden, a);

        driver_wait(&w->d, n);
        return n;
}

static void check_modes(struct world *w)
{
        struct asked base[MAX_CASES], others[MAX_CASES], again[MAX_CASES], at[3 * MAX_CASES];
        int n_base = ask_and_wait(w, base, NULL);

        for (int i = 0; i < w->n_adapters; i++) {
                struct dyn_adapter *a = w->adapters[i], *other = w->adapters[(i + 1) % w->n_adapters];
                int n_others = ask_and_wait(w, others, other);

                merge(w, a);
                int n_own = ask(w, at, 0, w->merged, a);
                int first = ask(w, at, n_own, w->golden, NULL);
                int n = other == a ? first : ask(w, at, first, w->golden, other);

                driver_wait(&w->d, n);
                check_own(w, at, n_own, a);
                check_same(w, at + n_own, base, n_base, "beside", a);
                if (other != a)
                        check_same(w, at + first, others, n_others, "beside", a);
                forget(at, n);
                restore(w, a);
                int n_again = ask_and_wait(w, again, NULL);

                check_same(w, again, base, n_again, "after", a);
                forget(again, n_again);
                forget(others, n_others);
        }
        forget(base, n_base);
}

// Cached prefixes
// --------------------------------------------------------------------------------------------------------------------

// The longest case of an adapter, or the longest one that is shorter than `below`.
static const cJSON *longest(const cJSON *file, const struct dyn_adapter *a, int below)
{
        const cJSON *c, *best = NULL;

        cJSON_ArrayForEach(c, json_member(file, "cases"))
        {
                int n = cJSON_GetArraySize(json_member(c, "prompt"));

                if (is_of(c, a) && n < below && (best == NULL || n > cJSON_GetArraySize(json_member(best, "prompt"))))
                        best = c;
        }
        return best;
}

static void answer(struct world *w, const cJSON *c, struct dyn_adapter *a, int n_tokens, struct result *r)
{
        int n;
        int32_t *ids = oracle_prompt(c, &n);
        struct dyn_request request = driver_request(ids, n, n_tokens);

        request.n_logprobs = N_TOP;
        request.adapter = a;
        driver_submit(&w->d, &request, r);
        driver_wait(&w->d, 1);
        mem_free(ids);
}

// The prompt is computed in one mode and answered in the other, from the oracle of which c is.
static void check_prefix(struct world *w, const cJSON *c, struct dyn_adapter *a, bool merged_first)
{
        double limit = rounding_of(w, a);
        struct result first, then;
        struct gap gap = {0};

        if (merged_first)
                merge(w, a);
        answer(w, c, a, 1, &first);
        (merged_first ? restore : merge)(w, a);
        answer(w, c, a, cJSON_GetArraySize(json_member(c, "greedy")), &then);
        bool good = oracle_greedy_gap(c, &then, 2 * limit, &gap) && then.end.cached_tokens > 0 &&
                    then.end.mode == DYN_MODE_SWITCHED;

        tell(good && gap.n > 0 && gap.worst <= limit, name_of(a),
                merged_first ? "per row, on a prefix of merged" : "merged, on a prefix of per row", &gap);
        if (!merged_first)
                restore(w, a);
        driver_free(&first);
        driver_free(&then);
}

static void check_prefixes(struct world *w)
{
        for (int i = 0; i < w->n_adapters; i++) {
                struct dyn_adapter *a = w->adapters[i];
                const cJSON *c = longest(w->golden, a, 1 << 20);
                int n = cJSON_GetArraySize(json_member(c, "prompt"));

                check_prefix(w, c, a, true);
                check_prefix(w, longest(w->merged, a, n), a, false);
        }
}

// An engine for each check
// --------------------------------------------------------------------------------------------------------------------

struct setup {
        enum dyn_weights weights;
        enum dyn_dtype kv_dtype;
        bool prefix_cache;
        double tolerance;
        void (*check)(struct world *);
};

static const struct setup as_stored[] = {
        {DYN_WEIGHTS_BF16, DYN_F32, false, 0.02, check_modes},
        {DYN_WEIGHTS_BF16, DYN_F16, true, 0.05, check_prefixes},
        {0},
};
// A quantised base beside oracles of the same weights in bf16: merged matrices agree, the others round rows to eight
// bits.
static const struct setup quantised[] = {
        {DYN_WEIGHTS_NATIVE, DYN_F32, false, NATIVE, check_modes},
        {0},
};

static void with_engine(struct world *w, const struct setup *s, const char *model, int stride, char **folders, int n)
{
        const cJSON *adapter;
        int i = 0;

        driver_open(&w->d, (struct dyn_engine_options){.model = model,
                                   .backend = "auto",
                                   .weights = s->weights,
                                   .kv_memory = 64 << 20,
                                   .kv_dtype = s->kv_dtype,
                                   .max_rows = 8,
                                   .max_queue = 64,
                                   .step_tokens = 48,
                                   .prefix_cache = s->prefix_cache});
        w->n_adapters = 0;
        w->tolerance = s->tolerance;
        cJSON_ArrayForEach(adapter, json_member(w->merged, "adapter_sha256"))
        {
                if (i++ % stride != 0)
                        continue;
                struct dyn_adapter *a = oracle_adapter(&w->d, adapter->string, folders, n);

                atomic_store(&a->unmergeable, true);
                w->adapters[w->n_adapters++] = a;
        }
        printf("%s, KV in %s, limit %.2f beside an oracle of the same mode\n", model, dyn_dtype_name(s->kv_dtype),
                s->tolerance);
        s->check(w);
        for (i = 0; i < w->n_adapters; i++)
                dyn_adapter_unpin(w->adapters[i]);
        driver_close(&w->d);
}

int main(int argc, char **argv)
{
        int stride = argc < 6 ? 0 : atoi(argv[4]);

        if (stride < 1) {
                fprintf(stderr, "usage: golden_merged GOLDEN.json MERGED.json MODEL STRIDE ADAPTERS [DEMO_ADAPTERS]\n");
                return 2;
        }
        struct world w = {.golden = oracle_open(argv[1]), .merged = oracle_open(argv[2])};

        for (const struct setup *s = strstr(argv[3], ".gguf") ? quantised : as_stored; s->check != NULL; s++)
                with_engine(&w, s, argv[3], stride, argv + 5, argc - 5);
        cJSON_Delete(w.golden);
        cJSON_Delete(w.merged);
        printf("%d passed, %d failed\n", passed, failed);
        return failed > 0;
}
