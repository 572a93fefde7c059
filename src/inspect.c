// Reads what `serve` would read, with the same checks, and prints it. An adapter is lowered without its base: onto the
// layers that its own tensors name, so that only whether it fits a base is left open.
#include "inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "adapt/folder.h"
#include "base/alloc.h"
#include "io/safetensors.h"
#include "model/checkpoint.h"
#include "text/template.h"
#include "text/tokenizer.h"

static int refuse(const char *path, const struct dyn_error *err)
{
        bool named = strncmp(err->text, path, strlen(path)) == 0;

        fprintf(stderr, "dynlora: refused: %s%s%s\n", named ? "" : path, named ? "" : ": ", err->text);
        return 1;
}

static void print_bytes(const char *what, double bytes)
{
        if (bytes < 1 << 20)
                printf("  %-13s %.1f KiB\n", what, bytes / 1024);
        else
                printf("  %-13s %.1f MiB\n", what, bytes / 1048576);
}

// A model
// -----------------------------------------------------------------------------------------------------------------------

static void print_tensors(const struct checkpoint *c)
{
        int counts[DYN_N_DTYPES] = {0}, n = checkpoint_count(c);
        double bytes[DYN_N_DTYPES] = {0}, all = 0;
        int64_t n_params = 0;
        const char *name;

        for (int i = 0; i < n; i++) {
                const struct dyn_tensor *t = checkpoint_at(c, i, &name);
                int64_t elements = 1;

                if (t->n_dims < 0)
                        continue;
                for (int d = 0; d < t->n_dims; d++)
                        elements *= t->shape[d];
                counts[t->dtype]++;
                bytes[t->dtype] += (double)t->bytes;
                all += (double)t->bytes;
                n_params += elements;
        }
        printf("  %-13s %.1f M\n", "parameters", (double)n_params * 1e-6);
        print_bytes("weights", all);
        for (int d = 0; d < DYN_N_DTYPES; d++)
                if (counts[d] > 0)
                        printf("    %-11s %d tensors, %.1f MiB\n", dyn_dtype_name((enum dyn_dtype)d), counts[d],
                                bytes[d] / 1048576);
}

static void print_config(const struct model_config *c)
{
        printf("  %-13s %s\n", "architecture", c->arch);
        printf("  %-13s %d\n", "layers", c->n_layers);
        printf("  %-13s %d, %d in the MLP\n", "width", c->dim, c->hidden_dim);
        printf("  %-13s %d of %d, %d for keys and values\n", "heads", c->n_heads, c->head_dim, c->n_kv_heads);
        printf("  %-13s %d ids, head %s\n", "vocabulary", c->vocab_size, c->tied_head ? "tied" : "of its own");
        printf("  %-13s %d tokens\n", "context", c->max_context);
        printf("  %-13s theta %g", "rope", c->rope_theta);
        if (c->rope_scaling != ROPE_PLAIN)
                printf(", scaled by %g (%s)", c->rope_factor, c->rope_scaling == ROPE_LINEAR ? "linear" : "llama3");
        putchar('\n');
}

static enum dyn_status print_text(const char *path, struct dyn_error *err)
{
        struct chat_template *chat_template = NULL;
        struct tokenizer *tokenizer;
        enum dyn_status st = tokenizer_open(&tokenizer, path, err);

        if (st != DYN_OK)
                return st;
        const char *source = tokenizer_chat_template(tokenizer);
        printf("  %-13s %d ids\n", "tokenizer", tokenizer_n_ids(tokenizer));
        if (source != NULL)
                st = chat_template_compile(&chat_template, source, strlen(source), err);
        if (st == DYN_OK)
                printf("  %-13s %s\n", "chat template", source ? "yes" : "none");
        else
                dyn_fail_in(err, "chat template");
        chat_template_destroy(chat_template);
        tokenizer_destroy(tokenizer);
        return st;
}

static int inspect_model(const char *path)
{
        struct checkpoint *c;
        struct dyn_error err;

        if (checkpoint_open(&c, path, &err) != DYN_OK)
                return refuse(path, &err);
        printf("%s: a model (%s)\n", path, checkpoint_format(c));
        print_config(checkpoint_config(c));
        print_tensors(c);
        checkpoint_close(c);
        return print_text(path, &err) == DYN_OK ? 0 : refuse(path, &err);
}

// An adapter
// --------------------------------------------------------------------------------------------------------------------

#define PEFT_PREFIX "base_model.model."
#define A_SUFFIX    ".lora_A.weight"
#define B_SUFFIX    ".lora_B.weight"

static int layer_of(const char *site)
{
        const char *at = strstr(site, ".layers.");

        return at ? atoi(at + strlen(".layers.")) : -1;
}

// The site that this tensor is the A of; false if it is no A.
static bool read_site(const struct safetensors *weights, int i, struct dyn_site *site)
{
        const char *name = safetensors_name(weights, i);
        const struct dyn_tensor *a = safetensors_at(weights, i);
        size_t len = strlen(name), prefix = strlen(PEFT_PREFIX), suffix = strlen(A_SUFFIX);

        if (len <= prefix + suffix || strncmp(name, PEFT_PREFIX, prefix) != 0 ||
                strcmp(name + len - suffix, A_SUFFIX) != 0 || a->n_dims != 2)
                return false;
        char *stem = mem_strndup(name, len - suffix), *b_name = mem_printf("%s" B_SUFFIX, stem);
        const struct dyn_tensor *b = safetensors_find(weights, b_name);
        site->name = mem_strdup(stem + prefix);
        site->layer = layer_of(site->name);
        site->n_in = a->shape[1] < INT32_MAX ? (int)a->shape[1] : 0;
        site->n_out = b && b->n_dims == 2 && b->shape[0] < INT32_MAX ? (int)b->shape[0] : 0;
        mem_free(stem);
        mem_free(b_name);
        return true;
}

// What patches of equal module name, rank, scale and shape have in common, in one line.
static void print_patches(const struct dyn_lowered *lowered, const struct dyn_site *sites)
{
        bool *done = mem_array((size_t)lowered->n, sizeof *done);

        printf("  %-13s %6s %6s %8s  %s\n", "site", "layers", "rank", "scale", "shape");
        for (int i = 0; i < lowered->n; i++) {
                const struct dyn_patch *p = &lowered->patches[i];
                const struct dyn_site *site = &sites[p->site];
                const char *dot = strrchr(site->name, '.'), *leaf = dot ? dot + 1 : site->name;
                int n = 0;

                for (int k = i; k < lowered->n; k++) {
                        const struct dyn_patch *q = &lowered->patches[k];
                        const struct dyn_site *other = &sites[q->site];
                        const char *tail = strrchr(other->name, '.');

                        if (done[k] || strcmp(tail ? tail + 1 : other->name, leaf) != 0 || q->scale != p->scale ||
                                q->a.shape[0] != p->a.shape[0] || other->n_in != site->n_in ||
                                other->n_out != site->n_out)
                                continue;
                        done[k] = true;
                        n++;
                }
                if (n > 0)
                        printf("  %-13s %6d %6" PRId64 " %8g  %d x %d, %s\n", leaf, n, p->a.shape[0], (double)p->scale,
                                site->n_out, site->n_in, dyn_dtype_name(p->a.dtype));
        }
        mem_free(done);
}

static void print_adapter(
        const char *path, const struct folder *folder, const struct dyn_lowered *lowered, const struct dyn_site *sites)
{
        double bytes = 0;

        for (int i = 0; i < lowered->n; i++)
                bytes += (double)(lowered->patches[i].a.bytes + lowered->patches[i].b.bytes);
        printf("%s: an adapter\n", path);
        printf("  %-13s %s\n", "kind", folder->kind->name);
        printf("  %-13s %s\n", "base", folder->base_model ? folder->base_model : "not said");
        printf("  %-13s %.16s\n", "version", folder->sha256);
        printf("  %-13s %d\n", "sites", lowered->n);
        printf("  %-13s %d\n", "largest rank", lowered->max_rank);
        print_bytes("patches", bytes);
        print_patches(lowered, sites);
}

static int inspect_adapter(const char *path)
{
        struct folder folder;
        struct dyn_lowered lowered;
        struct dyn_error err;

        if (folder_open(&folder, path, &err) != DYN_OK)
                return refuse(path, &err);
        int n = safetensors_count(folder.weights), n_sites = 0;
        struct dyn_site *at = mem_array((size_t)n + 1, sizeof *at);
        for (int i = 0; i < n; i++)
                n_sites += read_site(folder.weights, i, &at[n_sites]);
        struct dyn_sites sites = {at, n_sites};
        enum dyn_status st = folder.kind->lower(&folder.files, &sites, &lowered, &err);
        if (st == DYN_OK) {
                print_adapter(path, &folder, &lowered, at);
                dyn_lowered_finish(&lowered);
        }
        for (int i = 0; i < n_sites; i++)
                mem_free((char *)at[i].name);
        mem_free(at);
        folder_close(&folder);
        return st == DYN_OK ? 0 : refuse(path, &err);
}

int inspect_run(const char *path)
{
        char *config = mem_printf("%s/" FOLDER_CONFIG, path);
        struct stat st;
        bool adapter = stat(config, &st) == 0;

        mem_free(config);
        return adapter ? inspect_adapter(path) : inspect_model(path);
}
