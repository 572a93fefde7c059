// From a checkpoint to the device: each weight is asked for by name and shape, checked, put in order, brought to a type
// that the device takes, and loaded; used as it lies in the mapping where nothing has to change. Owns what it had to
// copy.
#ifndef DYNLORA_MODEL_WEIGHTS_H
#define DYNLORA_MODEL_WEIGHTS_H

#include "model/step.h"

struct weights;

struct weights *weights_create(
        struct model *, enum dyn_weights, void (*progress)(void *ctx, const char *what, double done), void *ctx);
void weights_destroy(struct weights *);

// Quantised tensors stay or become bf16, as enum dyn_weights says; F32, F16 and BF16 stay.
enum dyn_status weights_matrix(
        struct weights *, struct dyn_weight *, int n_out, int n_in, const char *name, struct dyn_error *);

// A linear layer of block `layer` ("self_attn.q_proj") with its bias, entered into the model's sites.
enum dyn_status weights_site(struct weights *, struct site *, int n_out, int n_in, bool bias, int layer,
        const char *name, struct dyn_error *);

// n numbers as f32 on the device; vectors are few and small.
enum dyn_status weights_vector(struct weights *, float **, int n, struct dyn_error *, const char *name_format, ...)
        __attribute__((format(printf, 5, 6)));

// After the architecture has asked for all: a tensor that nobody asked for is an error, since it would have changed the
// answer.
enum dyn_status weights_check_all_used(struct weights *, struct dyn_error *);

// Says in the log which types became bf16 because no kernel reads them.
void weights_log_dequantised(const struct weights *);

void weights_release_site(struct model *, struct site *);

#endif
