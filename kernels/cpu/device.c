#include "cpu/device.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "base/alloc.h"
#include "base/threads.h"

#define ALIGN 64

// Blocks this large come from the system in pages of their own.
#define MAPPED_BYTES ((size_t)1 << 20)

// What team_run costs when the members are awake, with a margin.
#define SHARE_COST_NS 4000.0

// Blocks of rows are multiples of this, which tiles of 3 and of 4 fill.
#define BLOCK_STEP 12

// Before each block that cpu_alloc hands out. A block of its own pages starts at the header.
struct header {
        void *base;
        size_t mapped; // bytes, 0 if from mem_zalloc
};

enum dyn_status cpu_open(struct dyn_device **out, const struct dyn_device_options *options, struct dyn_error *err)
{
        (void)err;
        struct dyn_device *dev = mem_zalloc(sizeof *dev);

        dev->options = *options;
        if (dev->options.n_threads <= 0)
                dev->options.n_threads = team_cores();
        dev->team = team_create(dev->options.n_threads);
        pool_init(&dev->patches);
        pool_init(&dev->merged);
        *out = dev;
        return DYN_OK;
}

void cpu_close(struct dyn_device *dev)
{
        if (dev == NULL)
                return;
        team_destroy(dev->team);
        pool_finish(&dev->patches);
        pool_finish(&dev->merged);
        mem_unmap(dev->scratch, dev->scratch_bytes);
        mem_free(dev);
}

void *cpu_alloc(struct dyn_device *dev, size_t bytes)
{
        (void)dev;
        if (bytes > SIZE_MAX - 2 * ALIGN)
                return NULL;
        size_t total = bytes + 2 * ALIGN;
        bool mapped = total >= MAPPED_BYTES;
        char *base = mapped ? mem_map(total) : mem_zalloc(total);

        if (base == NULL)
                return NULL;
        char *p = (char *)(((uintptr_t)base + 2 * ALIGN - 1) / ALIGN * ALIGN);
        struct header h = {.base = base, .mapped = mapped ? total : 0};

        memcpy(p - sizeof h, &h, sizeof h);
        return p;
}

void cpu_free(struct dyn_device *dev, void *p)
{
        struct header h;

        (void)dev;
        if (p == NULL)
                return;
        memcpy(&h, (char *)p - sizeof h, sizeof h);
        if (h.mapped)
                mem_unmap(h.base, h.mapped);
        else
                mem_free(h.base);
}

void cpu_upload(struct dyn_device *dev, void *dst, const void *src, size_t bytes)
{
        (void)dev;
        memcpy(dst, src, bytes);
}

void cpu_download(struct dyn_device *dev, void *dst, const void *src, size_t bytes)
{
        (void)dev;
        memcpy(dst, src, bytes);
}

void cpu_sync(struct dyn_device *dev)
{
        (void)dev;
}

static bool is_plain(enum dyn_dtype dtype)
{
        return dyn_dtype_block(dtype) == 1;
}

bool cpu_weight_dtype(struct dyn_device *dev, enum dyn_dtype dtype)
{
        (void)dev;
        return is_plain(dtype) || dtype == DYN_Q4_0 || dtype == DYN_Q4_1 || dtype == DYN_Q8_0 || dtype == DYN_Q4_K ||
               dtype == DYN_Q6_K;
}

static bool is_matrix(const struct dyn_tensor *t)
{
        return t->n_dims == 2 && t->shape[0] >= 1 && t->shape[0] <= INT_MAX && t->shape[1] >= 1 &&
               t->shape[1] <= INT_MAX;
}

enum dyn_status cpu_weight_load(
        struct dyn_device *dev, struct dyn_weight *w, const struct dyn_tensor *t, struct dyn_error *err)
{
        if (!cpu_weight_dtype(dev, t->dtype))
                return dyn_fail(
                        err, DYN_UNSUPPORTED, "weight: no kernel reads %s as it lies", dyn_dtype_name(t->dtype));
        if (!is_matrix(t))
                return dyn_fail(err, DYN_INVALID, "weight: expected a matrix, found %d dimensions, (%lld, %lld)",
                        t->n_dims, (long long)t->shape[0], (long long)t->shape[1]);
        assert(t->bytes >= (size_t)t->shape[0] * dyn_dtype_bytes(t->dtype, t->shape[1]));
        *w = (struct dyn_weight){
                .dtype = t->dtype, .n_out = (int)t->shape[0], .n_in = (int)t->shape[1], .data = t->data};
        return DYN_OK;
}

void cpu_weight_free(struct dyn_device *dev, struct dyn_weight *w)
{
        pool_free(&dev->merged, w->owned);
        *w = (struct dyn_weight){0};
}

enum dyn_status cpu_lowrank_begin(struct dyn_device *dev, struct dyn_lowrank *p, const struct dyn_tensor *a,
        const struct dyn_tensor *b, float scale, struct dyn_error *err)
{
        *p = (struct dyn_lowrank){0};
        if (!is_plain(a->dtype) || a->dtype != b->dtype)
                return dyn_fail(err, DYN_UNSUPPORTED, "patch: expected A and B both f32, f16 or bf16, found %s and %s",
                        dyn_dtype_name(a->dtype), dyn_dtype_name(b->dtype));
        if (!is_matrix(a) || !is_matrix(b) || a->shape[0] != b->shape[1])
                return dyn_fail(err, DYN_INVALID,
                        "patch: expected A (rank, n_in) and B (n_out, rank), found (%lld, %lld) and (%lld, %lld)",
                        (long long)a->shape[0], (long long)a->shape[1], (long long)b->shape[0], (long long)b->shape[1]);
        *p = (struct dyn_lowrank){.dtype = a->dtype,
                .rank = (int)a->shape[0],
                .n_in = (int)a->shape[1],
                .n_out = (int)b->shape[0],
                .scale = scale};
        return DYN_OK;
}

enum dyn_status cpu_lowrank_alloc(
        struct dyn_device *dev, struct dyn_lowrank *p, size_t a_bytes, size_t b_bytes, struct dyn_error *err)
{
        size_t b_at = (a_bytes + ALIGN - 1) / ALIGN * ALIGN;

        p->a = pool_alloc(&dev->patches, b_at + b_bytes);
        if (p->a == NULL) {
                *p = (struct dyn_lowrank){0};
                return dyn_fail(err, DYN_NO_MEMORY, "patch: the system refuses %zu bytes", a_bytes + b_bytes);
        }
        p->b = (char *)p->a + b_at;
        return DYN_OK;
}

void cpu_lowrank_free(struct dyn_device *dev, struct dyn_lowrank *p)
{
        pool_free(&dev->patches, p->a);
        *p = (struct dyn_lowrank){0};
}

void cpu_gather(struct dyn_device *dev, float *y, const float *x, const int32_t *rows, int n, int dim)
{
        (void)dev;
        assert(y != x);
        for (size_t i = 0; i < (size_t)n; i++)
                memcpy(y + i * (size_t)dim, x + (size_t)rows[i] * (size_t)dim, (size_t)dim * sizeof *y);
}

void cpu_spread(struct dyn_device *dev, void (*work)(void *arg, int i), void *arg, int n, double cost)
{
        if (cost >= SHARE_COST_NS) {
                team_run(dev->team, work, arg, n);
                return;
        }
        for (int i = 0; i < n; i++)
                work(arg, i);
}

int cpu_block(const struct dyn_device *dev, int n_rows, size_t row_bytes, size_t bytes)
{
        size_t n = (size_t)n_rows, members = (size_t)team_size(dev->team);
        size_t items = (n * row_bytes / bytes / members + 1) * members;
        size_t block = (n + items - 1) / items;

        return (int)((block + BLOCK_STEP - 1) / BLOCK_STEP * BLOCK_STEP);
}
