// What the CPU backends share: the device, its memory, weights used in place, and the check of a patch's shapes.
// The operations are in plain.c and in the files of the fast backend.
#ifndef DYNLORA_KERNELS_CPU_DEVICE_H
#define DYNLORA_KERNELS_CPU_DEVICE_H

#include "cpu/pool.h"
#include "dynlora/backend.h"

struct quant_dots;
struct team;

struct dyn_device {
        struct team *team;
        struct dyn_device_options options; // with n_threads set
        struct pool patches;               // a and b of a patch are one block
        struct pool merged;                // a matrix is one block
        void *scratch;                     // (scratch_bytes), the fast backend's, mapped at open
        size_t scratch_bytes;
        void (*quant_few)(enum dyn_dtype, const struct quant_dots *);  // the fast backend's, for few rows
        void (*quant_many)(enum dyn_dtype, const struct quant_dots *); // and for many
};

enum dyn_status cpu_open(struct dyn_device **, const struct dyn_device_options *, struct dyn_error *);
void cpu_close(struct dyn_device *);

void *cpu_alloc(struct dyn_device *, size_t bytes);
void cpu_free(struct dyn_device *, void *);
void cpu_upload(struct dyn_device *, void *dst, const void *src, size_t bytes);
void cpu_download(struct dyn_device *, void *dst, const void *src, size_t bytes);
void cpu_sync(struct dyn_device *);

bool cpu_weight_dtype(struct dyn_device *, enum dyn_dtype);
enum dyn_status cpu_weight_load(
        struct dyn_device *, struct dyn_weight *, const struct dyn_tensor *t, struct dyn_error *);
void cpu_weight_free(struct dyn_device *, struct dyn_weight *);

// Loading a patch: begin checks dtypes and shapes and fills all of *p but a and b; alloc makes room for these as the
// backend packs them.
enum dyn_status cpu_lowrank_begin(struct dyn_device *, struct dyn_lowrank *p, const struct dyn_tensor *a,
        const struct dyn_tensor *b, float scale, struct dyn_error *);
enum dyn_status cpu_lowrank_alloc(
        struct dyn_device *, struct dyn_lowrank *p, size_t a_bytes, size_t b_bytes, struct dyn_error *);
void cpu_lowrank_free(struct dyn_device *, struct dyn_lowrank *);

void cpu_gather(struct dyn_device *, float *y, const float *x, const int32_t *rows, int n, int dim);

// Runs work for 0 .. n - 1 on the team, or all of it here when `cost` (about nanoseconds) is too little to share.
void cpu_spread(struct dyn_device *, void (*work)(void *arg, int i), void *arg, int n, double cost);

// Rows of a matrix that make one item of a loop over them: about `bytes` of them, as many items for each member.
int cpu_block(const struct dyn_device *, int n_rows, size_t row_bytes, size_t bytes);

#endif
