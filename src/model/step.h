// Inside the model room: the loaded weights, the scratch of a step, and the vocabulary that a forward pass is written
// in. Everything runs on the engine thread; nothing here allocates once the model is open.
#ifndef DYNLORA_MODEL_STEP_H
#define DYNLORA_MODEL_STEP_H

#include "dynlora/arch.h"
#include "dynlora/backend.h"
#include "model/checkpoint.h"
#include "model/model.h"

// A linear layer where adapters may attach.
struct site {
        struct dyn_weight weight;         // (n_out, n_in)
        struct dyn_tensor stored;         // what weight was loaded from
        const struct dyn_lowrank *merged; // the patch that lies in merged_weight, or NULL
        struct dyn_weight merged_weight;  // the same with that patch merged in, for its rows alone
        float *bias;                      // (device) (n_out), or NULL
        int index;                        // in model_sites
};

// A decoder block: attention with grouped heads, gated feed-forward.
struct layer {
        int index;
        float *attn_norm, *ffn_norm; // (device) (dim)
        struct site q, k, v,
                o; // (n_heads * head_dim, dim), 2 x (n_kv_heads * head_dim, dim), (dim, n_heads * head_dim)
        struct site gate, up, down; // 2 x (hidden_dim, dim), (dim, hidden_dim)
};

struct step {
        struct model *model;
        const struct model_config *c;
        const struct dyn_backend_ops *ops;
        struct dyn_device *dev;
        const struct dyn_kv *kv;
        const struct model_step *in;
        int n_rows;
        bool patched;                 // some row has an adapter
        float *x, *h;                 // (n_rows, dim), (n_rows, max(dim, n_heads * head_dim))
        float *q, *k, *v;             // (n_rows, n_heads * head_dim), 2 x (n_rows, n_kv_heads * head_dim)
        float *gate, *up;             // (n_rows, hidden_dim)
        float *sum;                   // (n_rows, dim): what linear_add adds
        float *rope_table;            // (n_rows, head_dim)
        struct dyn_segment *segments; // (host) (max rows in a step, DYN_MAX_PARTS)
};

struct model {
        struct model_config config;
        const struct dyn_arch *arch;
        const struct dyn_backend_ops *ops;
        struct dyn_device *dev;
        struct checkpoint *checkpoint;
        struct weights *weights;
        struct model_facts facts;

        struct dyn_weight embed, head; // (vocab_size, dim); head borrows embed's data when tied
        float *out_norm;               // (device) (dim)
        struct layer *layers;          // (n_layers)
        struct dyn_sites sites;
        struct site **site_at; // (sites.n)

        int step_tokens, max_logit_rows;
        float *inv_freq;        // (head_dim / 2)
        float *rope_host;       // (step_tokens, head_dim)
        float *picked, *logits; // (device) (max_logit_rows, dim), (max_logit_rows, vocab_size)
        struct step step;
};

// linear.c: y = W x for every row, what each row's adapter adds, the bias, for one or several sites that read the same
// rows. Where a patch lies merged in a second weight, its own rows are computed with that.
struct output {
        float *y;
        const struct site *site;
};
void linear_all(struct step *, const float *x, const struct output *, int n);

// x += linear(h).
void linear_add(struct step *, float *x, const float *h, const struct site *);

// The other words of a forward pass, on the rows of the step.
void embed(struct step *, float *x);
void rmsnorm(struct step *, float *y, const float *x, const float *weight);
void rope(struct step *, float *q, float *k);
void kv_write(struct step *, int layer, const float *k, const float *v);
void attention(struct step *, float *out, const float *q, int layer);
void silu_mul(struct step *, float *gate, const float *up);

#endif
