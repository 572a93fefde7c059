// LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021) and rank-stabilised LoRA (Kalajdzievski,
// "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023): y += s B (A x), s = alpha / r, or
// alpha / sqrt(r). Lowered to one low-rank patch a site; nothing after the loader knows the words. Format: PEFT's
// LoraConfig, and `<module>.lora_A.weight` (r, n_in), `<module>.lora_B.weight` (n_out, r).
#include "adapters/lora.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adapters/peft.h"
#include "adapters/pyregex.h"
#include "adapters/target.h"
#include "base/alloc.h"
#include "base/map.h"
#include "io/json.h"
#include "io/quant.h"
#include "io/safetensors.h"

#define MAX_RANK     4096
#define MAX_PATTERNS 8192 // keys in rank_pattern or alpha_pattern

static const struct peft_field fields[] = {
        {"alora_invocation_tokens", PEFT_REFUSED},
        {"alpha_pattern", PEFT_USED},
        {"arrow_config", PEFT_REFUSED},
        {"bias", PEFT_USED},
        {"corda_config", PEFT_INERT}, // of init_lora_weights "corda" only
        {"ensure_weight_tying", PEFT_INERT},
        {"eva_config", PEFT_INERT},
        {"exclude_modules", PEFT_USED},
        {"fan_in_fan_out", PEFT_REFUSED},
        {"init_lora_weights", PEFT_USED},
        {"kasa_config", PEFT_REFUSED},
        {"layer_replication", PEFT_REFUSED},
        {"layers_pattern", PEFT_USED},
        {"layers_to_transform", PEFT_USED},
        {"loftq_config", PEFT_REFUSED},
        {"lora_alpha", PEFT_USED},
        {"lora_bias", PEFT_REFUSED},
        {"lora_dropout", PEFT_INERT},
        {"lora_ga_config", PEFT_INERT}, // of init_lora_weights "lora_ga" only
        {"megatron_config", PEFT_REFUSED},
        {"megatron_core", PEFT_INERT}, // the name of a module that megatron_config would use
        {"modules_to_save", PEFT_REFUSED},
        {"monteclora_config", PEFT_REFUSED},
        {"qalora_group_size", PEFT_INERT}, // of use_qalora only
        {"r", PEFT_USED},
        {"rank_pattern", PEFT_USED},
        {"runtime_config", PEFT_INERT},
        {"target_modules", PEFT_USED},
        {"target_parameters", PEFT_REFUSED},
        {"trainable_token_indices", PEFT_REFUSED},
        {"use_bdlora", PEFT_REFUSED},
        {"use_dora", PEFT_REFUSED},
        {"use_qalora", PEFT_REFUSED},
        {"use_rslora", PEFT_USED},
        {"velora_config", PEFT_REFUSED},
};

// rank_pattern or alpha_pattern: in the order of the file, the first key that matches a module path counts.
struct pattern {
        struct pyregex **keys; // (n)
        double *values;        // (n)
        int n;
        const char *field;
};

struct lora {
        double rank, alpha;
        bool stabilised;
        struct pattern ranks, alphas;
        struct target target;
};

// The tensors of one site: indices into the file, -1 if missing.
struct pair {
        int a, b;
};

struct lowering {
        const struct safetensors *file;
        const struct dyn_sites *sites;
        struct lora config;
        struct pair *pairs; // (sites->n)
        struct dyn_lowered *out;
        struct dyn_error *err;
};

// Configuration
// --------------------------------------------------------------------------------------------------------------

static bool is_rank(double value)
{
        return value >= 1 && value <= MAX_RANK && value == floor(value);
}

static bool is_alpha(double value)
{
        return fabs(value) <= FLT_MAX;
}

static const char *const rank_expected = "a whole number from 1 to 4096";
static const char *const alpha_expected = "a number";

static enum dyn_status read_number(const cJSON *config, const char *name, bool (*valid)(double), const char *expected,
        double *out, struct dyn_error *err)
{
        const cJSON *value = json_member(config, name);

        if (value == NULL)
                return DYN_OK;
        if (!cJSON_IsNumber(value) || !valid(value->valuedouble))
                return peft_fail_field(err, name, expected, value);
        *out = value->valuedouble;
        return DYN_OK;
}

static enum dyn_status read_pattern(struct pattern *p, const cJSON *config, const char *field, bool (*valid)(double),
        const char *expected, struct dyn_error *err)
{
        const cJSON *object = json_member(config, field);
        char where[80];

        if (!peft_is_set(object))
                return DYN_OK;
        int n = cJSON_GetArraySize(object);
        if (!cJSON_IsObject(object) || n > MAX_PATTERNS)
                return peft_fail_field(err, field, "an object of at most 8192 patterns", object);
        p->field = field;
        p->keys = mem_array((size_t)n, sizeof *p->keys);
        p->values = mem_array((size_t)n, sizeof *p->values);
        for (const cJSON *m = object->child; m != NULL; m = m->next) {
                snprintf(where, sizeof where, "%s\": \"%.50s", field, m->string);
                if (!cJSON_IsNumber(m) || !valid(m->valuedouble))
                        return peft_fail_field(err, where, expected, m);
                if (pyregex_compile(&p->keys[p->n], PYREGEX_MATCH, "(.*\\.)?(", m->string, ")$", err)) {
                        snprintf(where, sizeof where, PEFT_CONFIG ": \"%s\"", field);
                        return dyn_fail_in(err, where);
                }
                p->values[p->n++] = m->valuedouble;
        }
        return DYN_OK;
}

static void finish_pattern(struct pattern *p)
{
        for (int i = 0; i < p->n; i++)
                pyregex_free(p->keys[i]);
        mem_free(p->keys);
        mem_free(p->values);
}

static enum dyn_status look_up(const struct pattern *p, const char *module, double *value, struct dyn_error *err)
{
        char where[80];

        for (int i = 0; i < p->n; i++) {
                bool matched;

                if (pyregex_matches(p->keys[i], module, &matched, err)) {
                        snprintf(where, sizeof where, PEFT_CONFIG ": \"%s\"", p->field);
                        return dyn_fail_in(err, where);
                }
                if (matched) {
                        *value = p->values[i];
                        break;
                }
        }
        return DYN_OK;
}

// How training began. Those that move part of the base into A and B at the start belong to a base that is not this one.
static enum dyn_status check_init(const cJSON *config, struct dyn_error *err)
{
        static const char *const plain[] = {"default", "gaussian", "eva", "orthogonal", "mica"};
        const cJSON *init = json_member(config, "init_lora_weights");

        if (init == NULL || cJSON_IsNull(init) || cJSON_IsBool(init))
                return DYN_OK;
        for (size_t i = 0; cJSON_IsString(init) && i < sizeof plain / sizeof *plain; i++) {
                if (strcmp(init->valuestring, plain[i]) == 0)
                        return DYN_OK;
        }
        dyn_error_status: return DYN_OK;
}
