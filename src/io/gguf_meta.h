// The bytes of a GGUF file before its tensor data, read through a bounds-checked cursor, and its key-value metadata.
// Called by gguf.c, which owns the file; knows nothing of tensors.
#ifndef DYNLORA_IO_GGUF_META_H
#define DYNLORA_IO_GGUF_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "dynlora/status.h"

// Where reading has come to. Every read checks that the bytes are there; if not, it answers false and
// stays where it is.
struct gguf_cursor {
        const unsigned char *start, *at, *end;
};

bool gguf_read_u32(struct gguf_cursor *, uint32_t *);
bool gguf_read_u64(struct gguf_cursor *, uint64_t *);
bool gguf_read_string(struct gguf_cursor *, const char **, size_t *len); // borrowed, not NUL-terminated

// The value types of the format, by their numbers.
enum gguf_type {
        GGUF_U8,
        GGUF_I8,
        GGUF_U16,
        GGUF_I16,
        GGUF_U32,
        GGUF_I32,
        GGUF_F32,
        GGUF_BOOL,
        GGUF_STRING,
        GGUF_ARRAY,
        GGUF_U64,
        GGUF_I64,
        GGUF_F64,
        GGUF_N_TYPES,
};

struct gguf_value {
        enum gguf_type type, item; // item: the element type of an array
        const unsigned char *data; // of a scalar, of an array's first element; of a string, its bytes
        uint64_t n;                // elements of an array, bytes of a string
        uint64_t *offsets;         // (n) where each string of an array begins, from data
};

struct gguf_meta {
        struct gguf_value *values; // (n)
        size_t n;
        struct map by_key; // to an index into values
};

// Reads n pairs at the cursor. Whatever it answers, gguf_meta_free afterwards.
enum dyn_status gguf_meta_read(struct gguf_meta *, struct gguf_cursor *, uint64_t n, struct dyn_error *);
void gguf_meta_free(struct gguf_meta *);

// NULL if there is no such key.
const struct gguf_value *gguf_meta_find(const struct gguf_meta *, const char *key);

const char *gguf_type_name(enum gguf_type);
bool gguf_type_is_int(enum gguf_type);
bool gguf_type_is_number(enum gguf_type); // integers, too

// Element i of an array, or a scalar with i = 0. An int: false if it does not fit.
bool gguf_value_int(const struct gguf_value *, uint64_t i, int64_t *out);
double gguf_value_number(const struct gguf_value *, uint64_t i);
const char *gguf_value_string(const struct gguf_value *, uint64_t i, size_t *len);

#endif
