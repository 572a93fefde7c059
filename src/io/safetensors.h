// The safetensors format, one file or a folder of shards with model.safetensors.index.json, mapped, not read.
// Every header is checked whole before anything is used: header length, known dtypes, sizes that equal shape times
// element, no duplicate names, and tensors that tile the data section exactly (no overlap, no gap, nothing after them).
// An index may name only files of its own folder. Format: huggingface/safetensors, format section of its README.
#ifndef DYNLORA_IO_SAFETENSORS_H
#define DYNLORA_IO_SAFETENSORS_H

#include "dynlora/status.h"
#include "dynlora/tensor.h"
#include "io/mapfile.h"

struct safetensors;

// path: a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json.
enum dyn_status safetensors_open(struct safetensors **, const char *path, struct dyn_error *);

// One file's bytes that were read or mapped by the caller, whose mapping is the reader's from now on, also on failure.
// name begins the error.
enum dyn_status safetensors_take(struct safetensors **, struct mapfile, const char *name, struct dyn_error *);

void safetensors_close(struct safetensors *);

int safetensors_count(const struct safetensors *);
const char *safetensors_name(const struct safetensors *, int i);

// Tensor i in file order. data points into the mapping and may be unaligned. Tensors of more than DYN_MAX_DIMS
// dimensions or of a dtype that enum dyn_dtype lacks (I64, BOOL, ...) are listed with n_dims -1 and no data.
const struct dyn_tensor *safetensors_at(const struct safetensors *, int i);

// By name; NULL if there is none.
const struct dyn_tensor *safetensors_find(const struct safetensors *, const char *name);

#endif
