// The GGUF format (versions 2 and 3, little endian): metadata with typed getters and tensors, mapped, not read.
// Everything is checked when the file is opened: counts, string and array lengths, alignment, tensor offsets and sizes,
// overlaps, duplicate keys and names. Format: ggml's docs/gguf.md.
#ifndef DYNLORA_IO_GGUF_H
#define DYNLORA_IO_GGUF_H

#include <stdbool.h>

#include "dynlora/status.h"
#include "dynlora/tensor.h"

struct gguf;

enum dyn_status gguf_open(struct gguf **, const char *path, struct dyn_error *);
void gguf_close(struct gguf *);

bool gguf_has(const struct gguf *, const char *key);

// Scalars: an absent key leaves *out as it was and is DYN_OK; another type or a value out of range is DYN_INVALID, and
// the error names the key. Integers of any width read as int64; a number is f32, f64 or an integer.
enum dyn_status gguf_get_int(
        const struct gguf *, const char *key, int64_t min, int64_t max, int64_t *out, struct dyn_error *);
enum dyn_status gguf_get_number(const struct gguf *, const char *key, double *out, struct dyn_error *);
enum dyn_status gguf_get_bool(const struct gguf *, const char *key, bool *out, struct dyn_error *);
// Borrowed from the mapping: not NUL-terminated, and any bytes.
enum dyn_status gguf_get_string(
        const struct gguf *, const char *key, const char **out, size_t *len, struct dyn_error *);

// Arrays: first the count (*n is -1 if the key is absent; DYN_INVALID if it is no array or has other elements), then
// element i, asserted to be of an array of that type and in range. INTS are integers of any width, NUMBERS floats, too.
enum gguf_array_type { GGUF_STRINGS, GGUF_INTS, GGUF_NUMBERS };
enum dyn_status gguf_get_array(
        const struct gguf *, const char *key, enum gguf_array_type, int64_t *n, struct dyn_error *);
const char *gguf_array_string(const struct gguf *, const char *key, int64_t i, size_t *len); // borrowed, as above
int64_t gguf_array_int(const struct gguf *, const char *key, int64_t i);                     // u64 over the range: max
double gguf_array_number(const struct gguf *, const char *key, int64_t i);

// Tensors; shape is outermost first (GGUF writes it the other way round). Types that enum dyn_dtype lacks have n_dims
// -1.
int gguf_tensor_count(const struct gguf *);
const char *gguf_tensor_name(const struct gguf *, int i);
const struct dyn_tensor *gguf_tensor_at(const struct gguf *, int i);
const struct dyn_tensor *gguf_tensor_find(const struct gguf *, const char *name);

#endif
