#include "model/config.h"

#include <stdio.h>
#include <string.h>

#include "io/gguf.h"
#include "io/json.h"

#define MAX_DIM (1 << 24)

static enum dyn_status require(const cJSON *json, const char *name, int *out, struct dyn_error *err)
{
        int64_t value = -1;
        enum dyn_status st = json_get_int(json, name, 1, MAX_DIM, &value, err);

        if (st != DYN_OK)
                return st;
        if (value < 0)
                return dyn_fail(err, DYN_INVALID, "\"%s\" is missing", name);
        *out = (int)value;
        return DYN_OK;
}

static enum dyn_status optional(const cJSON *json, const char *name, int *out, struct dyn_error *err)
{
        int64_t value = *out;
        enum dyn_status st = json_get_int(json, name, 1, MAX_DIM, &value, err);

        *out = (int)value;
        return st;
}

// rope_scaling of older checkpoints and rope_parameters of newer ones hold the same keys.
static enum dyn_status rope_object(struct model_config *c, const cJSON *rope, const char *field, struct dyn_error *err)
{
        const char *type = "default";
        enum dyn_status st;

        if (!cJSON_IsObject(rope))
                return dyn_fail(err, DYN_INVALID, "\"%s\": expected an object", field);
        if ((st = json_get_string(rope, "type", &type, err)) || (st = json_get_string(rope, "rope_type", &type, err)) ||
                (st = json_get_number(rope, "rope_theta", 1, 1e12, &c->rope_theta, err)))
                return st;
        if (strcmp(type, "default") == 0)
                return DYN_OK;
        if (strcmp(type, "linear") == 0)
                c->rope_scaling = ROPE_LINEAR;
        else if (strcmp(type, "llama3") == 0)
                c->rope_scaling = ROPE_LLAMA3;
        else
                return dyn_fail(err, DYN_UNSUPPORTED, "\"%s\": expected type default, linear or llama3, found \"%s\"",
                        field, type);
        c->rope_factor = 0;
        if ((st = json_get_number(rope, "factor", 1, 1e6, &c->rope_factor, err)) ||
                (st = json_get_number(rope, "low_freq_factor", 1e-6, 1e6, &c->rope_low_freq_factor, err)) ||
                (st = json_get_number(rope, "high_freq_factor", 1e-6, 1e6, &c->rope_high_freq_factor, err)) ||
                (st = json_get_number(
                         rope, "original_max_position_embeddings", 1, MAX_DIM, &c->rope_original_context, err)))
                return st;
        if (c->rope_factor == 0)
                return dyn_fail(err, DYN_INVALID, "\"%s\": \"factor\" is missing", field);
        if (c->rope_scaling == ROPE_LLAMA3 && (c->rope_low_freq_factor == 0 || c->rope_original_context == 0 ||
                                                      c->rope_high_freq_factor <= c->rope_low_freq_factor))
                return dyn_fail(err, DYN_INVALID,
                        "\"%s\": llama3 needs low_freq_factor < high_freq_factor and original_max_position_embeddings",
                        field);
        return DYN_OK;
}

static enum dyn_status rope_from_json(struct model_config *c, const cJSON *json, struct dyn_error *err)
{
        static const char *const fields[] = {"rope_scaling", "rope_parameters"};
        enum dyn_status st;

        c->rope_theta = 10000;
        if ((st = json_get_number(json, "rope_theta", 1, 1e12, &c->rope_theta, err)))
                return st;
        for (int i = 0; i < 2; i++) {
                const cJSON *rope = json_member(json, fields[i]);

                if (rope != NULL && !cJSON_IsNull(rope) && (st = rope_object(c, rope, fields[i], err)))
                        return st;
        }
        return DYN_OK;
}

// Fields that change the forward pass: only the value that it computes is accepted.
static enum dyn_status check_fixed(const cJSON *json, struct dyn_error *err)
{
        static const char *const off[] = {"quantization_config", "sliding_window", "rope_interleaved", "use_qk_norm",
                "num_experts", "num_local_experts", "adapters", "embedding_size"};
        double partial = 1, tp = 1;
        const char *act = "silu";
        enum dyn_status st;

        for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
                const cJSON *v = json_member(json, off[i]);

                if (v != NULL && !cJSON_IsNull(v) && !cJSON_IsFalse(v) && !(cJSON_IsNumber(v) && v->valuedouble == 0))
                        return dyn_fail(err, DYN_UNSUPPORTED, "\"%s\" is set, and this is not supported", off[i]);
        }
        if ((st = json_get_string(json, "hidden_act", &act, err)) ||
                (st = json_get_number(json, "partial_rotary_factor", 0, 1, &partial, err)) ||
                (st = json_get_number(json, "pretraining_tp", 0, 1e6, &tp, err)))
                return st;
        if (strcmp(act, "silu") != 0)
                return dyn_fail(err, DYN_UNSUPPORTED, "\"hidden_act\": expected \"silu\", found \"%s\"", act);
        if (partial != 1)
                return dyn_fail(err, DYN_UNSUPPORTED, "\"partial_rotary_factor\": expected 1, found %g", partial);
        return DYN_OK;
}

enum dyn_status config_from_json(struct model_config *c, const cJSON *json, struct dyn_error *err)
{
        const char *arch = NULL;
        enum dyn_status st;

        memset(c, 0, sizeof *c); // padding too: it is hashed
        c->norm_eps = 1e-6;
        if ((st = json_get_string(json, "model_type", &arch, err)))
                return st;
        if (arch == NULL)
                return dyn_fail(err, DYN_INVALID, "\"model_type\" is missing");
        snprintf(c->arch, sizeof c->arch, "%s", arch);
        if ((st = require(json, "hidden_size", &c->dim, err)) ||
                (st = require(json, "intermediate_size", &c->hidden_dim, err)) ||
                (st = require(json, "num_hidden_layers", &c->n_layers, err)) ||
                (st = require(json, "num_attention_heads", &c->n_heads, err)) ||
                (st = require(json, "vocab_size", &c->vocab_size, err)))
                return st;
        c->n_kv_heads = c->n_heads;
        c->head_dim = c->dim / c->n_heads;
        c->max_context = 2048;
        if ((st = optional(json, "num_key_value_heads", &c->n_kv_heads, err)) ||
                (st = optional(json, "head_dim", &c->head_dim, err)) ||
                (st = optional(json, "max_position_embeddings", &c->max_context, err)) ||
                (st = json_get_number(json, "rms_norm_eps", 0, 1, &c->norm_eps, err)) ||
                (st = json_get_bool(json, "tie_word_embeddings", &c->tied_head, err)) ||
                (st = json_get_bool(json, "attention_bias", &c->attention_bias, err)) ||
                (st = json_get_bool(json, "mlp_bias", &c->mlp_bias, err)) || (st = rope_from_json(c, json, err)))
                return st;
        return check_fixed(json, err);
}

static enum dyn_status key_int(const struct gguf *g, const char *arch, const char *key, int *out, struct dyn_error *err)
{
        char name[96];
        int64_t value = *out;

        snprintf(name, sizeof name, "%s.%s", arch, key);
        enum dyn_status st = gguf_get_int(g, name, 1, MAX_DIM, &value, err);
        if (st == DYN_OK && value == 0)
                st = dyn_fail(err, DYN_INVALID, "metadata \"%s\" is missing", name);
        *out = (int)value;
        return st;
}

static enum dyn_status key_number(
        const struct gguf *g, const char *arch, const char *key, double *out, struct dyn_error *err)
{
        char name[96];

        snprintf(name, sizeof name, "%s.%s", arch, key);
        return gguf_get_number(g, name, out, err);
}

static enum dyn_status rope_from_gguf(struct model_config *c, const struct gguf *g, struct dyn_error *err)
{
        const char *type = "none";
        size_t len = 4;
        char name[96];
        int rotated = c->head_dim;
        enum dyn_status st;

        c->rope_theta = 10000;
        snprintf(name, sizeof name, "%s.rope.scaling.type", c->arch);
        if ((st = key_number(g, c->arch, "rope.freq_base", &c->rope_theta, err)) ||
                (st = key_int(g, c->arch, "rope.dimension_count", &rotated, err)) ||
                (st = gguf_get_string(g, name, &type, &len, err)))
                return st;
        if (rotated != c->head_dim)
                return dyn_fail(err, DYN_UNSUPPORTED, "metadata \"%s.rope.dimension_count\": expected %d, found %d",
                        c->arch, c->head_dim, rotated);
        if (len == 4 && memcmp(type, "none", 4) == 0)
                return DYN_OK;
        if (len != 6 || memcmp(type, "linear", 6) != 0)
                return dyn_fail(err, DYN_UNSUPPORTED, "metadata \"%s\": expected none or linear, found \"%.*s\"", name,
                        (int)(len < 40 ? len : 40), type);
        c->rope_scaling = ROPE_LINEAR;
        c->rope_factor = 1;
        return key_number(g, c->arch, "rope.scaling.factor", &c->rope_factor, err);
}

// vocab_size is optional metadata: the embedding's rows and the token list are what it must equal.
static enum dyn_status vocab_from_gguf(struct model_config *c, const struct gguf *g, struct dyn_error *err)
{
        const struct dyn_tensor *embed = gguf_tensor_find(g, "token_embd.weight");

        if (embed == NULL || embed->n_dims != 2 || embed->shape[0] > MAX_DIM)
                return dyn_fail(err, DYN_INVALID, "tensor token_embd.weight: expected a matrix, found none");
        c->vocab_size = (int)embed->shape[0];
        return key_int(g, c->arch, "vocab_size", &c->vocab_size, err);
}

enum dyn_status config_from_gguf(struct model_config *c, const struct gguf *g, struct dyn_error *err)
{
        const char *arch = NULL;
        size_t len = 0;
        int64_t experts = 0;
        int value_length;
        enum dyn_status st;

        memset(c, 0, sizeof *c);
        c->norm_eps = 1e-5;
        if ((st = gguf_get_string(g, "general.architecture", &arch, &len, err)))
                return st;
        if (arch == NULL || len == 0 || len >= sizeof c->arch)
                return dyn_fail(err, DYN_INVALID, "metadata \"general.architecture\" is missing");
        memcpy(c->arch, arch, len);
        if ((st = key_int(g, c->arch, "embedding_length", &c->dim, err)) ||
                (st = key_int(g, c->arch, "feed_forward_length", &c->hidden_dim, err)) ||
                (st = key_int(g, c->arch, "block_count", &c->n_layers, err)) ||
                (st = key_int(g, c->arch, "attention.head_count", &c->n_heads, err)) ||
                (st = key_int(g, c->arch, "context_length", &c->max_context, err)))
                return st;
        c->n_kv_heads = c->n_heads;
        c->head_dim = c->dim / c->n_heads;
        if ((st = key_int(g, c->arch, "attention.head_count_kv", &c->n_kv_heads, err)) ||
                (st = key_int(g, c->arch, "attention.key_length", &c->head_dim, err)))
                return st;
        value_length = c->head_dim;
        if ((st = key_int(g, c->arch, "attention.value_length", &value_length, err)) ||
                (st = key_number(g, c->arch, "attention.layer_norm_rms_epsilon", &c->norm_eps, err)) ||
                (st = gguf_get_int(g, "llama.expert_count", 0, 1 << 20, &experts, err)) ||
                (st = rope_from_gguf(c, g, err)) || (st = vocab_from_gguf(c, g, err)))
                return st;
        if (experts > 0 || value_length != c->head_dim)
                return dyn_fail(err, DYN_UNSUPPORTED,
                        "mixtures of experts and value_length that differs from key_length "
                        "are not supported");
        c->tied_head = gguf_tensor_find(g, "output.weight") == NULL;
        c->paired = true;
        c->attention_bias = gguf_tensor_find(g, "blk.0.attn_q.bias") != NULL;
        c->mlp_bias = gguf_tensor_find(g, "blk.0.ffn_gate.bias") != NULL;
        return DYN_OK;
}

enum dyn_status config_check(const struct model_config *c, struct dyn_error *err)
{
        if (c->n_layers > 4096 || (int64_t)c->n_heads * c->head_dim > MAX_DIM)
                return dyn_fail(err, DYN_INVALID, "%d layers of %d heads of %d: too large", c->n_layers, c->n_heads,
                        c->head_dim);
        if (c->n_heads % c->n_kv_heads != 0)
                return dyn_fail(err, DYN_INVALID, "%d attention heads cannot share %d key/value heads", c->n_heads,
                        c->n_kv_heads);
        if (c->head_dim < 2 || c->head_dim % 2 != 0 || c->head_dim > 1024)
                return dyn_fail(
                        err, DYN_INVALID, "head_dim: expected an even number from 2 to 1024, found %d", c->head_dim);
        if (c->rope_scaling != ROPE_PLAIN && !(c->rope_factor > 0 && c->rope_factor < 1e6))
                return dyn_fail(
                        err, DYN_INVALID, "rope scaling factor: expected a number above 0, found %g", c->rope_factor);
        if (!(c->norm_eps > 0 && c->norm_eps < 1) || !(c->rope_theta >= 1))
                return dyn_fail(err, DYN_INVALID, "rms_norm_eps %g and rope_theta %g make no sense", c->norm_eps,
                        c->rope_theta);
        return DYN_OK;
}
