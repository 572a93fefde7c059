// The common part of PEFT folders (peft.h).
#include "adapters/peft.h"

#include <string.h>

#include "io/json.h"

// PeftConfig's own fields: who made the adapter, from what and for what.
static const struct peft_field common[] = {
        {"auto_mapping", PEFT_INERT},
        {"base_model_name_or_path", PEFT_INERT},
        {"inference_mode", PEFT_INERT},
        {"peft_type", PEFT_USED},
        {"peft_version", PEFT_INERT},
        {"revision", PEFT_INERT},
        {"task_type", PEFT_INERT},
};

bool peft_is_set(const cJSON *value)
{
        if (value == NULL || cJSON_IsNull(value) || cJSON_IsFalse(value))
                return false;
        if (cJSON_IsNumber(value))
                return value->valuedouble != 0;
        if (cJSON_IsString(value))
                return value->valuestring[0] != 0;
        return cJSON_IsTrue(value) || value->child != NULL;
}

const char *peft_type(const cJSON *config)
{
        const cJSON *type = json_member(config, "peft_type");

        return cJSON_IsString(type) ? type->valuestring : NULL;
}

static const struct peft_field *find(const struct peft_field *fields, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++) {
                if (strcmp(fields[i].name, name) == 0)
                        return &fields[i];
        }
        return NULL;
}

enum dyn_status peft_check_fields(
        const cJSON *config, const struct peft_field *fields, int n_fields, struct dyn_error *err)
{
        for (const cJSON *m = config->child; m != NULL; m = m->next) {
                const struct peft_field *field = find(fields, (size_t)n_fields, m->string);

                if (field == NULL)
                        field = find(common, sizeof common / sizeof *common, m->string);
                if ((field != NULL && field->use != PEFT_REFUSED) || !peft_is_set(m))
                        continue;
                char found[80];
                return dyn_fail(err, DYN_UNSUPPORTED,
                        field ? PEFT_CONFIG ": \"%.80s\" is set (%s), and this is not supported"
                              : PEFT_CONFIG ": \"%.80s\" is set (%s), and this field is not known here",
                        m->string, json_describe(m, found, sizeof found));
        }
        return DYN_OK;
}

enum dyn_status peft_fail_field(struct dyn_error *err, const char *name, const char *expected, const cJSON *found)
{
        char text[80];

        return dyn_fail(err, DYN_INVALID, PEFT_CONFIG ": \"%.80s\": expected %s, found %s", name, expected,
                json_describe(found, text, sizeof text));
}

const char *peft_module(const char *tensor, const char *const *suffixes, int n_suffixes, int *which, size_t *len)
{
        size_t prefix = strlen(PEFT_PREFIX), n = strlen(tensor);

        if (strncmp(tensor, PEFT_PREFIX, prefix) != 0)
                return NULL;
        for (int i = 0; i < n_suffixes; i++) {
                size_t suffix = strlen(suffixes[i]);

                if (n <= prefix + suffix || strcmp(tensor + n - suffix, suffixes[i]) != 0)
                        continue;
                *which = i;
                *len = n - prefix - suffix;
                return tensor + prefix;
        }
        return NULL;
}
