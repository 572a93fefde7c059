#include "api/served.h"

#include <string.h>

static enum dyn_status resolve(
        struct registry *r, const char *name, const char *field, struct adapter_version **version, struct problem *p)
{
        switch (registry_resolve(r, name, version, &p->err)) {
        case DYN_OK:
                return DYN_OK;
        case DYN_NOT_FOUND:
                return problem_of(p, field, "adapter_not_found");
        case DYN_CONFLICT:
                return problem_of(p, field, "adapter_version_gone");
        case DYN_BUSY:
                p->about = ABOUT_SERVER;
                return problem_of(p, field, "adapter_loading");
        default:
                return problem_of(p, field, NULL);
        }
}

// "model" is an id of /v1/models: the base's, or an adapter's without a version.
static enum dyn_status by_model(
        struct registry *r, const char *base, const char *model, struct adapter_version **version, struct problem *p)
{
        *version = NULL;
        if (model == NULL || strcmp(model, base) == 0)
                return DYN_OK;
        if (strchr(model, '@') != NULL)
                return problem_set(p, DYN_NOT_FOUND, "model", "adapter_not_found",
                        "no adapter and no base is named \"%.200s\"", model);
        return resolve(r, model, "model", version, p);
}

enum dyn_status served_by(struct registry *r, const char *base, const struct params *params,
        struct adapter_version **version, struct problem *p)
{
        const cJSON *adapter = params->adapter;
        struct adapter_version *named;
        char found[100];
        enum dyn_status st = by_model(r, base, params->model, &named, p);

        *version = named;
        if (st != DYN_OK || adapter == NULL)
                return st;
        *version = NULL;
        if (cJSON_IsNull(adapter))
                return DYN_OK;
        if (cJSON_IsArray(adapter))
                return problem_set(p, DYN_UNSUPPORTED, "adapter", "unsupported_parameter",
                        "\"adapter\": weighted lists of adapters are not supported yet: expected a name or null");
        if (!cJSON_IsString(adapter))
                return problem_set(p, DYN_INVALID, "adapter", NULL,
                        "\"adapter\": expected a name, \"name@version\" or null, found %s",
                        json_describe(adapter, found, sizeof found));
        st = resolve(r, adapter->valuestring, "adapter", version, p);
        if (st == DYN_OK && named != NULL && named->entry != (*version)->entry)
                return problem_set(p, DYN_INVALID, "adapter", "adapter_contradicts_model",
                        "\"model\" names the adapter %s and \"adapter\" names %s: expected one of them",
                        named->entry->name, (*version)->entry->name);
        return st;
}
