// y = W x of the fast backend: the outputs in blocks for the team, each block for all rows.
#include <assert.h>

#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/tile.h"

// Bytes of weights in a block: enough for long streams from memory and little enough that it is still in the second
// cache when the next rows of x come.
#define BLOCK_BYTES ((size_t)128 << 10)

struct gemm {
        struct tile_dots dots;
        enum dyn_dtype dtype;
        int block; // outputs
};

static void gemm_block(void *arg, int i)
{
        const struct gemm *g = arg;
        struct tile_dots d = g->dots;
        int first = i * g->block;

        d.w = (const char *)d.w + (size_t)first * d.w_bytes;
        d.y += first;
        d.n_out = d.n_out - first < g->block ? d.n_out - first : g->block;
        tile_dots(g->dtype, &d);
}

void fast_gemm(struct dyn_device *dev, float *y, const float *x, const struct dyn_weight *w, int n_rows)
{
        size_t n_in = (size_t)w->n_in, n_out = (size_t)w->n_out, w_bytes = dyn_dtype_bytes(w->dtype, w->n_in);
        struct gemm g = {.dtype = w->dtype,
                .dots = {.w = w->data,
                        .w_bytes = w_bytes,
                        .x = x,
                        .x_step = n_in,
                        .y = y,
                        .y_step = n_out,
                        .n = w->n_in,
                        .n_out = w->n_out,
                        .n_rows = n_rows,
                        .ahead = TILE_AHEAD}};

        assert(y != x);
        g.block = cpu_block(dev, w->n_out, w_bytes, BLOCK_BYTES);
        cpu_spread(dev, gemm_block, &g, (w->n_out + g.block - 1) / g.block, (double)(w_bytes * n_out) / 30);
}
