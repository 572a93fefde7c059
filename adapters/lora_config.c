// The fields of PEFT's LoraConfig (lora_config.h).
#include "adapters/lora_config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adapters/peft.h"
#include "adapters/pyregex.h"
#include "base/alloc.h"
#include "io/json.h"

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

static const char rank_expected[] = "a whole number from 1 to 4096";
static const char alpha_expected[] = "a number that float32 can hold";

static bool is_rank(double value)
{
        return value >= 1 && value <= MAX_RANK && value == floor(value);
}

static bool is_alpha(double value)
{
        return fabs(value) <= FLT_MAX;
}

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

static enum dyn_status read_pattern(struct lora_pattern *p, const cJSON *config, const char *field,
        bool (*valid)(double), const char *expected, struct dyn_error *err)
{
        const cJSON *object = json_member(config, field);
        char where[80];

        if (!peft_is_set(object))
                return DYN_OK;
        int n = cJSON_GetArraySize(object);
        if (!cJSON_IsObject(object) || n > MAX_PATTERNS)
                return peft_fail_field(err, field, "an object of at most 8192 patterns", object);
        p->keys = mem_array((size_t)n, sizeof *p->keys);
        p->values = mem_array((size_t)n, sizeof *p->values);
        for (const cJSON *m = object->child; m != NULL; m = m->next) {
                if (!cJSON_IsNumber(m) || !valid(m->valuedouble)) {
                        snprintf(where, sizeof where, "%s\": \"%.50s", field, m->string);
                        return peft_fail_field(err, where, expected, m);
                }
                if (pyregex_compile(&p->keys[p->n], PYREGEX_MATCH, "(.*\\.)?(", m->string, ")$", err)) {
                        snprintf(where, sizeof where, PEFT_CONFIG ": \"%s\"", field);
                        return dyn_fail_in(err, where);
                }
                p->values[p->n++] = m->valuedouble;
        }
        return DYN_OK;
}

static void finish_pattern(struct lora_pattern *p)
{
        for (int i = 0; i < p->n; i++)
                pyregex_free(p->keys[i]);
        mem_free(p->keys);
        mem_free(p->values);
}

// How training began. A start that moves part of the base into A and B belongs to a base that is not this one.
static enum dyn_status check_init(const cJSON *config, struct dyn_error *err)
{
        static const char *const plain[] = {"default", "gaussian", "eva", "orthogonal", "mica"};
        const cJSON *init = json_member(config, "init_lora_weights");
        char found[80];

        if (init == NULL || cJSON_IsNull(init) || cJSON_IsBool(init))
                return DYN_OK;
        for (size_t i = 0; cJSON_IsString(init) && i < sizeof plain / sizeof *plain; i++) {
                if (strcmp(init->valuestring, plain[i]) == 0)
                        return DYN_OK;
        }
        return dyn_fail(err, DYN_UNSUPPORTED,
                PEFT_CONFIG
                ": \"init_lora_weights\": expected a start that leaves the base as it is, found %s (save it "
                "with path_initial_model_for_weight_conversion)",
                json_describe(init, found, sizeof found));
}

// Fields with one value that can be served.
static enum dyn_status check_fixed(const cJSON *config, struct dyn_error *err)
{
        const cJSON *bias = json_member(config, "bias");
        enum dyn_status st = peft_check_fields(config, fields, sizeof fields / sizeof *fields, err);

        if (st == DYN_OK && bias != NULL && (!cJSON_IsString(bias) || strcmp(bias->valuestring, "none") != 0)) {
                peft_fail_field(err, "bias", "\"none\"", bias);
                return err->status = st = DYN_UNSUPPORTED;
        }
        return st ? st : check_init(config, err);
}

enum dyn_status lora_config_init(struct lora_config *c, const cJSON *config, struct dyn_error *err)
{
        const cJSON *stabilised = json_member(config, "use_rslora");
        enum dyn_status st = check_fixed(config, err);

        c->rank = c->alpha = 8; // PEFT's defaults
        if (st == DYN_OK && peft_is_set(stabilised) && !cJSON_IsTrue(stabilised))
                st = peft_fail_field(err, "use_rslora", "true or false", stabilised);
        c->stabilised = cJSON_IsTrue(stabilised);
        if (st == DYN_OK)
                st = read_number(config, "r", is_rank, rank_expected, &c->rank, err);
        if (st == DYN_OK)
                st = read_number(config, "lora_alpha", is_alpha, alpha_expected, &c->alpha, err);
        if (st == DYN_OK)
                st = read_pattern(&c->ranks, config, "rank_pattern", is_rank, rank_expected, err);
        if (st == DYN_OK)
                st = read_pattern(&c->alphas, config, "alpha_pattern", is_alpha, alpha_expected, err);
        return st ? st : target_init(&c->target, config, err);
}

void lora_config_finish(struct lora_config *c)
{
        finish_pattern(&c->ranks);
        finish_pattern(&c->alphas);
        target_finish(&c->target);
        *c = (struct lora_config){0};
}

static enum dyn_status look_up(
        const struct lora_pattern *p, const char *field, const char *module, double *value, struct dyn_error *err)
{
        for (int i = 0; i < p->n; i++) {
                bool matched;

                if (pyregex_matches(p->keys[i], module, &matched, err)) {
                        char where[80];

                        snprintf(where, sizeof where, PEFT_CONFIG ": \"%s\"", field);
                        return dyn_fail_in(err, where);
                }
                if (matched) {
                        *value = p->values[i];
                        return DYN_OK;
                }
        }
        return DYN_OK;
}

enum dyn_status lora_config_scale(
        const struct lora_config *c, const char *module, int *rank, float *scale, struct dyn_error *err)
{
        double r = c->rank, alpha = c->alpha;
        enum dyn_status st = look_up(&c->ranks, "rank_pattern", module, &r, err);

        if (st == DYN_OK)
                st = look_up(&c->alphas, "alpha_pattern", module, &alpha, err);
        *rank = (int)r;
        *scale = (float)(alpha / (c->stabilised ? sqrt(r) : r));
        return st;
}
