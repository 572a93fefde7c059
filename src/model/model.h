// The resident base model: its weights on the device and one forward pass for a step. Called on the engine thread;
// knows rows, spans, pages and patches, but no requests, no adapters by name and no device.
#ifndef DYNLORA_MODEL_MODEL_H
#define DYNLORA_MODEL_MODEL_H

#include <stdbool.h>

#include "dynlora/adapter.h"
#include "dynlora/backend.h"
#include "dynlora/engine.h"
#include "model/config.h"

struct model;

struct model_options {
        const char *path;
        const struct dyn_backend_ops *ops;
        enum dyn_weights weights;
        int threads;
        int step_tokens, max_logit_rows; // the largest step, and how many of its rows need logits
        int max_context;                 // 0: the checkpoint's; lowers it otherwise
        void (*progress)(void *ctx, const char *what, double done);
        void *ctx;
};

enum dyn_status model_open(struct model **, const struct model_options *, struct dyn_error *);
void model_close(struct model *);

const struct model_config *model_config(const struct model *);
const struct dyn_sites *model_sites(const struct model *);
const struct dyn_backend_ops *model_ops(const struct model *);
struct dyn_device *model_device(const struct model *);

struct model_facts {
        int64_t n_params;
        size_t weight_bytes;
        size_t mapped_bytes; // of these, used where they lie in the file: to the system, memory that it could give
        enum dyn_dtype weight_dtype; // of most bytes
        unsigned long long hash;     // of the checkpoint
};
const struct model_facts *model_facts(const struct model *);

// The KV cache of n_pages pages. DYN_NO_MEMORY if the device cannot give it.
enum dyn_status model_kv_create(struct model *, int n_pages, enum dyn_dtype, struct dyn_kv *, struct dyn_error *);
void model_kv_destroy(struct model *, struct dyn_kv *);
size_t model_kv_page_bytes(const struct model *, enum dyn_dtype);

// Merging: beside a site's weight, as the checkpoint has it, there can be a second one with a patch merged in, for the
// rows of that patch alone. Between steps. A merge that fails (DYN_NO_MEMORY, DYN_INVALID: a value that the type cannot
// hold) leaves the site restored.
enum dyn_status model_merge(struct model *, int site, const struct dyn_lowrank *patch, struct dyn_error *);
void model_restore(struct model *, int site);

// The patch that lies in a site, or NULL.
const struct dyn_lowrank *model_merged(const struct model *, int site);

// Bytes of a site's weight when it is merged.
size_t model_merged_bytes(const struct model *, int site);

// What adapters cost here, measured on the first layers with patches made for it; takes a tenth of a second or so.
struct model_costs {
        double call;           // seconds of a step with any patch
        double byte, row;      // of a byte of a patch in a step; of a byte and a row
        double merge, restore; // of a byte of weights
        double pass;           // of a byte of weights that a step reads once more
};
enum dyn_status model_profile(struct model *, struct model_costs *, struct dyn_error *);

// Rows that share an adapter. patches: (n_sites), rank 0 where the adapter leaves a site alone; NULL for the base.
// merged: computed with the merged weights of its patches where there are any, else with the base's own and the
// patches.
struct model_group {
        int first_row, n_rows;
        const struct dyn_lowrank *patches;
        bool merged;
};

// One step: n_rows tokens, each of a span, spans in row order, groups in row order covering all rows, one group for
// each adapter. Who is merged had better be the last: all others are then computed together.
struct model_step {
        int n_rows;
        const int32_t *tokens;        // (n_rows)
        const struct dyn_span *spans; // (n_spans)
        int n_spans;
        const struct model_group *groups; // (n_groups)
        int n_groups;
        const int32_t *logit_rows; // (n_logits), ascending: rows whose logits are wanted
        int n_logits;
};

// Runs the step and writes the logits (host): (n_logits, vocab_size).
enum dyn_status model_run(
        struct model *, const struct dyn_kv *, const struct model_step *, float *logits, struct dyn_error *);

#endif
