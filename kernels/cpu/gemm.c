// y = W x of the fast backend: the outputs in blocks for the team, each block for all rows. Quantised weights meet rows
// of x that were quantised before, as many at a time as the scratch holds.
#include <assert.h>

#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/gemm.h"
#include "cpu/tile.h"

// Bytes of weights in a block: enough for long streams from memory and little enough that it is still in the second
// cache when the next rows of x come.
#define BLOCK_BYTES ((size_t)128 << 10)

#define QUANT_FEW  4  // rows up to which memory, not arithmetic, takes the time
#define QUANT_OUTS 16 // outputs that quant_dots computes together at most

void gemm_outputs(const struct dyn_device *dev, const struct dyn_weight *w, float *y, const float *x,
        const struct quant_block *quantised, int n_rows, int first, int n)
{
        size_t n_in = (size_t)w->n_in, n_out = (size_t)w->n_out, w_bytes = dyn_dtype_bytes(w->dtype, w->n_in);
        const char *from = (const char *)w->data + (size_t)first * w_bytes;

        if (dyn_dtype_block(w->dtype) == 1)
                tile_dots(w->dtype, &(struct tile_dots){.w = from,
                                            .w_bytes = w_bytes,
                                            .x = x,
                                            .x_step = n_in,
                                            .y = y + first,
                                            .y_step = n_out,
                                            .n = w->n_in,
                                            .n_out = n,
                                            .n_rows = n_rows,
                                            .ahead = TILE_AHEAD});
        else
                (n_rows > QUANT_FEW ? dev->quant_many : dev->quant_few)(
                        w->dtype, &(struct quant_dots){.w = from,
                                          .w_bytes = w_bytes,
                                          .x = quantised,
                                          .y = y + first,
                                          .y_step = n_out,
                                          .n_blocks = w->n_in / QUANT_BLOCK,
                                          .n_out = n,
                                          .n_rows = n_rows});
}

int gemm_block(const struct dyn_device *dev, const struct dyn_weight *w)
{
        int block = cpu_block(dev, w->n_out, dyn_dtype_bytes(w->dtype, w->n_in), BLOCK_BYTES);

        return dyn_dtype_block(w->dtype) == 1 ? block : (block + QUANT_OUTS - 1) / QUANT_OUTS * QUANT_OUTS;
}

struct gemm {
        const struct dyn_device *dev;
        const struct dyn_weight *w;
        float *y;
        const float *x;
        struct quant_block *quantised; // (n_rows, n_in / QUANT_BLOCK)
        int n_rows, block;             // block: outputs
};

static void quant_row(void *arg, int i)
{
        const struct gemm *g = arg;
        size_t n_in = (size_t)g->w->n_in;

        quant_rows(g->quantised + (size_t)i * (n_in / QUANT_BLOCK), g->x + (size_t)i * n_in, n_in);
}

static void one_block(void *arg, int i)
{
        const struct gemm *g = arg;
        int first = i * g->block, left = g->w->n_out - first;

        gemm_outputs(g->dev, g->w, g->y, g->x, g->quantised, g->n_rows, first, left < g->block ? left : g->block);
}

void fast_gemm(struct dyn_device *dev, float *y, const float *x, const struct dyn_weight *w, int n_rows)
{
        bool quantised = dyn_dtype_block(w->dtype) > 1;
        size_t n_in = (size_t)w->n_in, bytes = dyn_dtype_bytes(w->dtype, w->n_in) * (size_t)w->n_out;
        size_t most =
                quantised ? dev->scratch_bytes / (n_in / QUANT_BLOCK * sizeof(struct quant_block)) : (size_t)n_rows;
        struct gemm g = {.dev = dev, .w = w, .quantised = dev->scratch, .block = gemm_block(dev, w)};

        assert(y != x && most > 0);
        for (size_t row = 0; row < (size_t)n_rows; row += (size_t)g.n_rows) {
                g.n_rows = (int)((size_t)n_rows - row < most ? (size_t)n_rows - row : most);
                g.x = x + row * n_in;
                g.y = y + row * (size_t)w->n_out;
                if (quantised)
                        cpu_spread(dev, quant_row, &g, g.n_rows, QUANT_NS * (double)g.n_rows * (double)n_in);
                cpu_spread(dev, one_block, &g, (w->n_out + g.block - 1) / g.block,
                        (double)bytes * (quantised ? g.n_rows : 1) / 30);
        }
}
