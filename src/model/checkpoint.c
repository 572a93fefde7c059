#include "model/checkpoint.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/map.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"

struct checkpoint {
        struct model_config config;
        struct safetensors *safetensors; // one of the two
        struct gguf *gguf;
        char stored_as[128]; // what checkpoint_find last looked for
};

static enum dyn_status open_folder(struct checkpoint *c, const char *path, struct dyn_error *err)
{
        char *config = mem_printf("%s/config.json", path);
        cJSON *json = NULL;
        enum dyn_status st = json_parse_file(config, 16 << 20, &json, err);

        if (st == DYN_OK && (st = config_from_json(&c->config, json, err)))
                dyn_fail_in(err, config);
        if (st == DYN_OK)
                st = safetensors_open(&c->safetensors, path, err);
        cJSON_Delete(json);
        mem_free(config);
        return st;
}

static enum dyn_status open_gguf(struct checkpoint *c, const char *path, struct dyn_error *err)
{
        enum dyn_status st = gguf_open(&c->gguf, path, err);

        if (st == DYN_OK && (st = config_from_gguf(&c->config, c->gguf, err)))
                dyn_fail_in(err, path);
        return st;
}

enum dyn_status checkpoint_open(struct checkpoint **out, const char *path, struct dyn_error *err)
{
        struct checkpoint *c = mem_zalloc(sizeof *c);
        struct stat info;
        enum dyn_status st;

        if (stat(path, &info) != 0)
                st = dyn_fail(err, DYN_NOT_FOUND, "%s: there is no such model folder or .gguf file", path);
        else
                st = S_ISDIR(info.st_mode) ? open_folder(c, path, err) : open_gguf(c, path, err);
        if (st == DYN_OK && (st = config_check(&c->config, err)))
                dyn_fail_in(err, path);
        if (st != DYN_OK) {
                checkpoint_close(c);
                return st;
        }
        *out = c;
        return DYN_OK;
}

void checkpoint_close(struct checkpoint *c)
{
        if (c == NULL)
                return;
        safetensors_close(c->safetensors);
        gguf_close(c->gguf);
        mem_free(c);
}

const struct model_config *checkpoint_config(const struct checkpoint *c)
{
        return &c->config;
}

const char *checkpoint_format(const struct checkpoint *c)
{
        return c->gguf ? "gguf" : "safetensors";
}

static const char *const outer_names[][2] = {
        {"model.embed_tokens.weight", "token_embd.weight"},
        {"model.norm.weight", "output_norm.weight"},
        {"lm_head.weight", "output.weight"},
};

static const char *const layer_names[][2] = {
        {"input_layernorm.", "attn_norm."},
        {"post_attention_layernorm.", "ffn_norm."},
        {"self_attn.q_proj.", "attn_q."},
        {"self_attn.k_proj.", "attn_k."},
        {"self_attn.v_proj.", "attn_v."},
        {"self_attn.o_proj.", "attn_output."},
        {"mlp.gate_proj.", "ffn_gate."},
        {"mlp.up_proj.", "ffn_up."},
        {"mlp.down_proj.", "ffn_down."},
};

// The name that GGUF gives to a tensor with this Hugging Face name; false if it has none.
static bool gguf_name(const char *name, char *out, size_t cap)
{
        int layer, rest = 0;

        for (size_t i = 0; i < sizeof outer_names / sizeof *outer_names; i++)
                if (strcmp(name, outer_names[i][0]) == 0)
                        return snprintf(out, cap, "%s", outer_names[i][1]) > 0;
        if (sscanf(name, "model.layers.%d.%n", &layer, &rest) != 1 || rest == 0)
                return false;
        for (size_t i = 0; i < sizeof layer_names / sizeof *layer_names; i++) {
                size_t len = strlen(layer_names[i][0]);

                if (strncmp(name + rest, layer_names[i][0], len) == 0)
                        return snprintf(out, cap, "blk.%d.%s%s", layer, layer_names[i][1], name + rest + len) > 0;
        }
        return false;
}

const struct dyn_tensor *checkpoint_find(struct checkpoint *c, const char *name, const char **stored_as)
{
        *stored_as = name;
        if (c->safetensors != NULL)
                return safetensors_find(c->safetensors, name);
        *stored_as = c->stored_as;
        if (!gguf_name(name, c->stored_as, sizeof c->stored_as))
                return NULL;
        return gguf_tensor_find(c->gguf, c->stored_as);
}

const struct dyn_tensor *checkpoint_rope_factors(const struct checkpoint *c)
{
        return c->gguf ? gguf_tensor_find(c->gguf, "rope_freqs.weight") : NULL;
}

int checkpoint_count(const struct checkpoint *c)
{
        return c->gguf ? gguf_tensor_count(c->gguf) : safetensors_count(c->safetensors);
}

const struct dyn_tensor *checkpoint_at(const struct checkpoint *c, int i, const char **name)
{
        *name = c->gguf ? gguf_tensor_name(c->gguf, i) : safetensors_name(c->safetensors, i);
        return c->gguf ? gguf_tensor_at(c->gguf, i) : safetensors_at(c->safetensors, i);
}

unsigned long long checkpoint_hash(const struct checkpoint *c)
{
        unsigned long long hash = map_hash(&c->config, sizeof c->config);

        for (int i = 0; i < checkpoint_count(c); i++) {
                const char *name;
                const struct dyn_tensor *t = checkpoint_at(c, i, &name);
                size_t sample = t->data ? (t->bytes < 4096 ? t->bytes : 4096) : 0;
                unsigned long long part[4] = {hash, map_hash(name, strlen(name)), t->bytes,
                        sample ? map_hash((const char *)t->data + (t->bytes - sample) / 2, sample) : 0};

                hash = map_hash(part, sizeof part);
        }
        return hash;
}
