// What target_modules and its companions mean (target.h).
#include "adapters/target.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "adapters/peft.h"
#include "adapters/pyregex.h"
#include "base/alloc.h"
#include "io/json.h"

#define MAX_LAYERS_PATTERNS 64

static enum dyn_status fail_pattern(const char *field, struct dyn_error *err)
{
        char where[80];

        snprintf(where, sizeof where, PEFT_CONFIG ": \"%s\"", field);
        return dyn_fail_in(err, where);
}

static bool all_strings(const cJSON *array)
{
        const cJSON *s;

        cJSON_ArrayForEach(s, array)
        {
                if (!cJSON_IsString(s) || s->valuestring[0] == 0)
                        return false;
        }
        return true;
}

// A field that is a list of names or one pattern for the whole path.
static enum dyn_status read_names(const cJSON *value, const char *field, const char *expected, const cJSON **names,
        struct pyregex **pattern, struct dyn_error *err)
{
        if (cJSON_IsArray(value) && all_strings(value)) {
                *names = value;
                return DYN_OK;
        }
        if (!cJSON_IsString(value))
                return peft_fail_field(err, field, expected, value);
        if (pyregex_compile(pattern, PYREGEX_FULL, "", value->valuestring, "", err))
                return fail_pattern(field, err);
        return DYN_OK;
}

static bool is_layer(const cJSON *value)
{
        return cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble == floor(value->valuedouble);
}

static enum dyn_status read_layers(struct target *t, const cJSON *value, struct dyn_error *err)
{
        static const char expected[] = "a layer or a list of layers";
        const cJSON *layer;

        if (value == NULL || cJSON_IsNull(value))
                return DYN_OK;
        if (t->modules == NULL)
                return peft_fail_field(err, "layers_to_transform", "null, since \"target_modules\" is no list", value);
        if (!is_layer(value) && !cJSON_IsArray(value))
                return peft_fail_field(err, "layers_to_transform", expected, value);
        cJSON_ArrayForEach(layer, value)
        {
                if (!is_layer(layer))
                        return peft_fail_field(err, "layers_to_transform", expected, layer);
        }
        t->layers = cJSON_IsArray(value) && value->child == NULL ? NULL : value;
        return DYN_OK;
}

static enum dyn_status add_layers_pattern(
        struct target *t, const char *before, const char *pattern, const char *after, struct dyn_error *err)
{
        if (pyregex_compile(&t->layers_pattern[t->n_layers_pattern], PYREGEX_MATCH, before, pattern, after, err))
                return fail_pattern("layers_pattern", err);
        t->n_layers_pattern++;
        return DYN_OK;
}

// How the layer's number is found in a module path, once layers_to_transform is set.
static enum dyn_status read_layers_pattern(struct target *t, const cJSON *value, struct dyn_error *err)
{
        int n = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 1;
        const cJSON *one = cJSON_IsArray(value) ? value->child : value;

        if (t->layers == NULL)
                return peft_is_set(value) ? peft_fail_field(err, "layers_pattern",
                                                    "nothing, since \"layers_to_transform\" is not set", value)
                                          : DYN_OK;
        if (n > MAX_LAYERS_PATTERNS)
                return peft_fail_field(err, "layers_pattern", "at most 64 patterns", value);
        t->layers_pattern = mem_array((size_t)n + 1, sizeof(struct pyregex *));
        // Without a pattern: the first segment of digits alone that has a segment before and after it.
        if (!peft_is_set(value))
                return add_layers_pattern(t, ".*?\\.[^.]*", "", "\\.(?P<idx>\\d+)\\.", err);
        for (; one != NULL; one = cJSON_IsArray(value) ? one->next : NULL) {
                if (!cJSON_IsString(one))
                        return peft_fail_field(err, "layers_pattern", "a string or a list of strings", one);
                // Unlike with rank_pattern's keys, PEFT puts no brackets around it.
                enum dyn_status st =
                        add_layers_pattern(t, "(?:^|.*?\\.)", one->valuestring, "\\.(?P<idx>\\d+)\\.", err);
                if (st)
                        return st;
        }
        return DYN_OK;
}

enum dyn_status target_init(struct target *t, const cJSON *config, struct dyn_error *err)
{
        static const char names[] = "a list of names or a pattern";
        const cJSON *modules = json_member(config, "target_modules");
        const cJSON *exclude = json_member(config, "exclude_modules");
        enum dyn_status st = DYN_OK;

        if (cJSON_IsString(modules) && strcasecmp(modules->valuestring, "all-linear") == 0)
                t->all_linear = true;
        else
                st = read_names(modules, "target_modules", names, &t->modules, &t->pattern, err);
        if (st == DYN_OK && peft_is_set(exclude))
                st = read_names(exclude, "exclude_modules", names, &t->exclude, &t->exclude_pattern, err);
        if (st == DYN_OK)
                st = read_layers(t, json_member(config, "layers_to_transform"), err);
        if (st == DYN_OK)
                st = read_layers_pattern(t, json_member(config, "layers_pattern"), err);
        return st;
}

void target_finish(struct target *t)
{
        pyregex_free(t->pattern);
        pyregex_free(t->exclude_pattern);
        for (int i = 0; i < t->n_layers_pattern; i++)
                pyregex_free(t->layers_pattern[i]);
        mem_free(t->layers_pattern);
        *t = (struct target){0};
}

static bool is_named(const cJSON *names, const char *module)
{
        const cJSON *name;

        cJSON_ArrayForEach(name, names)
        {
                if (strcmp(name->valuestring, module) == 0)
                        return true;
        }
        return false;
}

static bool ends_in_named(const cJSON *names, const char *module)
{
        size_t len = strlen(module);
        const cJSON *name;

        cJSON_ArrayForEach(name, names)
        {
                size_t n = strlen(name->valuestring);

                if (n < len && module[len - n - 1] == '.' && strcmp(module + len - n, name->valuestring) == 0)
                        return true;
        }
        return false;
}

// Whether the number that stands for the layer in the path is among layers_to_transform.
static enum dyn_status in_layers(const struct target *t, const char *module, bool *included, struct dyn_error *err)
{
        const cJSON *layer = cJSON_IsArray(t->layers) ? t->layers->child : t->layers;
        long long index = -1;
        bool matched = false;

        for (int i = 0; i < t->n_layers_pattern && !matched; i++) {
                if (pyregex_index(t->layers_pattern[i], module, &matched, &index, err))
                        return fail_pattern("layers_pattern", err);
        }
        *included = false;
        for (; layer != NULL && index >= 0; layer = cJSON_IsArray(t->layers) ? layer->next : NULL) {
                if (layer->valuedouble == (double)index)
                        *included = true;
        }
        return DYN_OK;
}

static enum dyn_status is_excluded(const struct target *t, const char *module, bool *excluded, struct dyn_error *err)
{
        *excluded = is_named(t->exclude, module) || ends_in_named(t->exclude, module);
        if (t->exclude_pattern && pyregex_matches(t->exclude_pattern, module, excluded, err))
                return fail_pattern("exclude_modules", err);
        return DYN_OK;
}

enum dyn_status target_includes(
        const struct target *t, const char *module, int layer, bool *included, struct dyn_error *err)
{
        bool excluded;
        enum dyn_status st = is_excluded(t, module, &excluded, err);

        *included = false;
        if (st || excluded)
                return st;
        if (t->pattern) {
                if (pyregex_matches(t->pattern, module, included, err))
                        return fail_pattern("target_modules", err);
                return DYN_OK;
        }
        // A whole path in the list is targeted whatever layers_to_transform says.
        *included = t->all_linear ? layer >= 0 : is_named(t->modules, module);
        if (*included || !ends_in_named(t->modules, module))
                return DYN_OK;
        *included = true;
        return t->layers ? in_layers(t, module, included, err) : DYN_OK;
}
