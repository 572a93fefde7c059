// How long steps become while adapters are merged, exchanged and given back: `bench_switches MODEL ADAPTER OTHER
// [rounds] [rows] [threads]`, which tests/bench/switches calls. Rows decode all the time. Of each change, the steps
// from the moment it is asked for until it is done (and as many as make a window) are held against the median of the
// steps just before it, and so is a window of as many steps before it in which nothing changes: what the machine itself
// does to steps is seen beside what the change does. Steps in which a hypervisor took the cores away are counted apart:
// some stop them for tens of milliseconds when memory is given back, a while after a restore. With one thread steps are
// measured in its own CPU time, which does not count while others have the core.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "sched/stats.h"

#define MAX_ROWS    64
#define MAX_STEPS   (1 << 16) // remembered
#define LEAST_STEPS 32        // in a window
#define N_PROMPT    4
#define N_ANSWER    200

enum change { MERGE, EXCHANGE, RESTORE, N_CHANGES };

// What a kind of change did, and the windows without.
struct tally {
        double *longest, *still_longest; // (rounds) in medians of the steps before
        double *took;                    // (rounds) seconds
        double *median;                  // (rounds) of the steps before, seconds
        long steps, above, still_steps, still_above, stolen, still_stolen;
        int n;
};

struct bench {
        struct dyn_engine *engine;
        struct dyn_adapter *adapters[2];
        struct dyn_request rows[MAX_ROWS];
        int32_t prompts[MAX_ROWS][N_PROMPT];
        int n_rows, rounds;
        clockid_t clock; // that steps are measured by
        // Written on the engine thread.
        int64_t ends[MAX_STEPS];    // of steps, ns of the clock
        uint64_t stolen[MAX_STEPS]; // until then, ticks of all cores
        atomic_int n_steps, n_running;
        atomic_bool over;
        struct tally tallies[N_CHANGES];
};

static void must(enum dyn_status st, const struct dyn_error *err)
{
        if (st != DYN_OK) {
                fprintf(stderr, "%s\n", err->text);
                exit(1);
        }
}

// Rows that never end
// --------------------------------------------------------------------------------------------------------------------

static void submit(struct bench *b, struct dyn_request *r)
{
        struct dyn_error err;

        must(dyn_engine_submit(b->engine, r, &err), &err);
}

static int64_t read_clock(clockid_t clock)
{
        struct timespec t;

        clock_gettime(clock, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Time that a hypervisor has taken from the cores so far, in ticks; 0 where the system does not say.
static uint64_t read_stolen(void)
{
        unsigned long long stolen = 0;
        FILE *f = fopen("/proc/stat", "r");

        if (f != NULL && fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &stolen) != 1)
                stolen = 0;
        if (f != NULL)
                fclose(f);
        return stolen;
}

// Engine thread, after every step: each gives an event, and all of them are taken here.
static void wake(void *ctx)
{
        struct bench *b = ctx;
        struct dyn_event event;
        int n = atomic_load(&b->n_steps);

        b->ends[n % MAX_STEPS] = read_clock(b->clock);
        b->stolen[n % MAX_STEPS] = read_stolen();
        atomic_store(&b->n_steps, n + 1);
        while (dyn_engine_poll(b->engine, &event)) {
                if (event.kind == DYN_EVENT_END && !atomic_load(&b->over))
                        submit(b, event.request);
                else if (event.kind == DYN_EVENT_END)
                        atomic_fetch_sub(&b->n_running, 1);
        }
}

static void wait_for_steps(const struct bench *b, int n)
{
        while (atomic_load(&b->n_steps) < n)
                usleep(500);
}

// Every `each`th row asks for the first adapter, the others for the base; 0: none does.
static void start_rows(struct bench *b, int each)
{
        atomic_store(&b->over, false);
        atomic_store(&b->n_running, b->n_rows);
        for (int i = 0; i < b->n_rows; i++) {
                for (int k = 0; k < N_PROMPT; k++)
                        b->prompts[i][k] = 100 + 37 * i + k;
                b->rows[i] = (struct dyn_request){.prompt = b->prompts[i],
                        .n_prompt = N_PROMPT,
                        .adapter = each > 0 && i % each == 0 ? b->adapters[0] : NULL,
                        .max_tokens = N_ANSWER + 13 * i, // so that they do not all begin anew in one step
                        .n_logprobs = -1,
                        .n_prompt_logprobs = -1,
                        .sampling = {.top_p = 1, .repetition_penalty = 1}};
                submit(b, &b->rows[i]);
        }
        wait_for_steps(b, atomic_load(&b->n_steps) + LEAST_STEPS);
}

static void end_rows(struct bench *b)
{
        atomic_store(&b->over, true);
        while (atomic_load(&b->n_running) > 0)
                usleep(500);
}

// Windows of steps
// --------------------------------------------------------------------------------------------------------------------

static int by_size(const void *x, const void *y)
{
        double a = *(const double *)x, b = *(const double *)y;

        return (a > b) - (a < b);
}

// values: (n), sorted here.
static double median_of(double *values, int n)
{
        qsort(values, (size_t)n, sizeof *values, by_size);
        return values[n / 2];
}

// Seconds from the end of the step before it to its own.
static double step_at(const struct bench *b, int i)
{
        return (double)(b->ends[i % MAX_STEPS] - b->ends[(i - 1) % MAX_STEPS]) * 1e-9;
}

static double median_step(const struct bench *b, int first, int n)
{
        double *steps = mem_array((size_t)n, sizeof *steps), median;

        for (int i = 0; i < n; i++)
                steps[i] = step_at(b, first + i);
        median = median_of(steps, n);
        mem_free(steps);
        return median;
}

// Ticks are counted late, by up to two steps.
static bool was_stolen(const struct bench *b, int i)
{
        return b->stolen[(i + 2) % MAX_STEPS] > b->stolen[(i - 1) % MAX_STEPS];
}

// The longest of the steps that nobody stole, in medians; counts those above two, and the stolen ones.
static double longest_step(const struct bench *b, int first, int n, double median, long *above, long *stolen)
{
        double longest = 0;

        for (int i = first; i < first + n; i++) {
                double x = step_at(b, i) / median;

                if (was_stolen(b, i)) {
                        ++*stolen;
                        continue;
                }
                longest = x > longest ? x : longest;
                *above += x > 2;
        }
        return longest;
}

static void ask_for(struct bench *b, struct dyn_adapter *a)
{
        for (int i = 0; i < 2; i++)
                atomic_store(&b->adapters[i]->unmergeable, b->adapters[i] != a);
        dyn_engine_prefer_merged(b->engine, a, a != NULL);
        dyn_engine_kick(b->engine);
}

static bool is_there(const struct bench *b, const struct dyn_adapter *a, uint64_t restores)
{
        if (a == NULL)
                return atomic_load(&dyn_engine_metrics(b->engine)->restores) > restores;
        return dyn_adapter_merged_since(a) > 0;
}

// How many steps the window had.
static int change(struct bench *b, struct dyn_adapter *to, double *took)
{
        uint64_t restores = atomic_load(&dyn_engine_metrics(b->engine)->restores);
        int first = atomic_load(&b->n_steps), end;
        int64_t began = clock_ns();

        ask_for(b, to);
        while (!is_there(b, to, restores))
                usleep(200);
        *took = (double)(clock_ns() - began) * 1e-9;
        end = atomic_load(&b->n_steps) + 1; // the step that follows the last slice
        wait_for_steps(b, end > first + LEAST_STEPS ? end : first + LEAST_STEPS);
        return (end > first + LEAST_STEPS ? end : first + LEAST_STEPS) - first;
}

// A window without a change as long as the last one of this kind, then one with it.
static void measure(struct bench *b, enum change kind, struct dyn_adapter *to, int *length)
{
        struct tally *t = &b->tallies[kind];
        int still = atomic_load(&b->n_steps) + 1; // the first step may still be of what was before

        wait_for_steps(b, still + *length);
        int first = atomic_load(&b->n_steps);
        double median = median_step(b, first - *length, *length);

        t->still_longest[t->n] = longest_step(b, first - *length, *length, median, &t->still_above, &t->still_stolen);
        t->still_steps += *length;
        t->median[t->n] = median;
        *length = change(b, to, &t->took[t->n]);
        t->longest[t->n++] = longest_step(b, first, *length, median, &t->above, &t->stolen);
        t->steps += *length;
}

// What is shown
// --------------------------------------------------------------------------------------------------------------------

static void show(const struct bench *b, const char *rows, enum change kind, int steps)
{
        static const char *const names[] = {[MERGE] = "merge", [EXCHANGE] = "exchange", [RESTORE] = "restore"};
        const struct tally *t = &b->tallies[kind];
        double longest = median_of(t->longest, t->n), still = median_of(t->still_longest, t->n);

        printf("| %s | %s | %.1f | %.0f | %d | %.2f (%.2f) | %.2f (%.2f) | %.2f %% | %.2f %% | %ld, %ld |\n", rows,
                names[kind], 1e3 * median_of(t->median, t->n), 1e3 * median_of(t->took, t->n), steps, longest,
                t->longest[t->n - 1], still, t->still_longest[t->n - 1], 100.0 * (double)t->above / (double)t->steps,
                100.0 * (double)t->still_above / (double)t->still_steps, t->stolen, t->still_stolen);
}

static void run(struct bench *b, const char *rows, int each)
{
        int lengths[N_CHANGES] = {LEAST_STEPS, LEAST_STEPS, LEAST_STEPS};

        for (int kind = 0; kind < N_CHANGES; kind++) {
                struct tally *t = &b->tallies[kind];
                double **arrays[] = {&t->longest, &t->still_longest, &t->took, &t->median};

                for (int i = 0; i < 4; i++) {
                        mem_free(*arrays[i]);
                        *arrays[i] = mem_array((size_t)b->rounds, sizeof(double));
                }
                t->steps = t->above = t->still_steps = t->still_above = t->stolen = t->still_stolen = t->n = 0;
        }
        start_rows(b, each);
        for (int i = 0; i < b->rounds; i++) {
                measure(b, MERGE, b->adapters[0], &lengths[MERGE]);
                measure(b, EXCHANGE, b->adapters[1], &lengths[EXCHANGE]);
                measure(b, RESTORE, NULL, &lengths[RESTORE]);
        }
        end_rows(b);
        for (int kind = 0; kind < N_CHANGES; kind++)
                show(b, rows, kind, lengths[kind]);
}

int main(int argc, char **argv)
{
        struct bench *b = mem_zalloc(sizeof *b);
        struct dyn_error err;

        if (argc < 4) {
                fprintf(stderr, "usage: bench_switches MODEL ADAPTER OTHER [rounds] [rows] [threads]\n");
                return 2;
        }
        b->rounds = argc > 4 ? atoi(argv[4]) : 10;
        b->n_rows = argc > 5 ? atoi(argv[5]) : 4;
        int threads = argc > 6 ? atoi(argv[6]) : 0;

        b->clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
        if (b->rounds < 1 || b->n_rows < 1 || b->n_rows > MAX_ROWS) {
                fprintf(stderr, "expected at least 1 round and 1 to %d rows, found %d and %d\n", MAX_ROWS, b->rounds,
                        b->n_rows);
                return 2;
        }
        struct dyn_engine_options options = {.model = argv[1],
                .backend = "auto",
                .threads = threads,
                .kv_dtype = DYN_F16,
                .kv_memory = (size_t)512 << 20,
                .max_rows = MAX_ROWS,
                .max_queue = MAX_ROWS,
                .step_tokens = 256,
                .wake = wake,
                .ctx = b};

        setvbuf(stdout, NULL, _IOLBF, 0);
        must(dyn_engine_create(&b->engine, &options, &err), &err);
        for (int i = 0; i < 2; i++) {
                must(dyn_adapter_load(b->engine, "it", argv[2 + i], &b->adapters[i], &err), &err);
                atomic_store(&b->adapters[i]->unmergeable, true); // until it is asked for
        }
        printf("| rows of | what happens | step, ms | takes, ms | steps | longest in medians (most) | without (most) | "
               "above 2 | without | stolen, without |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
        run(b, "the adapter", 1);
        run(b, "the base", 0);
        if (b->n_rows > 1)
                run(b, "both", 2);
        for (int i = 0; i < 2; i++)
                dyn_adapter_unpin(b->adapters[i]);
        dyn_engine_destroy(b->engine);
        mem_free(b);
        return 0;
}
