// Options to cases, cases to rounds, rounds to medians. A round measures the machine, then every case once, so that
// what disturbs the machine disturbs all of them; the first case of a round runs while no adapter is loaded.
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"
#include "bench_drive.h"
#include "bench_files.h"
#include "bench_result.h"
#include "bench_work.h"
#include "dynlora/backend.h"
#include "model/checkpoint.h"
#include "progress.h"

struct bench {
        struct conf_bench conf;
        struct bench_result result;
        struct bench_drive *drive;
        struct progress progress;
        struct dyn_adapter **adapters; // (n_adapters) while they are loaded
        int n_adapters;
};

static int max2(int a, int b)
{
        return a > b ? a : b;
}

static int largest(const struct conf_ints *ints)
{
        int most = 0;

        for (int i = 0; i < ints->n; i++)
                most = max2(most, ints->at[i]);
        return most;
}

static void on_progress(void *ctx, const char *what, double done)
{
        struct bench *b = ctx;

        progress_say(&b->progress, what, done);
}

// The model
// -----------------------------------------------------------------------------------------------------------------

// Positions that the longest sequence has, and pages for all rows at once: no more, so that what is measured has
// touched the whole cache in the end.
static enum dyn_status size_engine(const struct bench *b, struct dyn_engine_options *o, struct dyn_error *err)
{
        int longest = b->conf.context + 1 + b->conf.generate, n_rows = largest(&b->conf.rows);
        struct checkpoint *c;
        enum dyn_status st = checkpoint_open(&c, o->model, err);

        if (st != DYN_OK)
                return st;
        const struct model_config *m = checkpoint_config(c);
        size_t token = dyn_dtype_bytes(o->kv_dtype, 2 * (int64_t)m->n_layers * m->n_kv_heads * m->head_dim);
        size_t pages = (size_t)n_rows * (size_t)(longest / DYN_PAGE_TOKENS + 2);

        o->max_context = max2(longest, b->conf.prompt + 1);
        if (o->max_context > m->max_context)
                st = dyn_fail(err, DYN_INVALID,
                        "--prompt, --context and --generate: expected at most %d tokens in a sequence, found %d",
                        m->max_context, o->max_context);
        size_t alone = (size_t)(o->max_context / DYN_PAGE_TOKENS + 2);
        o->kv_memory = (pages > alone ? pages : alone) * DYN_PAGE_TOKENS * token;
        o->max_rows = n_rows;
        o->step_tokens = max2(b->conf.step_tokens, n_rows);
        checkpoint_close(c);
        return st;
}

// Bytes of the process that belong to no file.
static size_t anonymous_bytes(void)
{
        FILE *f = fopen("/proc/self/status", "re");
        unsigned long long kib = 0;
        char line[128];

        while (f != NULL && fgets(line, sizeof line, f) != NULL)
                if (sscanf(line, "RssAnon: %llu", &kib) == 1)
                        break;
        if (f != NULL)
                fclose(f);
        return (size_t)kib * 1024;
}

// Beside weights, KV cache and adapters. Weights that are not mapped from their file are most of a process that has
// just loaded them.
static size_t other_bytes(const struct bench_result *r, size_t anonymous, size_t known)
{
        if (r->ready_bytes > r->model.weight_bytes / 2)
                known += r->model.weight_bytes;
        return anonymous > known ? anonymous - known : 0;
}

static enum dyn_status load_model(struct bench *b, const char *path, struct dyn_error *err)
{
        struct bench_result *r = &b->result;
        struct dyn_engine_options o = {
                .model = path,
                .backend = b->conf.backend,
                .weights = b->conf.weights,
                .threads = r->threads,
                .kv_dtype = b->conf.kv_dtype,
                .merge = DYN_MERGE_NEVER,
        };
        enum dyn_status st = size_engine(b, &o, err);

        if (st != DYN_OK)
                return st;
        int64_t began = clock_ns();

        st = bench_drive_create(&b->drive, &o, err);
        r->ready_seconds = (double)(clock_ns() - began) * 1e-9;
        r->ready_bytes = anonymous_bytes();
        if (st == DYN_OK)
                r->model = *dyn_engine_model(bench_drive_engine(b->drive));
        return st;
}

// The random model is mapped once it is loaded, so a temporary one can go at once.
static enum dyn_status make_model(struct bench *b, struct dyn_error *err)
{
        bool kept = b->conf.keep != NULL;
        char *folder = kept ? mem_strdup(b->conf.keep) : bench_files_folder(err);
        enum dyn_status st = DYN_IO;

        if (folder == NULL)
                return st;
        if (kept)
                mkdir(folder, 0777);
        st = bench_files_model(folder, on_progress, b, err);
        progress_end(&b->progress);
        if (st == DYN_OK)
                st = load_model(b, folder, err);
        if (!kept)
                bench_files_remove();
        mem_free(folder);
        return st;
}

// Adapters
// -----------------------------------------------------------------------------------------------------------------

static void unload_adapters(struct bench *b)
{
        while (b->n_adapters > 0)
                dyn_adapter_unpin(b->adapters[--b->n_adapters]);
}

static enum dyn_status load_adapter(struct bench *b, struct dyn_error *err)
{
        struct dyn_engine *engine = bench_drive_engine(b->drive);
        const struct conf_ints *ranks = &b->conf.ranks;
        int i = b->n_adapters;
        char name[20], *folder = bench_files_folder(err);
        enum dyn_status st = DYN_IO;

        if (folder == NULL)
                return st;
        snprintf(name, sizeof name, "adapter %d", i);
        st = bench_files_adapter(folder, dyn_engine_adapter_host(engine)->sites, ranks->at[i % ranks->n], i, err);
        if (st == DYN_OK)
                st = dyn_adapter_load(engine, name, folder, &b->adapters[i], err);
        b->n_adapters += st == DYN_OK;
        bench_files_remove();
        mem_free(folder);
        return st;
}

static enum dyn_status load_adapters(struct bench *b, struct dyn_error *err)
{
        enum dyn_status st = DYN_OK;
        int n = 0;

        for (int i = 0; i < b->result.n; i++)
                n = max2(n, b->result.cases[i].adapters);
        if (b->adapters == NULL)
                b->adapters = mem_array((size_t)n + 1, sizeof(struct dyn_adapter *));
        while (b->n_adapters < n && st == DYN_OK)
                st = load_adapter(b, err);
        b->result.adapter_bytes = 0;
        for (int i = 0; i < b->n_adapters; i++)
                b->result.adapter_bytes += dyn_adapter_info(b->adapters[i])->bytes;
        return st;
}

// Cases
// -----------------------------------------------------------------------------------------------------------------

static void add_case(struct bench *b, struct bench_case c)
{
        struct bench_result *r = &b->result;

        c.seconds = mem_array((size_t)b->conf.rounds, sizeof *c.seconds);
        r->cases = mem_realloc(r->cases, (size_t)(r->n + 1) * sizeof *r->cases);
        r->cases[r->n] = c;
        r->n++;
}

// In the order in which a round runs them.
static void list_cases(struct bench *b)
{
        const struct conf_ints *rows = &b->conf.rows, *adapters = &b->conf.adapters;
        bool any = largest(adapters) > 0;

        if (any) // three cases before that of the same rows with adapters loaded
                add_case(b, (struct bench_case){.none_loaded = true, .rows = rows->at[0], .base = 3});
        add_case(b, (struct bench_case){.prefill = true, .rows = 1, .base = b->result.n});
        if (any)
                add_case(b, (struct bench_case){.prefill = true, .rows = 1, .adapters = 1, .base = b->result.n - 1});
        for (int i = 0; i < rows->n; i++) {
                int base = b->result.n;

                add_case(b, (struct bench_case){.rows = rows->at[i], .base = base});
                for (int k = 0; k < adapters->n; k++)
                        if (adapters->at[k] > 0 && adapters->at[k] <= rows->at[i])
                                add_case(b, (struct bench_case){
                                                    .rows = rows->at[i], .adapters = adapters->at[k], .base = base});
        }
}

// Rounds
// -----------------------------------------------------------------------------------------------------------------

static enum dyn_status run_case(struct bench *b, struct bench_case *c, int round, struct dyn_error *err)
{
        const struct conf_bench *conf = &b->conf;
        double *seconds = &c->seconds[round];

        if (c->none_loaded)
                unload_adapters(b);
        else if (b->n_adapters == 0 && load_adapters(b, err) != DYN_OK)
                return err->status;
        bench_work_count(
                c, conf, &b->result.model, dyn_engine_adapter_host(bench_drive_engine(b->drive))->sites, b->adapters);
        if (c->prefill)
                return bench_drive_prefill(b->drive, c->adapters ? b->adapters[0] : NULL, conf->prompt, seconds, err);
        return bench_drive_decode(
                b->drive, c->rows, b->adapters, c->adapters, conf->context, conf->generate, seconds, err);
}

static enum dyn_status run_rounds(struct bench *b, struct dyn_error *err)
{
        struct bench_result *r = &b->result;
        int n = b->conf.rounds;
        enum dyn_status st;
        double unused;

        r->peaks = mem_array((size_t)n, sizeof *r->peaks);
        if ((st = bench_drive_decode(b->drive, 1, NULL, 0, 0, 1, &unused, err))) // reads the weights once
                return st;
        for (int i = 0; i < n; i++) {
                if ((st = bench_machine_measure(r->threads, &r->peaks[i], err)))
                        return st;
                for (int k = 0; k < r->n; k++) {
                        on_progress(b, "measuring", (double)(i * r->n + k) / (n * r->n));
                        if ((st = run_case(b, &r->cases[k], i, err)))
                                return st;
                }
        }
        progress_end(&b->progress);
        r->bytes = other_bytes(r, anonymous_bytes(), r->model.kv_bytes + r->adapter_bytes);
        r->ready_bytes = other_bytes(r, r->ready_bytes, 0);
        return DYN_OK;
}

// The program
// -----------------------------------------------------------------------------------------------------------------

static void print_usage(FILE *out)
{
        fputs("dynlora bench: measures what this machine reads and multiplies at most, then\n"
              "what share of it the engine uses, for the base and for adapters made of random\n"
              "numbers. Stop other work first. Exit status: 0 done, 1 failed, 2 bad usage.\n"
              "\n",
                out);
        conf_bench_print_help(out);
}

static enum dyn_status measure(struct bench *b, struct dyn_error *err)
{
        const char *model = b->conf.model;
        enum dyn_status st;

        b->conf.context = (b->conf.context + DYN_PAGE_TOKENS - 1) / DYN_PAGE_TOKENS * DYN_PAGE_TOKENS;
        b->result.conf = &b->conf;
        b->result.threads = b->conf.threads ? b->conf.threads : team_cores();
        b->result.name = model ? model : "random model";
        list_cases(b);
        st = model ? load_model(b, model, err) : make_model(b, err);
        return st == DYN_OK ? run_rounds(b, err) : st;
}

static void finish(struct bench *b)
{
        unload_adapters(b);
        bench_drive_destroy(b->drive);
        for (int i = 0; i < b->result.n; i++)
                mem_free(b->result.cases[i].seconds);
        mem_free(b->result.cases);
        mem_free(b->result.peaks);
        mem_free(b->adapters);
        conf_bench_finish(&b->conf);
}

int bench_run(int argc, char **argv)
{
        struct bench b = {0};
        struct dyn_error err;
        enum dyn_status st;

        if (argc > 0 &&
                (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
                print_usage(stdout);
                return 0;
        }
        bool read = conf_bench_read(&b.conf, argc, argv, &err) == DYN_OK;

        st = read ? measure(&b, &err) : DYN_INVALID;
        progress_end(&b.progress);
        if (st != DYN_OK)
                fprintf(stderr, "dynlora bench: %s\n", err.text);
        else if (b.conf.json)
                bench_result_print_json(&b.result, stdout);
        else
                bench_result_print(&b.result, stdout);
        finish(&b);
        return st == DYN_OK ? 0 : read ? 1 : 2;
}
