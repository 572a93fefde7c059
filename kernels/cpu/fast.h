// The fast backend's own slots, spread over several files; what they promise is in backend.h.
#ifndef DYNLORA_KERNELS_CPU_FAST_H
#define DYNLORA_KERNELS_CPU_FAST_H

#include "cpu/isa.h"
#include "cpu/merge.h"
#include "dynlora/backend.h"

void fast_gemm(struct dyn_device *, float *y, const float *x, const struct dyn_weight *w, int n_rows);

enum dyn_status fast_lowrank_load(struct dyn_device *, struct dyn_lowrank *p, const struct dyn_tensor *a,
        const struct dyn_tensor *b, float scale, struct dyn_error *);
void fast_lowrank(struct dyn_device *, float *y, const float *x, const struct dyn_segment *segs, int n_segs);

enum dyn_status fast_merge(struct dyn_device *, struct dyn_weight *, const struct dyn_tensor *stored,
        const struct dyn_term *terms, int n_terms, struct dyn_error *);
cpu_merge_rows fast_merge_rows; // in vectors

void fast_linear(struct dyn_device *, const struct dyn_linear *parts, int n_parts, const float *x, int n_rows);

void fast_attention(struct dyn_device *, float *out, const float *q, const struct dyn_kv *, int layer, int n_heads,
        const struct dyn_span *spans, int n_spans);

void fast_embed(struct dyn_device *, float *y, const struct dyn_weight *w, const int32_t *ids, int n_rows);
void fast_rmsnorm(struct dyn_device *, float *y, const float *x, const float *weight, float eps, int dim, int n_rows);
void fast_add_bias(struct dyn_device *, float *y, const float *bias, int n, int n_rows);
void fast_rope(struct dyn_device *, float *x, const float *table, bool paired, int n_heads, int head_dim, int n_rows);
void fast_kv_write(struct dyn_device *, const struct dyn_kv *, int layer, const float *k, const float *v,
        const struct dyn_span *spans, int n_spans);
void fast_silu_mul(struct dyn_device *, float *gate, const float *up, size_t n);
void fast_add(struct dyn_device *, float *y, const float *x, size_t n);

#endif
