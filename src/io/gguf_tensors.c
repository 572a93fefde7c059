#include "io/gguf_tensors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define MAX_NAME 64 // bytes of a tensor's name, the format's own limit

// Tensor types by the format's numbers: elements and bytes of one block; dtype -1: not for computing with.
static const struct {
        int dtype, block, bytes;
} types[] = {
        [0] = {DYN_F32, 1, 4},
        [1] = {DYN_F16, 1, 2},
        [2] = {DYN_Q4_0, 32, 18},
        [3] = {DYN_Q4_1, 32, 20},
        [6] = {DYN_Q5_0, 32, 22},
        [7] = {DYN_Q5_1, 32, 24},
        [8] = {DYN_Q8_0, 32, 34},
        [9] = {-1, 32, 36},    // Q8_1
        [10] = {-1, 256, 84},  // Q2_K
        [11] = {-1, 256, 110}, // Q3_K
        [12] = {DYN_Q4_K, 256, 144},
        [13] = {DYN_Q5_K, 256, 176},
        [14] = {DYN_Q6_K, 256, 210},
        [15] = {-1, 256, 292}, // Q8_K
        [16] = {-1, 256, 66},  // IQ2_XXS
        [17] = {-1, 256, 74},  // IQ2_XS
        [18] = {-1, 256, 98},  // IQ3_XXS
        [19] = {-1, 256, 50},  // IQ1_S
        [20] = {-1, 32, 18},   // IQ4_NL
        [21] = {-1, 256, 110}, // IQ3_S
        [22] = {-1, 256, 82},  // IQ2_S
        [23] = {-1, 256, 136}, // IQ4_XS
        [24] = {-1, 1, 1},     // I8
        [25] = {-1, 1, 2},     // I16
        [26] = {-1, 1, 4},     // I32
        [27] = {-1, 1, 8},     // I64
        [28] = {-1, 1, 8},     // F64
        [29] = {-1, 256, 56},  // IQ1_M
        [30] = {DYN_BF16, 1, 2},
        [34] = {-1, 256, 54}, // TQ1_0
        [35] = {-1, 256, 66}, // TQ2_0
        [39] = {-1, 32, 17},  // MXFP4
};

#define N_TYPES (sizeof types / sizeof types[0])

static enum dyn_status read_shape(struct gguf_cursor *c, struct gguf_entry *e, struct dyn_error *err)
{
        struct dyn_tensor *t = &e->tensor;
        uint64_t dims[DYN_MAX_DIMS];
        int64_t n = 1;
        uint32_t n_dims;

        if (!gguf_read_u32(c, &n_dims))
                return dyn_fail(err, DYN_INVALID, "expected a shape, found the end of the file");
        if (n_dims < 1 || n_dims > DYN_MAX_DIMS)
                return dyn_fail(err, DYN_INVALID, "expected 1 to %d dimensions, found %u", DYN_MAX_DIMS, n_dims);
        for (uint32_t i = 0; i < n_dims; i++) {
                if (!gguf_read_u64(c, &dims[i]))
                        return dyn_fail(err, DYN_INVALID, "expected a shape, found the end of the file");
                if (dims[i] == 0 || dims[i] > INT64_MAX || __builtin_mul_overflow(n, (int64_t)dims[i], &n))
                        return dyn_fail(err, DYN_INVALID, "expected a shape that a file can hold, found a size of %llu",
                                (unsigned long long)dims[i]);
        }
        t->n_dims = (int)n_dims;
        for (uint32_t i = 0; i < DYN_MAX_DIMS; i++)
                t->shape[i] = i < n_dims ? (int64_t)dims[n_dims - 1 - i] : 1;
        e->bytes = (uint64_t)n; // elements, until the type is known
        return DYN_OK;
}

static enum dyn_status read_type(struct gguf_cursor *c, struct gguf_entry *e, struct dyn_error *err)
{
        struct dyn_tensor *t = &e->tensor;
        int64_t row = t->shape[t->n_dims - 1];
        uint32_t type;

        if (!gguf_read_u32(c, &type) || !gguf_read_u64(c, &e->offset))
                return dyn_fail(err, DYN_INVALID, "expected a type and an offset, found the end of the file");
        if (type >= N_TYPES || types[type].block == 0)
                return dyn_fail(err, DYN_UNSUPPORTED, "unknown tensor type %u", type);
        if (row % types[type].block != 0)
                return dyn_fail(err, DYN_INVALID, "expected rows of a multiple of %d elements, found %lld",
                        types[type].block, (long long)row);
        if (__builtin_mul_overflow(e->bytes / (uint64_t)types[type].block, (uint64_t)types[type].bytes, &e->bytes))
                return dyn_fail(err, DYN_INVALID, "expected a tensor that a file can hold");
        t->bytes = e->bytes;
        if (types[type].dtype >= 0)
                t->dtype = (enum dyn_dtype)types[type].dtype;
        else
                t->n_dims = -1;
        return DYN_OK;
}

static enum dyn_status read_tensor(struct gguf_tensors *t, struct gguf_cursor *c, struct dyn_error *err)
{
        struct gguf_entry *e = &t->entries[t->n];
        const char *name;
        size_t len;

        if (!gguf_read_string(c, &name, &len))
                return dyn_fail(err, DYN_INVALID, "expected a tensor's name, found the end of the file");
        if (len == 0 || len > MAX_NAME || memchr(name, 0, len) != NULL)
                return dyn_fail(err, DYN_INVALID,
                        "expected a tensor's name of 1 to %d bytes without NUL, found one of %zu bytes", MAX_NAME, len);
        e->name = mem_strndup(name, len);
        t->n++;
        if (gguf_tensors_find(t, e->name) != NULL)
                return dyn_fail(err, DYN_INVALID, "the tensor name %s stands twice", e->name);
        map_put(&t->by_name, name, len, (uint64_t)t->n - 1);
        enum dyn_status st = read_shape(c, e, err);
        if (st == DYN_OK)
                st = read_type(c, e, err);
        return st == DYN_OK ? DYN_OK : dyn_fail_in(err, e->name);
}

enum dyn_status gguf_tensors_read(struct gguf_tensors *t, struct gguf_cursor *c, uint64_t n, struct dyn_error *err)
{
        uint64_t most = (uint64_t)(c->end - c->at) / 33; // a name of one byte, one dimension, a type and an offset
        enum dyn_status st = DYN_OK;

        *t = (struct gguf_tensors){0};
        if (n > most || n > INT_MAX)
                return dyn_fail(err, DYN_INVALID,
                        "expected at most %llu tensors in what is left of the file, found a count of %llu",
                        (unsigned long long)most, (unsigned long long)n);
        t->entries = mem_array(n, sizeof *t->entries);
        while ((uint64_t)t->n < n && st == DYN_OK)
                st = read_tensor(t, c, err);
        return st;
}

static int by_offset(const void *a, const void *b)
{
        const struct gguf_entry *x = *(const struct gguf_entry *const *)a, *y = *(const struct gguf_entry *const *)b;

        if (x->offset != y->offset)
                return x->offset < y->offset ? -1 : 1;
        return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static enum dyn_status check_overlaps(const struct gguf_tensors *t, struct dyn_error *err)
{
        struct gguf_entry **sorted = mem_array((size_t)t->n, sizeof(struct gguf_entry *));
        enum dyn_status st = DYN_OK;

        for (int i = 0; i < t->n; i++)
                sorted[i] = &t->entries[i];
        qsort(sorted, (size_t)t->n, sizeof *sorted, by_offset);
        for (int i = 1; i < t->n && st == DYN_OK; i++)
                if (sorted[i]->offset < sorted[i - 1]->offset + sorted[i - 1]->bytes)
                        st = dyn_fail(err, DYN_INVALID, "the data of %s and %s overlap", sorted[i - 1]->name,
                                sorted[i]->name);
        mem_free(sorted);
        return st;
}

enum dyn_status gguf_tensors_place(
        struct gguf_tensors *t, const struct gguf_cursor *c, uint64_t align, struct dyn_error *err)
{
        uint64_t start = (uint64_t)(c->at - c->start), size = (uint64_t)(c->end - c->start);

        start += (align - start % align) % align;
        for (int i = 0; i < t->n; i++) {
                struct gguf_entry *e = &t->entries[i];

                if (e->offset % align != 0)
                        return dyn_fail(err, DYN_INVALID,
                                "%s: expected an offset that is a multiple of %llu, found %llu", e->name,
                                (unsigned long long)align, (unsigned long long)e->offset);
                if (start > size || e->offset > size - start || e->bytes > size - start - e->offset)
                        return dyn_fail(err, DYN_INVALID,
                                "%s: expected %llu bytes at offset %llu of the data, found %llu bytes of data", e->name,
                                (unsigned long long)e->bytes, (unsigned long long)e->offset,
                                (unsigned long long)(start > size ? 0 : size - start));
                if (e->tensor.n_dims >= 0)
                        e->tensor.data = c->start + start + e->offset;
        }
        return check_overlaps(t, err);
}

const struct dyn_tensor *gguf_tensors_find(const struct gguf_tensors *t, const char *name)
{
        uint64_t i;

        return map_get(&t->by_name, name, strlen(name), &i) ? &t->entries[i].tensor : NULL;
}

void gguf_tensors_free(struct gguf_tensors *t)
{
        for (int i = 0; i < t->n; i++)
                mem_free(t->entries[i].name);
        mem_free(t->entries);
        map_free(&t->by_name);
        *t = (struct gguf_tensors){0};
}
