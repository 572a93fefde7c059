// Reads what `serve` would read, with the same checks, and prints it. An adapter is lowered without its base: onto the
// layers that its own tensors name, so that only whether it fits a base is left open.
#include "inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "adapt/folder.h"
#include "adapters/peft.h"
#include "base/alloc.h"
#include "base/map.h"
#include "dynlora/arch.h"
#include "dynlora/backend.h"
#include "io/safetensors.h"
#include "model/checkpoint.h"
#include "text/template.h"
#include "text/tokenizer.h"

static void print_bytes(FILE *out, const char *what, double bytes)
{
        if (bytes < 1 << 20)
                fprintf(out, "  %-13s %.1f KiB\n", what, bytes / 1024);
        else
                fprintf(out, "  %-13s %.1f MiB\n", what, bytes / 1048576);
}

// A model
// -----------------------------------------------------------------------------------------------------------------------

// What `serve` holds tensors of a type as, if nobody says otherwise.
static const char *held_as(enum dyn_dtype dtype)
{
        const struct dyn_backend_ops *ops = dyn_backend_at(0);
        struct dyn_device_options options = {.n_threads = 1, .max_rows = 1, .max_width = 1, .max_context = 1};
        struct dyn_device *dev;
        const char *told = "";

        if (dyn_dtype_block(dtype) == 1 || ops->open(&dev, &options, NULL) != DYN_OK)
                return told;
        told = ops->weight_dtype(dev, dtype) ? ", used as they lie" : ", held as BF16";
        ops->close(dev);
        return told;
}

static void print_tensors(FILE *out, const struct checkpoint *c)
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
        fprintf(out, "  %-13s %.1f M\n", "parameters", (double)n_params * 1e-6);
        print_bytes(out, "weights", all);
        for (int d = 0; d < DYN_N_DTYPES; d++)
                if (counts[d] > 0)
                        fprintf(out, "    %-11s %d tensors, %.1f MiB%s\n", dyn_dtype_name((enum dyn_dtype)d), counts[d],
                                bytes[d] / 1048576, held_as((enum dyn_dtype)d));
}

static void print_config(FILE *out, const struct model_config *c)
{
        fprintf(out, "  %-13s %s\n", "architecture", c->arch);
        fprintf(out, "  %-13s %d\n", "layers", c->n_layers);
        fprintf(out, "  %-13s %d, %d in the MLP\n", "width", c->dim, c->hidden_dim);
        fprintf(out, "  %-13s %d of %d, %d for keys and values\n", "heads", c->n_heads, c->head_dim, c->n_kv_heads);
        fprintf(out, "  %-13s %d ids, head %s\n", "vocabulary", c->vocab_size, c->tied_head ? "tied" : "of its own");
        fprintf(out, "  %-13s %d tokens\n", "context", c->max_context);
        fprintf(out, "  %-13s theta %g", "rope", c->rope_theta);
        if (c->rope_scaling != ROPE_PLAIN)
                fprintf(out, ", scaled by %g (%s)", c->rope_factor,
                        c->rope_scaling == ROPE_LINEAR ? "linear" : "llama3");
        fputc('\n', out);
}

static void print_stops(FILE *out, const struct tokenizer *tokenizer)
{
        int n;
        const int32_t *ids = tokenizer_stop_ids(tokenizer, &n);

        fprintf(out, "  %-13s", "stop tokens");
        for (int i = 0; i < n; i++) {
                size_t len;
                const char *piece = tokenizer_piece(tokenizer, ids[i], &len);

                fprintf(out, "%s %.*s (%d)", i ? "," : "", (int)len, piece, ids[i]);
        }
        fprintf(out, n ? "\n" : " none\n");
}

static enum dyn_status print_text(FILE *out, const char *path, struct dyn_error *err)
{
        struct chat_template *chat_template = NULL;
        struct tokenizer *tokenizer;
        enum dyn_status st = tokenizer_open(&tokenizer, path, err);

        if (st != DYN_OK)
                return st;
        const char *source = tokenizer_chat_template(tokenizer);
        fprintf(out, "  %-13s %d ids\n", "tokenizer", tokenizer_n_ids(tokenizer));
        print_stops(out, tokenizer);
        if (source != NULL && (st = chat_template_compile(&chat_template, source, strlen(source), err)) != DYN_OK)
                dyn_fail_in(err, "chat template");
        else
                fprintf(out, "  %-13s %s\n", "chat template", source ? "yes" : "none");
        chat_template_destroy(chat_template);
        tokenizer_destroy(tokenizer);
        return st;
}

static enum dyn_status inspect_model(const char *path, FILE *out, struct dyn_error *err)
{
        struct checkpoint *c;
        enum dyn_status st = checkpoint_open(&c, path, err);

        if (st != DYN_OK)
                return st;
        const struct model_config *config = checkpoint_config(c);
        fprintf(out, "%s: a model (%s)\n", path, checkpoint_format(c));
        print_config(out, config);
        print_tensors(out, c);
        if (dyn_arch_find(config->arch) == NULL)
                st = dyn_fail(err, DYN_UNSUPPORTED, "architecture: expected one of %s, found \"%s\"", dyn_arch_names(),
                        config->arch);
        else
                st = config_check(config, err);
        checkpoint_close(c);
        return st ? st : print_text(out, path, err);
}

// An adapter
// --------------------------------------------------------------------------------------------------------------------

static int layer_of(const char *site)
{
        const char *at = strstr(site, ".layers.");

        return at ? atoi(at + strlen(".layers.")) : -1;
}

// The site of that name, entered if it is new.
static struct dyn_site *enter(struct map *index, struct dyn_site *sites, int *n, const char *module, size_t len)
{
        uint64_t at;

        if (!map_get(index, module, len, &at)) {
                at = (uint64_t)(*n)++;
                map_put(index, module, len, at);
                sites[at].name = mem_strndup(module, len);
                sites[at].layer = layer_of(sites[at].name);
        }
        return &sites[at];
}

// The layers that the tensors name, as wide as the tensors say.
static struct dyn_site *guess_sites(const struct safetensors *weights, int *n)
{
        static const char *const suffixes[] = {
                ".lora_A.weight", ".lora_A.default.weight", ".lora_B.weight", ".lora_B.default.weight"};
        struct dyn_site *sites = mem_array((size_t)safetensors_count(weights), sizeof *sites);
        struct map index = {0};

        *n = 0;
        for (int i = 0; i < safetensors_count(weights); i++) {
                const struct dyn_tensor *t = safetensors_at(weights, i);
                int which;
                size_t len;
                const char *module = peft_module(safetensors_name(weights, i), suffixes, 4, &which, &len);

                if (module == NULL)
                        continue;
                struct dyn_site *site = enter(&index, sites, n, module, len);
                if (t->n_dims == 2 && t->shape[which < 2] <= INT32_MAX)
                        *(which < 2 ? &site->n_in : &site->n_out) = (int)t->shape[which < 2];
        }
        map_free(&index);
        return sites;
}

// What patches of equal module name, rank, scale and shape have in common, in one line.
static void print_patches(FILE *out, const struct dyn_lowered *lowered, const struct dyn_site *sites)
{
        bool *done = mem_array((size_t)lowered->n, sizeof *done);

        fprintf(out, "  %-13s %6s %6s %8s  %s\n", "site", "layers", "rank", "scale", "shape");
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
                        fprintf(out, "  %-13s %6d %6" PRId64 " %8g  %d x %d, %s\n", leaf, n, p->a.shape[0],
                                (double)p->scale, site->n_out, site->n_in, dyn_dtype_name(p->a.dtype));
        }
        mem_free(done);
}

static void print_adapter(FILE *out, const char *path, const struct folder *folder, const struct dyn_lowered *lowered,
        const struct dyn_site *sites)
{
        double bytes = 0;

        for (int i = 0; i < lowered->n; i++)
                bytes += (double)(lowered->patches[i].a.bytes + lowered->patches[i].b.bytes);
        fprintf(out, "%s: an adapter\n", path);
        fprintf(out, "  %-13s %s\n", "kind", folder->kind->name);
        fprintf(out, "  %-13s %s\n", "base", folder->base_model ? folder->base_model : "not said");
        fprintf(out, "  %-13s %.16s\n", "version", folder->sha256);
        fprintf(out, "  %-13s %s\n", "sha256", folder->sha256);
        fprintf(out, "  %-13s %d\n", "sites", lowered->n);
        fprintf(out, "  %-13s %d\n", "largest rank", lowered->max_rank);
        print_bytes(out, "patches", bytes);
        print_patches(out, lowered, sites);
}

static enum dyn_status inspect_adapter(const char *path, FILE *out, struct dyn_error *err)
{
        struct folder folder;
        struct dyn_lowered lowered;
        int n;
        enum dyn_status st = folder_open(&folder, path, err);

        if (st != DYN_OK)
                return st;
        struct dyn_site *at = guess_sites(folder.weights, &n);
        struct dyn_sites sites = {at, n};
        st = folder.kind->lower(&folder.files, &sites, &lowered, err);
        if (st == DYN_OK) {
                print_adapter(out, path, &folder, &lowered, at);
                dyn_lowered_finish(&lowered);
        }
        for (int i = 0; i < n; i++)
                mem_free((char *)at[i].name);
        mem_free(at);
        folder_close(&folder);
        return st;
}

enum dyn_status inspect_path(const char *path, FILE *out, struct dyn_error *err)
{
        char *config = mem_printf("%s/" FOLDER_CONFIG, path);
        struct stat info;
        bool adapter = stat(config, &info) == 0;

        mem_free(config);
        enum dyn_status st = adapter ? inspect_adapter(path, out, err) : inspect_model(path, out, err);
        if (st != DYN_OK && strncmp(err->text, path, strlen(path)) != 0)
                dyn_fail_in(err, path);
        return st;
}

int inspect_run(const char *path)
{
        struct dyn_error err;

        if (inspect_path(path, stdout, &err) == DYN_OK)
                return 0;
        fflush(stdout);
        fprintf(stderr, "dynlora: refused: %s\n", err.text);
        return 1;
}
