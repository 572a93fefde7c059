// A model as files: a Hugging Face folder (config.json, safetensors) or a GGUF file, behind one door: the configuration
// and tensors by their Hugging Face names.
#ifndef DYNLORA_MODEL_CHECKPOINT_H
#define DYNLORA_MODEL_CHECKPOINT_H

#include "dynlora/status.h"
#include "dynlora/tensor.h"
#include "model/config.h"

struct checkpoint;

// Opens and checks headers and configuration; reads no weights.
enum dyn_status checkpoint_open(struct checkpoint **, const char *path, struct dyn_error *);
void checkpoint_close(struct checkpoint *);

const struct model_config *checkpoint_config(const struct checkpoint *);

// The tensor of that Hugging Face name ("model.layers.0.self_attn.q_proj.weight"), or NULL. *stored_as is the name that
// the file uses, good until the next call. One thread.
const struct dyn_tensor *checkpoint_find(struct checkpoint *, const char *name, const char **stored_as);

// GGUF's rope_freqs.weight, (head_dim / 2): what the rotary frequencies are divided by; NULL if there is none.
const struct dyn_tensor *checkpoint_rope_factors(const struct checkpoint *);

// Tensors in the files, in file order, by the names used there.
int checkpoint_count(const struct checkpoint *);
const struct dyn_tensor *checkpoint_at(const struct checkpoint *, int i, const char **name);

// "safetensors" or "gguf".
const char *checkpoint_format(const struct checkpoint *);

// SHA-free identity of the content for fingerprints: a hash over the configuration, names, shapes and a sample of the
// bytes.
unsigned long long checkpoint_hash(const struct checkpoint *);

#endif
