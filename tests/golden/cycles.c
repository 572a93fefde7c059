// Random histories of merges and restores on a model without a scheduler: at every moment every weight of the base is
// what the checkpoint's file holds and a step of the base gives the same bits as before, and memory does not grow. What
// the merged weights themselves must be is held against the plain kernel (tests/ops) and against transformers
// (merged.c).
//
// usage: golden_cycles MODEL CYCLES ADAPTER_FOLDER...
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/version.h"
#include "base/alloc.h"
#include "base/map.h"
#include "io/safetensors.h"
#include "model/step.h"
#include "sample/sample.h"

#define N_ROWS       8
#define MAX_ADAPTERS 16
#define PARTS        10 // looks at memory and at a whole step
#ifdef __SANITIZE_ADDRESS__
#define FLAT (1 << 30) // what is freed is kept from being used again
#else
#define FLAT (2 << 10) // KiB
#endif

struct cycles {
        struct model *m;
        struct dyn_kv kv;
        struct adapter_host host;
        struct dyn_adapter *adapters[MAX_ADAPTERS];
        int n_adapters, n_sites;
        uint64_t *stored; // (n_sites) hashes of the file's tensors
        float *before;    // (N_ROWS, vocab_size) logits of a step before the first merge
        uint64_t n_drawn;
        long n_merges, n_restores;
        int failed;
};

static int draw(struct cycles *c, int below)
{
        return (int)(sample_uniform(1, c->n_drawn++) * below);
}

static void must(enum dyn_status st, const struct dyn_error *err)
{
        if (st != DYN_OK) {
                fprintf(stderr, "%s\n", err->text);
                exit(1);
        }
}

static void wrong(struct cycles *c, int cycle, int site, const char *what)
{
        printf("FAILED cycle %d, %s: %s\n", cycle, model_sites(c->m)->at[site].name, what);
        c->failed++;
}

// The weights
// --------------------------------------------------------------------------------------------------------------------

static uint64_t hash_of_weight(const struct dyn_weight *w)
{
        return map_hash(w->data, dyn_dtype_bytes(w->dtype, w->n_in) * (size_t)w->n_out);
}

// Of the base's own weight, which must be what the file holds at every moment.
static uint64_t hash_of(const struct cycles *c, int site)
{
        return hash_of_weight(&c->m->site_at[site]->weight);
}

// From the file itself, opened once more; a GGUF is converted when loaded, so that only its first state can be kept.
static void learn_stored(struct cycles *c, const char *path)
{
        struct safetensors *file = NULL;
        struct dyn_error err;

        if (strstr(path, ".gguf") == NULL)
                must(safetensors_open(&file, path, &err), &err);
        c->stored = mem_array((size_t)c->n_sites, sizeof *c->stored);
        for (int i = 0; i < c->n_sites; i++) {
                char *name = mem_printf("%s.weight", model_sites(c->m)->at[i].name);
                const struct dyn_tensor *t = file ? safetensors_find(file, name) : NULL;

                if (file != NULL && t == NULL) {
                        fprintf(stderr, "%s is not in %s\n", name, path);
                        exit(1);
                }
                c->stored[i] = t ? map_hash(t->data, t->bytes) : hash_of(c, i);
                mem_free(name);
        }
        safetensors_close(file);
}

static void run_step(struct cycles *c, float *logits)
{
        static const int32_t tokens[N_ROWS] = {5, 6, 7, 8, 9, 10, 11, 12}, page = 0;
        static const int32_t rows[N_ROWS] = {0, 1, 2, 3, 4, 5, 6, 7};
        struct dyn_span span = {0, N_ROWS, 0, &page};
        struct model_group group = {0, N_ROWS, NULL};
        struct model_step step = {N_ROWS, tokens, &span, 1, &group, 1, rows, N_ROWS};
        struct dyn_error err;

        must(model_run(c->m, &c->kv, &step, logits, &err), &err);
}

// The rows of the base do not see what lies merged.
static void check_step(struct cycles *c, int cycle)
{
        size_t n = (size_t)N_ROWS * (size_t)model_config(c->m)->vocab_size;
        float *logits = mem_array(n, sizeof *logits);

        run_step(c, logits);
        if (memcmp(logits, c->before, n * sizeof *logits) != 0) {
                printf("FAILED cycle %d: a step gives other bits than before the first merge\n", cycle);
                c->failed++;
        }
        mem_free(logits);
}

// Histories
// --------------------------------------------------------------------------------------------------------------------

static void merge(struct cycles *c, int cycle, int site, const struct dyn_adapter *a)
{
        const struct dyn_lowrank *patch = &a->patches[site];
        struct dyn_error err;

        if (patch->rank == 0)
                return;
        must(model_merge(c->m, site, patch, &err), &err);
        c->n_merges++;
        if (model_merged(c->m, site) != patch || hash_of_weight(&c->m->site_at[site]->merged_weight) == c->stored[site])
                wrong(c, cycle, site, "is not merged");
        if (hash_of(c, site) != c->stored[site])
                wrong(c, cycle, site, "is not what the file holds, while it is merged");
}

static void restore(struct cycles *c, int cycle, int site)
{
        model_restore(c->m, site);
        c->n_restores++;
        if (model_merged(c->m, site) != NULL || c->m->site_at[site]->merged_weight.data != NULL ||
                hash_of(c, site) != c->stored[site])
                wrong(c, cycle, site, "is not what the file holds");
}

// As the scheduler does it: all of one adapter, from the first site on, perhaps given up midway.
static void switch_to(struct cycles *c, int cycle, const struct dyn_adapter *a)
{
        int end = draw(c, 4) == 0 ? draw(c, c->n_sites) : c->n_sites;

        for (int i = 0; i < end; i++) {
                if (a->patches[i].rank > 0)
                        merge(c, cycle, i, a);
                else if (model_merged(c->m, i) != NULL)
                        restore(c, cycle, i);
        }
}

// Whatever else was merged or restored since, and whatever a step has read.
static void check_all(struct cycles *c, int cycle, const char *when)
{
        for (int i = 0; i < c->n_sites; i++) {
                const struct site *s = c->m->site_at[i];

                if (hash_of(c, i) != c->stored[i])
                        wrong(c, cycle, i, when);
                if ((s->merged == NULL) != (s->merged_weight.data == NULL))
                        wrong(c, cycle, i, "has a patch without a merged weight, or that without a patch");
        }
}

static void restore_all(struct cycles *c, int cycle)
{
        for (int i = 0; i < c->n_sites; i++)
                if (model_merged(c->m, i) != NULL)
                        restore(c, cycle, i);
        check_all(c, cycle, "is not what the file holds, all restored");
}

// Looks at a step, too, with what is merged by then, if `step`.
static void one_cycle(struct cycles *c, int cycle, bool step)
{
        if (draw(c, 2) == 0) {
                for (int n = 1 + draw(c, 3); n > 0; n--)
                        switch_to(c, cycle, c->adapters[draw(c, c->n_adapters)]);
        } else {
                for (int n = 1 + draw(c, 2 * c->n_sites); n > 0; n--) {
                        int site = draw(c, c->n_sites);

                        if (draw(c, 3) == 0)
                                restore(c, cycle, site);
                        else
                                merge(c, cycle, site, c->adapters[draw(c, c->n_adapters)]);
                }
        }
        if (step)
                check_step(c, cycle);
        check_all(c, cycle, "is not what the file holds, some merged");
        restore_all(c, cycle);
        if (step)
                check_step(c, cycle);
}

static long rss_kib(void)
{
        FILE *f = fopen("/proc/self/status", "r");
        char line[128];
        long kib = 0;

        while (f != NULL && fgets(line, sizeof line, f) != NULL)
                if (sscanf(line, "RssAnon: %ld", &kib) == 1)
                        break;
        if (f != NULL)
                fclose(f);
        return kib;
}

static void open_all(struct cycles *c, const char *path, char **folders, int n)
{
        struct dyn_error err;
        struct model_options o = {
                .path = path, .ops = dyn_backend_at(0), .step_tokens = N_ROWS, .max_logit_rows = N_ROWS};

        must(model_open(&c->m, &o, &err), &err);
        must(model_kv_create(c->m, 1, DYN_F32, &c->kv, &err), &err);
        c->n_sites = model_sites(c->m)->n;
        c->host =
                (struct adapter_host){.ops = model_ops(c->m), .device = model_device(c->m), .sites = model_sites(c->m)};
        for (int i = 0; i < n && i < MAX_ADAPTERS; i++)
                must(adapter_load(&c->host, "it", folders[i], &c->adapters[c->n_adapters++], &err), &err);
        learn_stored(c, path);
        c->before = mem_array((size_t)N_ROWS * (size_t)model_config(c->m)->vocab_size, sizeof *c->before);
        run_step(c, c->before);
}

static void close_all(struct cycles *c)
{
        for (int i = 0; i < c->n_adapters; i++)
                dyn_adapter_unpin(c->adapters[i]);
        model_kv_destroy(c->m, &c->kv);
        model_close(c->m);
        mem_free(c->stored);
        mem_free(c->before);
}

int main(int argc, char **argv)
{
        struct cycles c = {0};

        if (argc < 4) {
                fprintf(stderr, "usage: golden_cycles MODEL CYCLES ADAPTER_FOLDER...\n");
                return 2;
        }
        int n = atoi(argv[2]), part = n < PARTS ? 1 : n / PARTS;
        long first = 0, last = 0;

        open_all(&c, argv[1], argv + 3, argc - 3);
        for (int i = 0; i < n && c.failed == 0; i++) {
                bool look = (i + 1) % part == 0;

                one_cycle(&c, i, look);
                if (!look)
                        continue;
                last = rss_kib();
                first = first ? first : last;
        }
        printf("%d cycles, %ld merges and %ld restores of a site, RSS %ld -> %ld KiB\n", n, c.n_merges, c.n_restores,
                first, last);
        if (last > first + FLAT) {
                printf("FAILED memory has grown\n");
                c.failed++;
        }
        close_all(&c);
        printf("%d passed, %d failed\n", c.failed == 0, c.failed);
        return c.failed > 0;
}
