#include "api/served.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME 4096 // bytes of any name of an adapter, with its version, or of the base

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

// Weighted lists
// -----------------------------------------------------------------------------------------------------------------

// A list of adapters as it is read.
struct mix {
        struct registry_share shares[BLEND_MOST];
        const char *names[BLEND_MOST];
        int n;
};

// "name" and "weight" of one, and nothing else.
static enum dyn_status read_share(const cJSON *item, const char **name, double *weight, struct dyn_error *err)
{
        char found[100];

        if (!cJSON_IsObject(item))
                return dyn_fail(err, DYN_INVALID, "expected an object with \"name\" and \"weight\", found %s",
                        json_describe(item, found, sizeof found));
        for (const cJSON *v = item->child; v != NULL; v = v->next)
                if (strcmp(v->string, "name") != 0 && strcmp(v->string, "weight") != 0)
                        return dyn_fail(err, DYN_INVALID, "unknown field \"%.100s\"", v->string);
        *name = NULL;
        *weight = 1;
        enum dyn_status st = json_get_string(item, "name", name, err);
        if (st == DYN_OK && *name == NULL)
                st = dyn_fail(err, DYN_INVALID, "\"name\": expected the name of an adapter, found none");
        if (st == DYN_OK)
                st = json_get_number(item, "weight", -BLEND_WEIGHT, BLEND_WEIGHT, weight, err);
        return st;
}

static enum dyn_status fail_at(struct problem *p, int i)
{
        char where[32];

        snprintf(where, sizeof where, "\"adapter\"[%d]", i);
        dyn_fail_in(&p->err, where);
        return problem_of(p, "adapter", NULL);
}

static enum dyn_status read_mix(const cJSON *list, struct mix *mix, struct problem *p)
{
        int n = cJSON_GetArraySize(list);

        if (n < 1 || n > BLEND_MOST)
                return problem_set(p, DYN_INVALID, "adapter", NULL, "\"adapter\": expected 1 to %d adapters, found %d",
                        BLEND_MOST, n);
        for (const cJSON *item = list->child; item != NULL; item = item->next, mix->n++)
                if (read_share(item, &mix->names[mix->n], &mix->shares[mix->n].weight, &p->err) != DYN_OK)
                        return fail_at(p, mix->n);
        return DYN_OK;
}

// Each names a version of its own.
static enum dyn_status resolve_mix(struct registry *r, struct mix *mix, struct problem *p)
{
        for (int i = 0; i < mix->n; i++) {
                enum dyn_status st = resolve(r, mix->names[i], "adapter", &mix->shares[i].version, p);

                if (st != DYN_OK)
                        return st;
                for (int k = 0; k < i; k++)
                        if (mix->shares[k].version->entry == mix->shares[i].version->entry)
                                return problem_set(p, DYN_INVALID, "adapter", NULL,
                                        "\"adapter\"[%d]: expected each adapter once, found %s again", i,
                                        mix->shares[i].version->entry->name);
        }
        return DYN_OK;
}

static enum dyn_status contradict(const struct adapter_version *named, const char *other, struct problem *p)
{
        return problem_set(p, DYN_INVALID, "adapter", "adapter_contradicts_model",
                "\"model\" names the adapter %s and \"adapter\" names %s: expected one of them", named->entry->name,
                other);
}

static enum dyn_status by_list(struct registry *r, const cJSON *list, const struct adapter_version *named, bool make,
        struct adapter_version **version, struct problem *p)
{
        struct mix mix = {0};
        enum dyn_status st = read_mix(list, &mix, p);

        if (st == DYN_OK)
                st = resolve_mix(r, &mix, p);
        if (st != DYN_OK)
                return st;
        bool itself = mix.n == 1 && mix.shares[0].weight == 1;
        if (named != NULL && !(itself && named->entry == mix.shares[0].version->entry))
                return contradict(named, itself ? mix.shares[0].version->entry->name : "several with weights", p);
        if (itself)
                *version = mix.shares[0].version;
        else if (make && registry_blend(r, mix.shares, mix.n, version, &p->err) != DYN_OK)
                return problem_of(p, "adapter", NULL);
        return DYN_OK;
}

// Any of it
// ----------------------------------------------------------------------------------------------------------------

static enum dyn_status check_length(const char *name, const char *field, struct problem *p)
{
        if (name == NULL || strnlen(name, MAX_NAME + 1) <= MAX_NAME)
                return DYN_OK;
        return problem_set(
                p, DYN_NOT_FOUND, field, "adapter_not_found", "no adapter and no base is named \"%.200s...\"", name);
}

enum dyn_status served_read(const struct params *params, struct problem *p)
{
        const cJSON *adapter = params->adapter;
        struct mix mix = {0};
        char found[100];
        enum dyn_status st = check_length(params->model, "model", p);

        if (st != DYN_OK || adapter == NULL || cJSON_IsNull(adapter))
                return st;
        if (cJSON_IsString(adapter))
                return check_length(adapter->valuestring, "adapter", p);
        if (!cJSON_IsArray(adapter))
                return problem_set(p, DYN_INVALID, "adapter", NULL,
                        "\"adapter\": expected a name, \"name@version\", a list of names and weights or null, found %s",
                        json_describe(adapter, found, sizeof found));
        st = read_mix(adapter, &mix, p);
        for (int i = 0; i < mix.n && st == DYN_OK; i++)
                st = check_length(mix.names[i], "adapter", p);
        return st;
}

static enum dyn_status choose(struct registry *r, const char *base, const struct params *params, bool make,
        struct adapter_version **version, struct problem *p)
{
        const cJSON *adapter = params->adapter;
        struct adapter_version *named = NULL;
        enum dyn_status st = served_read(params, p);

        if (st == DYN_OK)
                st = by_model(r, base, params->model, &named, p);
        *version = named;
        if (st != DYN_OK || adapter == NULL)
                return st;
        *version = NULL;
        if (cJSON_IsNull(adapter))
                return DYN_OK;
        if (cJSON_IsArray(adapter))
                return by_list(r, adapter, named, make, version, p);
        st = resolve(r, adapter->valuestring, "adapter", version, p);
        if (st == DYN_OK && named != NULL && named->entry != (*version)->entry)
                return contradict(named, (*version)->entry->name, p);
        return st;
}

enum dyn_status served_by(struct registry *r, const char *base, const struct params *params,
        struct adapter_version **version, struct problem *p)
{
        return choose(r, base, params, true, version, p);
}

enum dyn_status served_check(struct registry *r, const char *base, const struct params *params, struct problem *p)
{
        struct adapter_version *version;

        return choose(r, base, params, false, &version, p);
}
