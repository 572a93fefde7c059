#include "io/gguf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "io/gguf_meta.h"
#include "io/gguf_tensors.h"
#include "io/mapfile.h"

struct gguf {
        struct mapfile file;
        struct gguf_meta meta;
        struct gguf_tensors tensors;
};

// c has the 24 bytes of a header at least.
static enum dyn_status read_header(struct gguf_cursor *c, uint64_t *n_tensors, uint64_t *n_keys, struct dyn_error *err)
{
        uint32_t version = 0;

        if (memcmp(c->at, "GGUF", 4) != 0)
                return dyn_fail(err, DYN_INVALID, "expected a GGUF file, found other first bytes");
        c->at += 4;
        gguf_read_u32(c, &version);
        if (version != 2 && version != 3)
                return dyn_fail(err, DYN_UNSUPPORTED, "expected GGUF version 2 or 3, found %s%u",
                        version > 0xffffff ? "a big-endian file, version " : "",
                        version > 0xffffff ? __builtin_bswap32(version) : version);
        gguf_read_u64(c, n_tensors);
        gguf_read_u64(c, n_keys);
        return DYN_OK;
}

static enum dyn_status read_alignment(const struct gguf *g, uint64_t *out, struct dyn_error *err)
{
        const struct gguf_value *v = gguf_meta_find(&g->meta, "general.alignment");
        int64_t align = 32;

        if (v != NULL && (v->type != GGUF_U32 || !gguf_value_int(v, 0, &align) || align < 8 || (align & (align - 1))))
                return dyn_fail(
                        err, DYN_INVALID, "\"general.alignment\": expected a power of two of at least 8 as u32");
        *out = (uint64_t)align;
        return DYN_OK;
}

static enum dyn_status check_split(const struct gguf *g, struct dyn_error *err)
{
        int64_t count = 1;
        enum dyn_status st = gguf_get_int(g, "split.count", 0, 65535, &count, err);

        if (st == DYN_OK && count > 1)
                return dyn_fail(err, DYN_UNSUPPORTED, "one of %lld parts of a split file, which is not supported",
                        (long long)count);
        return st;
}

static enum dyn_status read_file(struct gguf *g, struct dyn_error *err)
{
        uint64_t n_tensors = 0, n_keys = 0, align = 32;

        if (g->file.size < 24)
                return dyn_fail(err, DYN_INVALID, "expected a GGUF file, found %zu bytes", g->file.size);
        struct gguf_cursor c = {g->file.data, g->file.data, (const unsigned char *)g->file.data + g->file.size};
        enum dyn_status st = read_header(&c, &n_tensors, &n_keys, err);

        if (st == DYN_OK)
                st = gguf_meta_read(&g->meta, &c, n_keys, err);
        if (st == DYN_OK)
                st = read_alignment(g, &align, err);
        if (st == DYN_OK)
                st = check_split(g, err);
        if (st == DYN_OK)
                st = gguf_tensors_read(&g->tensors, &c, n_tensors, err);
        if (st == DYN_OK)
                st = gguf_tensors_place(&g->tensors, &c, align, err);
        return st;
}

enum dyn_status gguf_open(struct gguf **out, const char *path, struct dyn_error *err)
{
        struct gguf *g = mem_zalloc(sizeof *g);
        struct dyn_error local;

        *out = NULL;
        if (err == NULL)
                err = &local;
        enum dyn_status st = mapfile_open(&g->file, path, err);
        if (st == DYN_OK) {
                st = read_file(g, err);
                if (st != DYN_OK)
                        dyn_fail_in(err, path);
        }
        if (st != DYN_OK) {
                gguf_close(g);
                return st;
        }
        *out = g;
        return DYN_OK;
}

void gguf_close(struct gguf *g)
{
        if (g == NULL)
                return;
        gguf_tensors_free(&g->tensors);
        gguf_meta_free(&g->meta);
        mapfile_close(&g->file);
        mem_free(g);
}

int gguf_tensor_count(const struct gguf *g)
{
        return g->tensors.n;
}

const char *gguf_tensor_name(const struct gguf *g, int i)
{
        return g->tensors.entries[i].name;
}

const struct dyn_tensor *gguf_tensor_at(const struct gguf *g, int i)
{
        return &g->tensors.entries[i].tensor;
}

const struct dyn_tensor *gguf_tensor_find(const struct gguf *g, const char *name)
{
        return gguf_tensors_find(&g->tensors, name);
}

// Metadata
// ---------------------------------------------------------------------------------------------------------------

bool gguf_has(const struct gguf *g, const char *key)
{
        return gguf_meta_find(&g->meta, key) != NULL;
}

static enum dyn_status fail_type(
        const char *key, const struct gguf_value *v, const char *expected, struct dyn_error *err)
{
        char found[40];

        snprintf(found, sizeof found, v->type == GGUF_ARRAY ? "an array of %s" : "%s", gguf_type_name(v->item));
        return dyn_fail(err, DYN_INVALID, "\"%s\": expected %s, found %s", key, expected, found);
}

enum dyn_status gguf_get_int(
        const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out, struct dyn_error *err)
{
        const struct gguf_value *v = gguf_meta_find(&g->meta, key);
        int64_t x;

        if (v == NULL)
                return DYN_OK;
        if (!gguf_type_is_int(v->type))
                return fail_type(key, v, "a whole number", err);
        if (!gguf_value_int(v, 0, &x) || x < min || x > max)
                return dyn_fail(err, DYN_INVALID, "\"%s\": expected a whole number from %lld to %lld, found %.20g", key,
                        (long long)min, (long long)max, gguf_value_number(v, 0));
        *out = x;
        return DYN_OK;
}

enum dyn_status gguf_get_number(const struct gguf *g, const char *key, double *out, struct dyn_error *err)
{
        const struct gguf_value *v = gguf_meta_find(&g->meta, key);

        if (v != NULL && !gguf_type_is_number(v->type))
                return fail_type(key, v, "a number", err);
        if (v != NULL)
                *out = gguf_value_number(v, 0);
        return DYN_OK;
}

enum dyn_status gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct dyn_error *err)
{
        const struct gguf_value *v = gguf_meta_find(&g->meta, key);

        if (v != NULL && v->type != GGUF_BOOL)
                return fail_type(key, v, "a bool", err);
        if (v != NULL)
                *out = *v->data != 0;
        return DYN_OK;
}

enum dyn_status gguf_get_string(
        const struct gguf *g, const char *key, const char **out, size_t *len, struct dyn_error *err)
{
        const struct gguf_value *v = gguf_meta_find(&g->meta, key);

        if (v != NULL && v->type != GGUF_STRING)
                return fail_type(key, v, "a string", err);
        if (v != NULL) {
                *out = (const char *)v->data;
                *len = v->n;
        }
        return DYN_OK;
}

static bool has_items(const struct gguf_value *v, enum gguf_array_type type)
{
        if (v->type != GGUF_ARRAY)
                return false;
        return type == GGUF_STRINGS ? v->item == GGUF_STRING
               : type == GGUF_INTS  ? gguf_type_is_int(v->item)
                                    : gguf_type_is_number(v->item);
}

enum dyn_status gguf_get_array(
        const struct gguf *g, const char *key, enum gguf_array_type type, int64_t *n, struct dyn_error *err)
{
        static const char *const expected[] = {"an array of strings", "an array of integers", "an array of numbers"};
        const struct gguf_value *v = gguf_meta_find(&g->meta, key);

        *n = -1;
        if (v == NULL)
                return DYN_OK;
        if (!has_items(v, type))
                return fail_type(key, v, expected[type], err);
        *n = (int64_t)v->n;
        return DYN_OK;
}

static const struct gguf_value *array_at(const struct gguf *g, const char *key, enum gguf_array_type type, int64_t i)
{
        const struct gguf_value *v = gguf_meta_find(&g->meta, key);

        assert(v != NULL && has_items(v, type) && i >= 0 && (uint64_t)i < v->n);
        return v;
}

const char *gguf_array_string(const struct gguf *g, const char *key, int64_t i, size_t *len)
{
        return gguf_value_string(array_at(g, key, GGUF_STRINGS, i), (uint64_t)i, len);
}

int64_t gguf_array_int(const struct gguf *g, const char *key, int64_t i)
{
        int64_t x;

        return gguf_value_int(array_at(g, key, GGUF_INTS, i), (uint64_t)i, &x) ? x : INT64_MAX;
}

double gguf_array_number(const struct gguf *g, const char *key, int64_t i)
{
        return gguf_value_number(array_at(g, key, GGUF_NUMBERS, i), (uint64_t)i);
}
