// What a checkpoint says about its model, with one spelling for each dimension, whichever form it came in.
#ifndef DYNLORA_MODEL_CONFIG_H
#define DYNLORA_MODEL_CONFIG_H

#include <stdbool.h>

#include "dynlora/status.h"

struct cJSON;
struct gguf;

enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 };

struct model_config {
        char arch[32]; // a row of arch/table.c
        int n_layers, dim, hidden_dim, n_heads, n_kv_heads, head_dim, vocab_size, max_context;
        double norm_eps;
        bool tied_head;                // the head is the embedding
        bool attention_bias, mlp_bias; // on q, k, v, o; on gate, up, down
        bool paired;                   // rows of q and k lie as struct dyn_site has it
        double rope_theta;
        enum rope_scaling rope_scaling;
        double rope_factor;                                 // LINEAR, LLAMA3
        double rope_low_freq_factor, rope_high_freq_factor; // LLAMA3
        double rope_original_context;                       // LLAMA3
};

// From config.json, or from GGUF metadata. A value that would change the answers and is not understood is refused by
// its name.
enum dyn_status config_from_json(struct model_config *, const struct cJSON *, struct dyn_error *);
enum dyn_status config_from_gguf(struct model_config *, const struct gguf *, struct dyn_error *);

// Whether the dimensions fit together and stay within what the forward pass takes.
enum dyn_status config_check(const struct model_config *, struct dyn_error *);

#endif
