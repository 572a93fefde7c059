#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "io/json.h"
#include "io/mapfile.h"
#include "text/hf_model.h"
#include "text/hf_steps.h"
#include "text/parts.h"

#define MAX_TOKENIZER (256u << 20) // the largest tokenizer.json in use has 33 MB
#define MAX_CONFIG    (16u << 20)

// "truncation" and "padding" are for batches of training data, and a caller here cuts by itself.
static enum dyn_status parse_root(struct tokenizer *t, const cJSON *root, struct dyn_error *err)
{
        if (!cJSON_IsObject(root))
                return dyn_fail(err, DYN_INVALID, "expected an object");
        enum dyn_status st = hf_model_parse(t, root, err);
        if (st == DYN_OK)
                st = hf_added_parse(t, root, err);
        if (st == DYN_OK)
                st = hf_normalizer_parse(t, root, err);
        if (st == DYN_OK)
                st = hf_split_parse(t, root, err);
        if (st == DYN_OK)
                st = hf_merges_parse(t, root, err);
        if (st == DYN_OK)
                st = hf_post_parse(t, root, err);
        if (st == DYN_OK)
                st = hf_decoder_parse(t, root, err);
        if (st == DYN_OK)
                st = hf_added_match(t, root, err);
        return st == DYN_OK ? parts_complete(t, err) : st;
}

enum dyn_status hf_tokenizer_parse(struct tokenizer *t, const char *json, size_t len, struct dyn_error *err)
{
        cJSON *root;
        enum dyn_status st = json_parse(json, len, &root, err);

        if (st == DYN_OK)
                st = parse_root(t, root, err);
        cJSON_Delete(root);
        return st;
}

// A token in tokenizer_config.json: a string, or an object with the string in "content".
static enum dyn_status special_token(const cJSON *config, const char *name, char **out, struct dyn_error *err)
{
        const cJSON *v = config ? json_member(config, name) : NULL;

        if (cJSON_IsObject(v))
                v = json_member(v, "content");
        if (v == NULL || cJSON_IsNull(v))
                return DYN_OK;
        if (!cJSON_IsString(v))
                return dyn_fail(err, DYN_INVALID, "\"%s\": expected a string or an object with \"content\"", name);
        *out = mem_strdup(v->valuestring);
        return DYN_OK;
}

// "chat_template": a string, or a list of {"name", "template"} of which "default" counts.
static enum dyn_status config_template(struct tokenizer *t, const cJSON *config, struct dyn_error *err)
{
        const cJSON *v = json_member(config, "chat_template"), *c;

        if (v == NULL || cJSON_IsNull(v) || t->chat_template != NULL)
                return DYN_OK;
        if (cJSON_IsString(v)) {
                t->chat_template = mem_strdup(v->valuestring);
                return DYN_OK;
        }
        if (!cJSON_IsArray(v))
                return dyn_fail(err, DYN_INVALID, "\"chat_template\": expected a string or a list");
        cJSON_ArrayForEach(c, v)
        {
                const char *name = NULL, *text = NULL;
                enum dyn_status st = json_get_string(c, "name", &name, err);

                if (st == DYN_OK)
                        st = json_get_string(c, "template", &text, err);
                if (st != DYN_OK)
                        return st;
                if (name != NULL && text != NULL && strcmp(name, "default") == 0 && t->chat_template == NULL)
                        t->chat_template = mem_strdup(text);
        }
        return DYN_OK;
}

static enum dyn_status apply_config(struct tokenizer *t, const cJSON *config, struct dyn_error *err)
{
        enum dyn_status st = special_token(config, "bos_token", &t->bos, err);

        if (st == DYN_OK)
                st = special_token(config, "eos_token", &t->eos, err);
        if (st == DYN_OK)
                st = config_template(t, config, err);
        if (st != DYN_OK || t->eos == NULL)
                return st;
        for (int32_t id = 0; id < t->vocab.n; id++) {
                size_t len;

                if (!vocab_has(&t->vocab, id))
                        continue;
                const char *s = vocab_written(&t->vocab, id, &len);
                if (len == strlen(t->eos) && memcmp(s, t->eos, len) == 0)
                        return parts_add_stop(t, id, err);
        }
        return dyn_fail(err, DYN_INVALID, "\"eos_token\": \"%.60s\" is not a token", t->eos);
}

// "eos_token_id": a number or a list of numbers.
static enum dyn_status apply_eos_ids(struct tokenizer *t, const cJSON *config, struct dyn_error *err)
{
        const cJSON *v = json_member(config, "eos_token_id");
        const cJSON *c = cJSON_IsArray(v) ? v->child : v;

        if (v == NULL || cJSON_IsNull(v))
                return DYN_OK;
        for (; c != NULL; c = cJSON_IsArray(v) ? c->next : NULL) {
                if (!cJSON_IsNumber(c) || c->valuedouble != c->valueint)
                        return dyn_fail(err, DYN_INVALID, "\"eos_token_id\": expected a number or a list of numbers");
                if (parts_add_stop(t, c->valueint, err) != DYN_OK)
                        return dyn_fail_in(err, "\"eos_token_id\"");
        }
        return DYN_OK;
}

// Reads a file of the folder, if it is there, and applies it. The error begins with its path.
static enum dyn_status with_file(struct tokenizer *t, const char *folder, const char *name,
        enum dyn_status (*apply)(struct tokenizer *, const cJSON *, struct dyn_error *), struct dyn_error *err)
{
        char *path = mem_printf("%s/%s", folder, name);
        enum dyn_status st = DYN_OK;
        cJSON *root = NULL;

        if (access(path, F_OK) == 0) {
                st = json_parse_file(path, apply == parse_root ? MAX_TOKENIZER : MAX_CONFIG, &root, err);
                if (st == DYN_OK && !cJSON_IsObject(root))
                        st = dyn_fail(err, DYN_INVALID, "%s: expected an object", path);
                else if (st == DYN_OK && (st = apply(t, root, err)) != DYN_OK)
                        st = dyn_fail_in(err, path);
                cJSON_Delete(root);
        } else if (apply == parse_root) {
                st = dyn_fail(err, DYN_NOT_FOUND, "%s: no such file", path);
        }
        mem_free(path);
        return st;
}

static enum dyn_status template_file(struct tokenizer *t, const char *folder, struct dyn_error *err)
{
        char *path = mem_printf("%s/chat_template.jinja", folder);
        enum dyn_status st = DYN_OK;
        size_t len;

        if (access(path, F_OK) == 0)
                st = mapfile_read_text(path, MAX_CONFIG, &t->chat_template, &len, err);
        mem_free(path);
        return st;
}

enum dyn_status hf_tokenizer_load(struct tokenizer *t, const char *folder, struct dyn_error *err)
{
        enum dyn_status st = with_file(t, folder, "tokenizer.json", parse_root, err);

        if (st == DYN_OK)
                st = template_file(t, folder, err);
        if (st == DYN_OK)
                st = with_file(t, folder, "generation_config.json", apply_eos_ids, err);
        if (st == DYN_OK && t->stop.n == 0)
                st = with_file(t, folder, "config.json", apply_eos_ids, err);
        if (st == DYN_OK)
                st = with_file(t, folder, "tokenizer_config.json", apply_config, err);
        return st;
}
