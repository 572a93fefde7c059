// What a LoRA configuration says about one module: whether it is adapted, with which rank and which scale. Called by
// lora.c; knows no tensors. Rules as PEFT has them: LoraConfig in src/peft/tuners/lora/config.py, get_pattern_key in
// src/peft/utils/other.py.
#ifndef DYNLORA_ADAPTERS_LORA_CONFIG_H
#define DYNLORA_ADAPTERS_LORA_CONFIG_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "adapters/target.h"
#include "dynlora/status.h"

// rank_pattern or alpha_pattern: the first key, in the order of the file, that matches a module path counts.
struct lora_pattern {
        struct pyregex **keys; // (n)
        double *values;        // (n)
        int n;
};

struct lora_config {
        double rank, alpha;
        bool stabilised; // rsLoRA
        struct lora_pattern ranks, alphas;
        struct target target;
};

// Zero *config first; on failure too, lora_config_finish gives back what is in it. Borrows the JSON.
enum dyn_status lora_config_init(struct lora_config *, const cJSON *, struct dyn_error *);
void lora_config_finish(struct lora_config *);

// Of one module: its rank and what B (A x) is multiplied with.
enum dyn_status lora_config_scale(
        const struct lora_config *, const char *module, int *rank, float *scale, struct dyn_error *);

#endif
