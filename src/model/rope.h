// Rotary positions: the angles of a step's rows. Sources: Su et al., "RoFormer", 2021; Llama 3's scaling as in
// transformers' modeling_rope_utils. Computed in f32 as the checkpoints' trainers did.
#ifndef DYNLORA_MODEL_ROPE_H
#define DYNLORA_MODEL_ROPE_H

#include "dynlora/backend.h"
#include "model/config.h"

// inv_freq: (head_dim / 2); factors: (head_dim / 2) to divide by, or NULL.
void rope_frequencies(float *inv_freq, const struct model_config *, const float *factors);

// table: (rows of the spans, head_dim): cosines, then sines, of each row's position.
void rope_fill(float *table, const float *inv_freq, int head_dim, const struct dyn_span *, int n_spans);

#endif
