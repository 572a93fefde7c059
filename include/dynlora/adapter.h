// An adapter kind: recognises an adapter folder and lowers it to patches at the model's sites, then is forgotten.
// Written for those who add a kind (adapters/). Neither the forward pass nor the scheduler knows kinds, only patches.
//
// Lowering fails closed: a field that is set and not understood, a tensor that maps to no site, an A without its B, a
// shape that differs or a value that is not finite is an error that names the file, the field, what was expected and
// what was found.
#ifndef DYNLORA_ADAPTER_H
#define DYNLORA_ADAPTER_H

#include <stdbool.h>

#include "dynlora/status.h"
#include "dynlora/tensor.h"

struct cJSON;
struct safetensors; // src/io/safetensors.h

// A linear layer that a patch can attach to. name is the Hugging Face module path, e.g.
// "model.layers.3.self_attn.q_proj".
struct dyn_site {
        const char *name;
        int layer; // -1 outside the blocks
        int n_in, n_out;
        // 0, or the heads in which the weight's rows lie as pairs for GGUF's rope: rows 2i and 2i + 1 of a head are what
        // adapters have as its i and i + head_dim / 2.
        int paired_heads;
};

struct dyn_sites {
        const struct dyn_site *at; // (n)
        int n;
};

// An opened adapter folder. Owned by the loader; config and weights live until lowering has been used.
struct dyn_adapter_folder {
        const char *path;
        const struct cJSON *config;        // adapter_config.json, an object
        const struct safetensors *weights; // adapter_model.safetensors
        bool known_finite;                 // they were lowered before: values need not be looked at again
};

// y += scale * B (A x) at sites.at[site]. a: (rank, n_in), b: (n_out, rank), both of one plain dtype, borrowed from the
// folder or from `keep`.
struct dyn_patch {
        int site;
        struct dyn_tensor a, b;
        float scale;
};

struct dyn_lowered {
        struct dyn_patch *patches; // (n), mem_free
        int n;
        int max_rank;
        void **keep; // (n_keep) blocks from mem_alloc that a and b may point into
        int n_keep;
};

struct dyn_adapter_kind {
        const char *name; // "lora", as the API shows it

        // Whether this folder is of this kind, by its configuration alone. At most one kind may claim a folder.
        int (*claims)(const struct dyn_adapter_folder *);

        // Any thread; blocks. On failure nothing is left in *out. A lowered adapter patches at least one site.
        enum dyn_status (*lower)(const struct dyn_adapter_folder *, const struct dyn_sites *, struct dyn_lowered *out,
                struct dyn_error *);
};

// The kind that claims the folder; DYN_UNSUPPORTED names the field that no kind knows. adapters/table.c.
enum dyn_status dyn_adapter_kind_find(
        const struct dyn_adapter_folder *, const struct dyn_adapter_kind **, struct dyn_error *);

void dyn_lowered_finish(struct dyn_lowered *);

#endif
