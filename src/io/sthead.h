// The header of one safetensors file: JSON that lists tensors, checked whole against the size of the file. Called by
// safetensors.c alone; knows nothing of folders and lookup.
#ifndef DYNLORA_IO_STHEAD_H
#define DYNLORA_IO_STHEAD_H

#include "dynlora/status.h"
#include "dynlora/tensor.h"

struct st_entry {
        char *name;               // mem_free
        size_t begin, end;        // of its bytes, from the start of the data section
        struct dyn_tensor tensor; // data points into the file; n_dims -1 if it cannot be one
};

// Reads the header of a file of `size` bytes. entries: (*n), in the order of their bytes, to be freed with
// sthead_free.
enum dyn_status sthead_read(const void *file, size_t size, struct st_entry **entries, int *n, struct dyn_error *);
void sthead_free(struct st_entry *entries, int n);

#endif
