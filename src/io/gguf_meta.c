#include "io/gguf_meta.h"

#include <string.h>

#include "base/alloc.h"

#define MAX_KEY 65535 // bytes, the format's own limit

static const struct {
        const char *name;
        int bytes; // 0: of varying length
} types[GGUF_N_TYPES] = {
        [GGUF_U8] = {"u8", 1},
        [GGUF_I8] = {"i8", 1},
        [GGUF_U16] = {"u16", 2},
        [GGUF_I16] = {"i16", 2},
        [GGUF_U32] = {"u32", 4},
        [GGUF_I32] = {"i32", 4},
        [GGUF_F32] = {"f32", 4},
        [GGUF_BOOL] = {"bool", 1},
        [GGUF_STRING] = {"string", 0},
        [GGUF_ARRAY] = {"array", 0},
        [GGUF_U64] = {"u64", 8},
        [GGUF_I64] = {"i64", 8},
        [GGUF_F64] = {"f64", 8},
};

static size_t left(const struct gguf_cursor *c)
{
        return (size_t)(c->end - c->at);
}

static uint64_t little(const unsigned char *p, int bytes)
{
        uint64_t x = 0;

        for (int i = bytes - 1; i >= 0; i--)
                x = x << 8 | p[i];
        return x;
}

bool gguf_read_u32(struct gguf_cursor *c, uint32_t *out)
{
        if (left(c) < 4)
                return false;
        *out = (uint32_t)little(c->at, 4);
        c->at += 4;
        return true;
}

bool gguf_read_u64(struct gguf_cursor *c, uint64_t *out)
{
        if (left(c) < 8)
                return false;
        *out = little(c->at, 8);
        c->at += 8;
        return true;
}

bool gguf_read_string(struct gguf_cursor *c, const char **out, size_t *len)
{
        uint64_t n;

        if (left(c) < 8 || (n = little(c->at, 8)) > left(c) - 8)
                return false;
        *out = (const char *)c->at + 8;
        *len = n;
        c->at += 8 + n;
        return true;
}

static enum dyn_status fail_short(const struct gguf_cursor *c, const char *what, struct dyn_error *err)
{
        return dyn_fail(err, DYN_INVALID, "expected %s at byte %zu, found the end of the file after %zu more", what,
                (size_t)(c->at - c->start), left(c));
}

static enum dyn_status read_strings(struct gguf_cursor *c, struct gguf_value *v, struct dyn_error *err)
{
        const char *s;
        size_t len;

        if (v->n > left(c) / 8)
                return fail_short(c, "an array of strings", err);
        v->offsets = mem_array(v->n, sizeof *v->offsets);
        v->data = c->at;
        for (uint64_t i = 0; i < v->n; i++) {
                v->offsets[i] = (uint64_t)(c->at - v->data);
                if (!gguf_read_string(c, &s, &len))
                        return fail_short(c, "a string of an array", err);
        }
        return DYN_OK;
}

// n bytes that are 0 or 1.
static enum dyn_status check_bools(const unsigned char *p, uint64_t n, struct dyn_error *err)
{
        for (uint64_t i = 0; i < n; i++)
                if (p[i] > 1)
                        return dyn_fail(err, DYN_INVALID, "expected a bool of 0 or 1, found %d", p[i]);
        return DYN_OK;
}

static enum dyn_status read_scalars(
        struct gguf_cursor *c, struct gguf_value *v, enum gguf_type type, uint64_t n, struct dyn_error *err)
{
        size_t bytes = (size_t)types[type].bytes;

        if (n > left(c) / bytes)
                return fail_short(c, types[type].name, err);
        v->data = c->at;
        c->at += n * bytes;
        return type == GGUF_BOOL ? check_bools(v->data, n, err) : DYN_OK;
}

static enum dyn_status read_type(struct gguf_cursor *c, enum gguf_type *out, struct dyn_error *err)
{
        uint32_t type;

        if (!gguf_read_u32(c, &type))
                return fail_short(c, "a value type", err);
        if (type >= GGUF_N_TYPES)
                return dyn_fail(err, DYN_INVALID, "expected a value type of 0 to %d, found %u", GGUF_N_TYPES - 1, type);
        *out = (enum gguf_type)type;
        return DYN_OK;
}

static enum dyn_status read_array(struct gguf_cursor *c, struct gguf_value *v, struct dyn_error *err)
{
        enum dyn_status st = read_type(c, &v->item, err);

        if (st != DYN_OK)
                return st;
        if (!gguf_read_u64(c, &v->n))
                return fail_short(c, "an array's length", err);
        if (v->item == GGUF_ARRAY)
                return dyn_fail(err, DYN_UNSUPPORTED, "an array of arrays, which is not supported");
        return v->item == GGUF_STRING ? read_strings(c, v, err) : read_scalars(c, v, v->item, v->n, err);
}

static enum dyn_status read_value(struct gguf_cursor *c, struct gguf_value *v, struct dyn_error *err)
{
        enum dyn_status st = read_type(c, &v->type, err);

        if (st != DYN_OK)
                return st;
        v->item = v->type;
        if (v->type == GGUF_ARRAY)
                return read_array(c, v, err);
        if (v->type != GGUF_STRING)
                return read_scalars(c, v, v->type, 1, err);

        const char *s;
        size_t len;
        if (!gguf_read_string(c, &s, &len))
                return fail_short(c, "a string", err);
        v->data = (const unsigned char *)s;
        v->n = len;
        return DYN_OK;
}

static enum dyn_status read_pair(struct gguf_meta *m, struct gguf_cursor *c, struct dyn_error *err)
{
        const char *key;
        size_t len;
        uint64_t other;

        if (!gguf_read_string(c, &key, &len))
                return fail_short(c, "a metadata key", err);
        if (len == 0 || len > MAX_KEY || memchr(key, 0, len) != NULL)
                return dyn_fail(err, DYN_INVALID,
                        "expected a metadata key of 1 to %d bytes without NUL, found one of %zu bytes", MAX_KEY, len);
        if (map_get(&m->by_key, key, len, &other))
                return dyn_fail(
                        err, DYN_INVALID, "the metadata key %.*s stands twice", (int)(len > 200 ? 200 : len), key);
        map_put(&m->by_key, key, len, m->n);
        enum dyn_status st = read_value(c, &m->values[m->n++], err);
        if (st != DYN_OK) {
                char *name = mem_strndup(key, len > 200 ? 200 : len);

                dyn_fail_in(err, name);
                mem_free(name);
        }
        return st;
}

enum dyn_status gguf_meta_read(struct gguf_meta *m, struct gguf_cursor *c, uint64_t n, struct dyn_error *err)
{
        enum dyn_status st = DYN_OK;

        *m = (struct gguf_meta){0};
        if (n > left(c) / 14) // the least that a pair takes: a key of one byte, a type and a byte
                return dyn_fail(err, DYN_INVALID,
                        "expected at most %zu metadata keys in what is left of the file, "
                        "found a count of %llu",
                        left(c) / 14, (unsigned long long)n);
        m->values = mem_array(n, sizeof *m->values);
        while (m->n < n && st == DYN_OK)
                st = read_pair(m, c, err);
        return st;
}

void gguf_meta_free(struct gguf_meta *m)
{
        for (size_t i = 0; i < m->n; i++)
                mem_free(m->values[i].offsets);
        mem_free(m->values);
        map_free(&m->by_key);
        *m = (struct gguf_meta){0};
}

const struct gguf_value *gguf_meta_find(const struct gguf_meta *m, const char *key)
{
        uint64_t i;

        return map_get(&m->by_key, key, strlen(key), &i) ? &m->values[i] : NULL;
}

const char *gguf_type_name(enum gguf_type type)
{
        return types[type].name;
}

bool gguf_type_is_int(enum gguf_type type)
{
        return types[type].bytes != 0 && type != GGUF_F32 && type != GGUF_F64 && type != GGUF_BOOL;
}

bool gguf_type_is_number(enum gguf_type type)
{
        return types[type].bytes != 0 && type != GGUF_BOOL;
}

bool gguf_value_int(const struct gguf_value *v, uint64_t i, int64_t *out)
{
        int bytes = types[v->item].bytes;
        uint64_t x = little(v->data + i * (uint64_t)bytes, bytes);

        switch (v->item) {
        case GGUF_I8:
                *out = (int8_t)x;
                return true;
        case GGUF_I16:
                *out = (int16_t)x;
                return true;
        case GGUF_I32:
                *out = (int32_t)x;
                return true;
        default:
                *out = (int64_t)x;
                return v->item != GGUF_U64 || *out >= 0;
        }
}

double gguf_value_number(const struct gguf_value *v, uint64_t i)
{
        int64_t x = 0;
        double wide;
        float narrow;

        if (v->item == GGUF_F64) {
                memcpy(&wide, v->data + i * sizeof wide, sizeof wide);
                return wide;
        }
        if (v->item == GGUF_F32) {
                memcpy(&narrow, v->data + i * sizeof narrow, sizeof narrow);
                return (double)narrow;
        }
        return gguf_value_int(v, i, &x) ? (double)x : (double)(uint64_t)x;
}

const char *gguf_value_string(const struct gguf_value *v, uint64_t i, size_t *len)
{
        const unsigned char *p = v->data + v->offsets[i];

        *len = little(p, 8);
        return (const char *)p + 8;
}
