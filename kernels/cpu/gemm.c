// y = W x of the fast backend: the outputs in blocks for the team, each block for all rows. Quantised weights meet rows
// of x that were quantised before, as many at a time as the scratch holds.
#include <assert.h>

#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/quant_dots.h"
#include "cpu/tile.h"

// Bytes of weights in a block: enough for long streams from memory and little enough that it is still in the second
// cache when the next rows of x come.
#define BLOCK_BYTES ((size_t)128 << 10)

#define QUANT_NS 0.15 // what an element of x costs to quantise, for cpu_spread

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

static void gemm_plain(struct dyn_device *dev, float *y, const float *x, const struct dyn_weight *w, int n_rows)
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

        g.block = cpu_block(dev, w->n_out, w_bytes, BLOCK_BYTES);
        cpu_spread(dev, gemm_block, &g, (w->n_out + g.block - 1) / g.block, (double)(w_bytes * n_out) / 30);
}

struct quant_gemm {
        quant_dots_of *run;
        struct quant_dots dots;
        enum dyn_dtype dtype;
        const float *x;         // (n_rows, n_in)
        struct quant_block *to; // (n_rows, n_in / QUANT_BLOCK)
        int block;              // outputs
};

static void quant_row(void *arg, int i)
{
        const struct quant_gemm *g = arg;
        size_t n = (size_t)g->dots.n_blocks;

        quant_rows(g->to + (size_t)i * n, g->x + (size_t)i * n * QUANT_BLOCK, n * QUANT_BLOCK);
}

static void quant_outputs(void *arg, int i)
{
        const struct quant_gemm *g = arg;
        struct quant_dots d = g->dots;
        int first = i * g->block;

        d.w += (size_t)first * d.w_bytes;
        d.y += first;
        d.n_out = d.n_out - first < g->block ? d.n_out - first : g->block;
        g->run(g->dtype, &d);
}

static void gemm_quant(struct dyn_device *dev, float *y, const float *x, const struct dyn_weight *w, int n_rows)
{
        size_t n_in = (size_t)w->n_in, n_out = (size_t)w->n_out, w_bytes = dyn_dtype_bytes(w->dtype, w->n_in);
        struct quant_gemm g = {.run = dev->quant_dots,
                .dtype = w->dtype,
                .to = dev->scratch,
                .dots = {.w = w->data,
                        .w_bytes = w_bytes,
                        .x = dev->scratch,
                        .y_step = n_out,
                        .n_blocks = w->n_in / QUANT_BLOCK,
                        .n_out = w->n_out}};
        size_t most = dev->scratch_bytes / ((size_t)g.dots.n_blocks * sizeof *g.to);

        g.block = cpu_block(dev, w->n_out, w_bytes, BLOCK_BYTES);
        assert(most > 0);
        for (size_t row = 0, rows; row < (size_t)n_rows; row += rows) {
                rows = (size_t)n_rows - row < most ? (size_t)n_rows - row : most;
                g.x = x + row * n_in;
                g.dots.y = y + row * n_out;
                g.dots.n_rows = (int)rows;
                cpu_spread(dev, quant_row, &g, g.dots.n_rows, QUANT_NS * (double)(rows * n_in));
                cpu_spread(dev, quant_outputs, &g, (w->n_out + g.block - 1) / g.block,
                        (double)(w_bytes * n_out * rows) / 30);
        }
}

void fast_gemm(struct dyn_device *dev, float *y, const float *x, const struct dyn_weight *w, int n_rows)
{
        assert(y != x);
        if (dyn_dtype_block(w->dtype) == 1)
                gemm_plain(dev, y, x, w, n_rows);
        else
                gemm_quant(dev, y, x, w, n_rows);
}
