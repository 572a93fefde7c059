// The tensors that a GGUF file lists: names, shapes and types, then where their data lies, checked against the size of
// the file and against each other. Called by gguf.c, which owns the file; knows nothing of metadata.
#ifndef DYNLORA_IO_GGUF_TENSORS_H
#define DYNLORA_IO_GGUF_TENSORS_H

#include "base/map.h"
#include "dynlora/status.h"
#include "dynlora/tensor.h"
#include "io/gguf_meta.h"

struct gguf_entry {
        char *name;
        uint64_t offset, bytes; // in the data section
        struct dyn_tensor tensor;
};

struct gguf_tensors {
        struct gguf_entry *entries; // (n), in file order
        int n;
        struct map by_name; // to an index into entries
};

// Reads n descriptions at the cursor. Whatever it answers, gguf_tensors_free afterwards.
enum dyn_status gguf_tensors_read(struct gguf_tensors *, struct gguf_cursor *, uint64_t n, struct dyn_error *);
void gguf_tensors_free(struct gguf_tensors *);

// Gives each tensor its data: offsets count from the first multiple of align at or after the cursor.
enum dyn_status gguf_tensors_place(
        struct gguf_tensors *, const struct gguf_cursor *, uint64_t align, struct dyn_error *);

// NULL if there is none of that name.
const struct dyn_tensor *gguf_tensors_find(const struct gguf_tensors *, const char *name);

#endif
