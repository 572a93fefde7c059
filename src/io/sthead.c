#include "io/sthead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/json.h"

#define MAX_HEADER 100000000 // bytes, the format's own limit
#define MAX_DIM    ((int64_t)1 << 53)

// Element types of the format with their bits; dtype -1: not for computing with.
static const struct {
        const char *name;
        int bits, dtype;
} types[] = {
        {"F32", 32, DYN_F32},
        {"F16", 16, DYN_F16},
        {"BF16", 16, DYN_BF16},
        {"F64", 64, -1},
        {"C64", 64, -1},
        {"I64", 64, -1},
        {"U64", 64, -1},
        {"I32", 32, -1},
        {"U32", 32, -1},
        {"I16", 16, -1},
        {"U16", 16, -1},
        {"I8", 8, -1},
        {"U8", 8, -1},
        {"BOOL", 8, -1},
        {"F8_E4M3", 8, -1},
        {"F8_E5M2", 8, -1},
        {"F8_E8M0", 8, -1},
        {"F6_E2M3", 6, -1},
        {"F6_E3M2", 6, -1},
        {"F4", 4, -1},
};

#define N_TYPES (int)(sizeof types / sizeof types[0])

static int find_type(const char *name)
{
        for (int i = 0; i < N_TYPES; i++)
                if (strcmp(types[i].name, name) == 0)
                        return i;
        return -1;
}

static enum dyn_status read_shape(const cJSON *shape, struct dyn_tensor *t, int64_t *n, struct dyn_error *err)
{
        int dims = 0;

        if (!cJSON_IsArray(shape))
                return dyn_fail(err, DYN_INVALID, "\"shape\": expected an array");
        *n = 1;
        for (int i = 0; i < DYN_MAX_DIMS; i++)
                t->shape[i] = 1;
        for (const cJSON *d = shape->child; d != NULL; d = d->next, dims++) {
                double x = cJSON_IsNumber(d) ? d->valuedouble : -1;
                char what[80];

                if (!(x >= 0 && x <= (double)MAX_DIM) || x != (double)(int64_t)x)
                        return dyn_fail(err, DYN_INVALID, "\"shape\": expected whole numbers, found %s",
                                json_describe(d, what, sizeof what));
                if (__builtin_mul_overflow(*n, (int64_t)x, n))
                        return dyn_fail(err, DYN_INVALID, "\"shape\": more elements than any file holds");
                if (dims < DYN_MAX_DIMS)
                        t->shape[dims] = (int64_t)x;
        }
        t->n_dims = dims <= DYN_MAX_DIMS ? dims : -1;
        return DYN_OK;
}

static enum dyn_status read_offsets(const cJSON *pair, size_t data_bytes, struct st_entry *e, struct dyn_error *err)
{
        size_t at[2];

        if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) != 2)
                return dyn_fail(err, DYN_INVALID, "\"data_offsets\": expected an array of 2");
        for (int i = 0; i < 2; i++) {
                const cJSON *o = i ? pair->child->next : pair->child;
                double x = cJSON_IsNumber(o) ? o->valuedouble : -1;
                char what[80];

                if (!(x >= 0 && x <= (double)data_bytes) || x != (double)(size_t)x)
                        return dyn_fail(err, DYN_INVALID,
                                "\"data_offsets\": expected whole numbers up to %zu, the bytes of data in the file, "
                                "found %s",
                                data_bytes, json_describe(o, what, sizeof what));
                at[i] = (size_t)x;
        }
        if (at[0] > at[1])
                return dyn_fail(err, DYN_INVALID,
                        "\"data_offsets\": expected the end after the start, found %zu to %zu", at[0], at[1]);
        e->begin = at[0];
        e->end = at[1];
        return DYN_OK;
}

static enum dyn_status read_tensor(
        const cJSON *member, const char *data, size_t data_bytes, struct st_entry *e, struct dyn_error *err)
{
        const cJSON *dtype = json_member(member, "dtype");
        int64_t n = 0, bits;
        char what[80];

        if (!cJSON_IsObject(member))
                return dyn_fail(
                        err, DYN_INVALID, "expected an object, found %s", json_describe(member, what, sizeof what));
        for (const cJSON *m = member->child; m != NULL; m = m->next)
                if (strcmp(m->string, "dtype") != 0 && strcmp(m->string, "shape") != 0 &&
                        strcmp(m->string, "data_offsets") != 0)
                        return dyn_fail(err, DYN_INVALID, "\"%.100s\": unknown field", m->string);
        int type = cJSON_IsString(dtype) ? find_type(dtype->valuestring) : -1;
        if (type < 0)
                return dyn_fail(err, DYN_INVALID, "\"dtype\": expected an element type such as \"BF16\", found %s",
                        json_describe(dtype, what, sizeof what));
        enum dyn_status st = read_shape(json_member(member, "shape"), &e->tensor, &n, err);
        if (st == DYN_OK)
                st = read_offsets(json_member(member, "data_offsets"), data_bytes, e, err);
        if (st != DYN_OK)
                return st;
        if (__builtin_mul_overflow(n, types[type].bits, &bits) || bits % 8 != 0 ||
                (size_t)(bits / 8) != e->end - e->begin)
                return dyn_fail(err, DYN_INVALID,
                        "\"data_offsets\": expected the bytes of %lld elements of %s, found %zu", (long long)n,
                        types[type].name, e->end - e->begin);
        e->tensor.bytes = e->end - e->begin;
        if (types[type].dtype < 0)
                e->tensor.n_dims = -1;
        else
                e->tensor.dtype = (enum dyn_dtype)types[type].dtype;
        if (e->tensor.n_dims >= 0)
                e->tensor.data = data + e->begin;
        return DYN_OK;
}

static enum dyn_status check_metadata(const cJSON *metadata, struct dyn_error *err)
{
        char what[80];

        if (!cJSON_IsObject(metadata))
                return dyn_fail(err, DYN_INVALID, "\"__metadata__\": expected an object, found %s",
                        json_describe(metadata, what, sizeof what));
        for (const cJSON *m = metadata->child; m != NULL; m = m->next)
                if (!cJSON_IsString(m))
                        return dyn_fail(err, DYN_INVALID, "\"__metadata__\": \"%.100s\": expected a string, found %s",
                                m->string, json_describe(m, what, sizeof what));
        return DYN_OK;
}

static int by_begin(const void *a, const void *b)
{
        const struct st_entry *x = a, *y = b;

        if (x->begin != y->begin)
                return x->begin < y->begin ? -1 : 1;
        return x->end < y->end ? -1 : x->end > y->end;
}

// The tensors must tile the data: each begins where the one before it ends, the last ends with the file.
static enum dyn_status check_tiling(const struct st_entry *entries, int n, size_t data_bytes, struct dyn_error *err)
{
        size_t at = 0;

        for (int i = 0; i < n; at = entries[i++].end)
                if (entries[i].begin != at)
                        return dyn_fail(err, DYN_INVALID,
                                "%.200s: expected its data to begin at %zu, where the tensor before it ends, found %zu",
                                entries[i].name, at, entries[i].begin);
        if (at != data_bytes)
                return dyn_fail(
                        err, DYN_INVALID, "expected %zu bytes of data, as its header says, found %zu", at, data_bytes);
        return DYN_OK;
}

static enum dyn_status read_members(const cJSON *header, const char *data, size_t data_bytes, struct st_entry **entries,
        int *n, struct dyn_error *err)
{
        enum dyn_status st = DYN_OK;

        *n = 0;
        *entries = mem_array((size_t)cJSON_GetArraySize(header), sizeof **entries);
        for (const cJSON *m = header->child; m != NULL && st == DYN_OK; m = m->next) {
                if (strcmp(m->string, "__metadata__") == 0) {
                        st = check_metadata(m, err);
                        continue;
                }
                struct st_entry *e = &(*entries)[(*n)++];
                e->name = mem_strdup(m->string);
                st = read_tensor(m, data, data_bytes, e, err);
                if (st != DYN_OK) {
                        char name[204];

                        snprintf(name, sizeof name, "%.200s", m->string);
                        dyn_fail_in(err, name);
                }
        }
        if (st == DYN_OK) {
                qsort(*entries, (size_t)*n, sizeof **entries, by_begin);
                st = check_tiling(*entries, *n, data_bytes, err);
        }
        return st;
}

enum dyn_status sthead_read(const void *file, size_t size, struct st_entry **entries, int *n, struct dyn_error *err)
{
        const unsigned char *p = file;
        uint64_t len = 0;
        cJSON *header;

        *entries = NULL;
        *n = 0;
        if (size < 8)
                return dyn_fail(err, DYN_INVALID, "expected a safetensors file, found %zu bytes", size);
        for (int i = 7; i >= 0; i--)
                len = len << 8 | p[i];
        if (len > MAX_HEADER || len > size - 8)
                return dyn_fail(err, DYN_INVALID, "expected a header of at most %zu bytes, found a length of %llu",
                        size - 8 < MAX_HEADER ? size - 8 : (size_t)MAX_HEADER, (unsigned long long)len);
        enum dyn_status st = json_parse((const char *)file + 8, len, &header, err);
        if (st != DYN_OK) {
                dyn_fail_in(err, "header");
                return st;
        }
        if (cJSON_IsObject(header))
                st = read_members(header, (const char *)file + 8 + len, size - 8 - len, entries, n, err);
        else
                st = dyn_fail(err, DYN_INVALID, "header: expected an object");
        cJSON_Delete(header);
        if (st != DYN_OK) {
                sthead_free(*entries, *n);
                *entries = NULL;
                *n = 0;
        }
        return st;
}

void sthead_free(struct st_entry *entries, int n)
{
        for (int i = 0; i < n; i++)
                mem_free(entries[i].name);
        mem_free(entries);
}
