// A device: the memory it owns and the operations that a forward pass is made of.
// Written for those who add a device. The model code calls these and nothing else; it never asks which device it is on.
//
// All activations are f32, row-major, one row per token. Rows are independent: no slot may let one row's bits depend on
// the other rows, on n_rows or on the number of threads, so every reduction runs in an order fixed by the shapes alone.
// Slots enqueue; only download and sync wait. Pointers marked (device) come from alloc; (host) arrays are small, belong
// to the caller and may change as soon as the slot returns. Compute slots, merge and kv are for the engine
// thread alone; alloc, free, upload, weight_* and lowrank_* may be called from any thread.
#ifndef DYNLORA_BACKEND_H
#define DYNLORA_BACKEND_H

#include <stdbool.h>

#include "dynlora/status.h"
#include "dynlora/tensor.h"

struct dyn_device; // defined by each backend

// A matrix that gemm and embed read: y = W x.
struct dyn_weight {
        enum dyn_dtype dtype;
        int n_out, n_in;
        const void *data; // (device) (n_out, n_in); may be the checkpoint's own mapping
        void *owned;      // (device) what weight_free gives back, NULL if data is borrowed
};

// One adapter's low-rank patch at one site, in the form that the device's lowrank kernel wants: y += scale * B (A x).
struct dyn_lowrank {
        enum dyn_dtype dtype; // of a and b: F32, F16 or BF16
        int rank, n_in, n_out;
        float scale;
        void *a; // (device) A, (rank, n_in) as the backend packs it
        void *b; // (device) B, (n_out, rank) as the backend packs it
};

// A patch times a weight: weight * scale * B A. Weight 1 is the adapter as it was trained; -1 takes it away again.
struct dyn_term {
        const struct dyn_lowrank *patch;
        float weight;
};

// Consecutive rows that share a patch; patch NULL leaves them alone. Segments are in row order and do not overlap.
struct dyn_segment {
        int first_row, n_rows;
        struct dyn_term term;
};

// One of several linear layers that read the same rows: y = W x, then what the segments add.
struct dyn_linear {
        float *y; // (n_rows, w->n_out)
        const struct dyn_weight *w;
        const struct dyn_segment *segs; // (n_segs)
        int n_segs;
};

#define DYN_MAX_PARTS 4 // of one call of linear

#define DYN_PAGE_TOKENS 16 // tokens in a page of the KV cache

// The whole KV cache: one index space of pages for all layers. An element of K lies beside the same element of the
// page's other positions, so that a vector has the score of a position in each lane, and none is summed across them.
struct dyn_kv {
        enum dyn_dtype dtype; // F32 or F16
        int n_layers, n_pages, n_kv_heads, head_dim;
        void *k; // (device) (n_layers, n_pages, n_kv_heads, head_dim, DYN_PAGE_TOKENS)
        void *v; // (device) (n_layers, n_pages, n_kv_heads, DYN_PAGE_TOKENS, head_dim)
};

// Consecutive rows of one sequence: row first_row + i is the token at position first_pos + i; its KV lives in
// pages[pos / DYN_PAGE_TOKENS] at slot pos % DYN_PAGE_TOKENS. pages (host) covers positions 0 .. first_pos + n_rows
// - 1.
struct dyn_span {
        int first_row, n_rows;
        int first_pos;
        const int32_t *pages;
};

struct dyn_device_options {
        int n_threads;   // CPU worker threads, the caller's among them; 0 is all cores
        int max_rows;    // rows in the largest step
        int max_width;   // the widest row: max(dim, n_heads * head_dim, hidden_dim, vocab_size)
        int max_rank;    // 0 if no limit is known
        int max_context; // positions in the longest sequence
};

struct dyn_backend_ops {
        const char *name; // "cpu-avx2", "plain"; part of system_fingerprint, since bits follow from it

        enum dyn_status (*open)(struct dyn_device **, const struct dyn_device_options *, struct dyn_error *);
        void (*close)(struct dyn_device *);

        // Memory: 64-byte aligned and zeroed. NULL when the device is full.
        void *(*alloc)(struct dyn_device *, size_t bytes);
        void (*free)(struct dyn_device *, void *);
        void (*upload)(struct dyn_device *, void *dst, const void *src, size_t bytes);
        void (*download)(struct dyn_device *, void *dst, const void *src, size_t bytes); // waits for the data
        void (*sync)(struct dyn_device *); // waits for all that was enqueued

        // Whether gemm and embed take this dtype as it lies.
        bool (*weight_dtype)(struct dyn_device *, enum dyn_dtype);
        // t: (n_out, n_in), aligned to its element; must stay valid until weight_free, since the device may use it in
        // place.
        enum dyn_status (*weight_load)(
                struct dyn_device *, struct dyn_weight *, const struct dyn_tensor *t, struct dyn_error *);
        void (*weight_free)(struct dyn_device *, struct dyn_weight *);

        // a: (rank, n_in), b: (n_out, rank), both of one dtype out of F32, F16, BF16; copied. Zero *p is a valid
        // "nothing" for free.
        enum dyn_status (*lowrank_load)(struct dyn_device *, struct dyn_lowrank *p, const struct dyn_tensor *a,
                const struct dyn_tensor *b, float scale, struct dyn_error *);
        void (*lowrank_free)(struct dyn_device *, struct dyn_lowrank *);

        // W = stored + the sum of the terms, each element summed in f32, stored first and then the terms in order, and
        // rounded once to nearest even. stored: what weight_load was given for w, the same bytes; it is never written.
        // Afterwards w holds a matrix of its own, of a plain dtype: stored's, or BF16 for a quantised one; weight_free
        // gives it back. w may be merged already: the new sum takes its place. DYN_NO_MEMORY, or DYN_INVALID if a
        // result is not finite (f16 ends at 65504): then w is as weight_load made it. Between steps. Nothing is ever
        // computed backwards: subtracting what was added would change every twentieth weight of a bf16 matrix.
        enum dyn_status (*merge)(struct dyn_device *, struct dyn_weight *w, const struct dyn_tensor *stored,
                const struct dyn_term *terms, int n_terms, struct dyn_error *);

        // y[i] = row ids[i] of w. y: (n_rows, w->n_in), ids (host): (n_rows), each in 0 .. n_out - 1.
        void (*embed)(struct dyn_device *, float *y, const struct dyn_weight *w, const int32_t *ids, int n_rows);

        // y = x / sqrt(mean(x^2) + eps) * weight per row. x, y: (n_rows, dim), weight: (dim). y may be x.
        // Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
        void (*rmsnorm)(
                struct dyn_device *, float *y, const float *x, const float *weight, float eps, int dim, int n_rows);

        // y[i] = W x[i]. x: (n_rows, n_in), y: (n_rows, n_out), w: (n_out, n_in). y must not alias x.
        void (*gemm)(struct dyn_device *, float *y, const float *x, const struct dyn_weight *w, int n_rows);

        // y[i] += weight * scale * B (A x[i]), each row with the term of its segment; ranks differ freely. x: (*,
        // n_in), y: (*, n_out). One call covers a site for the whole step: a device may launch once. Source: Chen et
        // al., "Punica: Multi-Tenant LoRA Serving", 2023 (SGMV).
        void (*lowrank)(struct dyn_device *, float *y, const float *x, const struct dyn_segment *segs, int n_segs);

        // gemm for each part and then lowrank for each of its segments, which may overlap and are added in order; the
        // same bits as one after the other. x: (n_rows, n_in) for all parts. NULL: there is nothing faster than that.
        void (*linear)(struct dyn_device *, const struct dyn_linear *parts, int n_parts, const float *x, int n_rows);

        // y[i] += bias. y: (n_rows, n), bias: (n).
        void (*add_bias)(struct dyn_device *, float *y, const float *bias, int n, int n_rows);

        // Rotates the first and second half of each head against each other, in place ("rotate_half" order).
        // x: (n_rows, n_heads * head_dim); table: (device) (n_rows, head_dim): cos of head_dim / 2 angles, then sin of
        // them. paired: what comes in has element i of the first half at 2i and that of the second at 2i + 1; what goes
        // out does not. Source: Su et al., "RoFormer", 2021.
        void (*rope)(
                struct dyn_device *, float *x, const float *table, bool paired, int n_heads, int head_dim, int n_rows);

        // Stores the rows of each span at their positions. k, v: (n_rows, n_kv_heads * head_dim).
        void (*kv_write)(struct dyn_device *, const struct dyn_kv *, int layer, const float *k, const float *v,
                const struct dyn_span *spans, int n_spans);

        // Causal grouped attention: each row against positions 0 .. its own of its sequence, K and V always as stored,
        // pages in position order. q, out: (n_rows, n_heads * head_dim). out must not alias q. Scores are scaled by
        // 1/sqrt(head_dim).
        void (*attention)(struct dyn_device *, float *out, const float *q, const struct dyn_kv *, int layer,
                int n_heads, const struct dyn_span *spans, int n_spans);

        // gate = silu(gate) * up, n elements.
        void (*silu_mul)(struct dyn_device *, float *gate, const float *up, size_t n);

        // y += x, n elements.
        void (*add)(struct dyn_device *, float *y, const float *x, size_t n);

        // y[i] = x[rows[i]]. x: (*, dim), y: (n, dim), rows (host): (n). y must not alias x.
        void (*gather)(struct dyn_device *, float *y, const float *x, const int32_t *rows, int n, int dim);
};

// The backend of that name ("auto" and "cpu": the fastest), or NULL and why: this build has none, or this processor
// cannot run it. err may be NULL. kernels/table.c.
const struct dyn_backend_ops *dyn_backend_find(const char *name, struct dyn_error *err);

// The backends that this processor can run, the fastest first; NULL beyond the last.
const struct dyn_backend_ops *dyn_backend_at(int nth);

#endif
