#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/utf8.h"
#include "io/jsontext.h"
#include "io/mapfile.h"

#define MAX_DEPTH   64
#define FEW_MEMBERS 12               // up to here comparing all pairs is cheaper than hashing
#define EXACT_INT   9007199254740992 // 2^53: every integer up to here is a double

static enum dyn_status fail_twice(const char *key, struct dyn_error *err)
{
        return dyn_fail(err, DYN_INVALID, "the key \"%.100s\" stands twice in one object", key);
}

static enum dyn_status check_few(const cJSON *object, struct dyn_error *err)
{
        for (const cJSON *a = object->child; a != NULL; a = a->next)
                for (const cJSON *b = a->next; b != NULL; b = b->next)
                        if (strcmp(a->string, b->string) == 0)
                                return fail_twice(a->string, err);
        return DYN_OK;
}

static enum dyn_status check_many(const cJSON *object, struct dyn_error *err)
{
        struct map seen = {0};
        enum dyn_status st = DYN_OK;
        uint64_t one;

        for (const cJSON *c = object->child; c != NULL && st == DYN_OK; c = c->next) {
                size_t len = strlen(c->string);

                if (map_get(&seen, c->string, len, &one))
                        st = fail_twice(c->string, err);
                map_put(&seen, c->string, len, 1);
        }
        map_free(&seen);
        return st;
}

// What can be seen only once strings and numbers are decoded: keys that stand twice, numbers that no double holds.
static enum dyn_status check_tree(const cJSON *node, struct dyn_error *err)
{
        enum dyn_status st = DYN_OK;
        int n = 0;

        for (const cJSON *c = node->child; c != NULL && st == DYN_OK; c = c->next, n++)
                st = cJSON_IsNumber(c) && !isfinite(c->valuedouble)
                             ? dyn_fail(err, DYN_INVALID, "a number is too large: expected at most about 1.8e308")
                             : check_tree(c, err);
        if (st == DYN_OK && cJSON_IsObject(node))
                st = n <= FEW_MEMBERS ? check_few(node, err) : check_many(node, err);
        return st;
}

enum dyn_status json_parse(const char *text, size_t len, cJSON **out, struct dyn_error *err)
{
        enum dyn_status st = jsontext_check(text, len, MAX_DEPTH, err);

        *out = NULL;
        if (st != DYN_OK)
                return st;
        cJSON *tree = cJSON_ParseWithLength(text, len);
        if (tree == NULL)
                return dyn_fail(err, DYN_INVALID, "not JSON");
        if (cJSON_IsNumber(tree) && !isfinite(tree->valuedouble))
                st = dyn_fail(err, DYN_INVALID, "a number is too large: expected at most about 1.8e308");
        else
                st = check_tree(tree, err);
        if (st != DYN_OK) {
                cJSON_Delete(tree);
                return st;
        }
        *out = tree;
        return DYN_OK;
}

enum dyn_status json_parse_file(const char *path, size_t max_bytes, cJSON **out, struct dyn_error *err)
{
        struct dyn_error local;
        char *text;
        size_t len;

        *out = NULL;
        if (err == NULL)
                err = &local;
        enum dyn_status st = mapfile_read_text(path, max_bytes, &text, &len, err);
        if (st != DYN_OK)
                return st;
        st = json_parse(text, len, out, err);
        mem_free(text);
        return st == DYN_OK ? DYN_OK : dyn_fail_in(err, path);
}

const cJSON *json_member(const cJSON *object, const char *name)
{
        return cJSON_GetObjectItemCaseSensitive(object, name);
}

// The member unless it is absent or null.
static const cJSON *given(const cJSON *object, const char *name)
{
        const cJSON *v = json_member(object, name);

        return v == NULL || cJSON_IsNull(v) ? NULL : v;
}

static enum dyn_status fail_type(const char *name, const cJSON *v, const char *expected, struct dyn_error *err)
{
        char what[100];

        return dyn_fail(
                err, DYN_INVALID, "\"%s\": expected %s, found %s", name, expected, json_describe(v, what, sizeof what));
}

enum dyn_status json_get_int(
        const cJSON *object, const char *name, int64_t min, int64_t max, int64_t *out, struct dyn_error *err)
{
        const cJSON *v = given(object, name);
        char expected[100] = "a whole number";

        if (v == NULL)
                return DYN_OK;
        min = min < -EXACT_INT ? -EXACT_INT : min;
        max = max > EXACT_INT ? EXACT_INT : max;
        if (cJSON_IsNumber(v) && v->valuedouble == floor(v->valuedouble) && v->valuedouble >= (double)min &&
                v->valuedouble <= (double)max) {
                *out = (int64_t)v->valuedouble;
                return DYN_OK;
        }
        if (max < EXACT_INT)
                snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)min, (long long)max);
        else if (min > -EXACT_INT)
                snprintf(expected, sizeof expected, "a whole number of at least %lld", (long long)min);
        return fail_type(name, v, expected, err);
}

enum dyn_status json_get_number(
        const cJSON *object, const char *name, double min, double max, double *out, struct dyn_error *err)
{
        const cJSON *v = given(object, name);
        char expected[100] = "a number";

        if (v == NULL)
                return DYN_OK;
        if (cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max) {
                *out = v->valuedouble;
                return DYN_OK;
        }
        if (isfinite(min) && isfinite(max))
                snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
        else if (isfinite(min))
                snprintf(expected, sizeof expected, "a number of at least %g", min);
        return fail_type(name, v, expected, err);
}

enum dyn_status json_get_bool(const cJSON *object, const char *name, bool *out, struct dyn_error *err)
{
        const cJSON *v = given(object, name);

        if (v != NULL && !cJSON_IsBool(v))
                return fail_type(name, v, "true or false", err);
        if (v != NULL)
                *out = cJSON_IsTrue(v);
        return DYN_OK;
}

enum dyn_status json_get_string(const cJSON *object, const char *name, const char **out, struct dyn_error *err)
{
        const cJSON *v = given(object, name);

        if (v != NULL && !cJSON_IsString(v))
                return fail_type(name, v, "a string", err);
        if (v != NULL)
                *out = v->valuestring;
        return DYN_OK;
}

// A string in quotes, cut at a character's end if it is long.
static void describe_string(const char *s, char *buf, size_t cap)
{
        size_t len = strlen(s), room = cap > 8 ? cap - 6 : 0, n = 0;

        if (room > 60)
                room = 60;
        while (n < len) {
                uint32_t code;
                int step = utf8_next(s + n, s + len, &code);

                step = step > 0 ? step : 1;
                if (n + (size_t)step > room)
                        break;
                n += (size_t)step;
        }
        snprintf(buf, cap, n == len ? "\"%.*s\"" : "\"%.*s...\"", (int)n, s);
}

const char *json_describe(const cJSON *v, char *buf, size_t cap)
{
        if (v == NULL)
                snprintf(buf, cap, "nothing");
        else if (cJSON_IsString(v))
                describe_string(v->valuestring, buf, cap);
        else if (cJSON_IsNumber(v))
                snprintf(buf, cap, fabs(v->valuedouble) < EXACT_INT ? "%.15g" : "%.17g", v->valuedouble);
        else if (cJSON_IsArray(v))
                snprintf(buf, cap, "an array of %d", cJSON_GetArraySize(v));
        else if (cJSON_IsObject(v))
                snprintf(buf, cap, "an object");
        else
                snprintf(buf, cap, cJSON_IsNull(v) ? "null" : cJSON_IsTrue(v) ? "true" : "false");
        return buf;
}
