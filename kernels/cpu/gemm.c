// y = W x of the fast backend: the outputs in blocks for the team, each block for all rows. Where the loop over W wants
// x in a form of its own, it is brought to that before, as many rows at a time as the scratch holds.
#include "cpu/gemm.h"

#include <assert.h>

#include "cpu/amx_dots.h"
#include "cpu/amx_rows.h"
#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/quant_rows.h"
#include "cpu/tile.h"

// Bytes of weights in a block: enough for long streams from memory and little enough that it is still in the second
// cache when the next rows of x come; tiles want to meet a group of rows for longer.
#define BLOCK_BYTES ((size_t)128 << 10)
#define SPLIT_BYTES ((size_t)1 << 20)

#define QUANT_FEW  4  // rows up to which memory, not arithmetic, takes the time
#define QUANT_OUTS 16 // outputs that quant_dots computes together at most
#define SPLIT_OUTS 64 // amx_dots, the same

enum gemm_form gemm_form_of(const struct dyn_device *dev, const struct dyn_weight *w)
{
        if (dyn_dtype_block(w->dtype) > 1)
                return GEMM_QUANTISED;
        return dev->tiles && w->dtype == DYN_BF16 ? GEMM_SPLIT : GEMM_PLAIN;
}

size_t gemm_form_bytes(enum gemm_form form, int n_in, int n_rows)
{
        if (form == GEMM_QUANTISED)
                return (size_t)n_rows * (size_t)(n_in / QUANT_BLOCK) * sizeof(struct quant_block);
        return form == GEMM_SPLIT ? amx_bytes(n_in, n_rows) : 0;
}

int gemm_form_items(enum gemm_form form, int n_rows)
{
        if (form == GEMM_QUANTISED)
                return n_rows;
        return form == GEMM_SPLIT ? amx_groups(n_rows) : 0;
}

void gemm_form_item(enum gemm_form form, void *to, const float *x, int n_in, int n_rows, int item)
{
        size_t n = (size_t)n_in, i = (size_t)item;

        if (form == GEMM_QUANTISED)
                quant_rows((struct quant_block *)to + i * (n / QUANT_BLOCK), x + i * n, n);
        else
                amx_rows((char *)to + amx_group_at(n_in, item), x, n_in, n_rows, item);
}

void gemm_outputs(const struct dyn_device *dev, const struct dyn_weight *w, float *y, const float *x,
        const void *formed, int n_rows, int first, int n)
{
        size_t n_in = (size_t)w->n_in, n_out = (size_t)w->n_out, w_bytes = dyn_dtype_bytes(w->dtype, w->n_in);
        const char *from = (const char *)w->data + (size_t)first * w_bytes;

        switch (gemm_form_of(dev, w)) {
        case GEMM_QUANTISED:
                (n_rows > QUANT_FEW ? dev->quant_many : dev->quant_few)(
                        w->dtype, &(struct quant_dots){.w = from,
                                          .w_bytes = w_bytes,
                                          .x = formed,
                                          .y = y + first,
                                          .y_step = n_out,
                                          .n_blocks = w->n_in / QUANT_BLOCK,
                                          .n_out = n,
                                          .n_rows = n_rows});
                return;
        case GEMM_SPLIT:
                amx_dots(&(struct amx_dots){.w = from,
                        .w_bytes = w_bytes,
                        .x = formed,
                        .y = y + first,
                        .y_step = n_out,
                        .n_in = w->n_in,
                        .n_out = n,
                        .n_rows = n_rows});
                return;
        default:
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
        }
}

int gemm_block(const struct dyn_device *dev, const struct dyn_weight *w)
{
        static const int outs[] = {[GEMM_PLAIN] = 1, [GEMM_QUANTISED] = QUANT_OUTS, [GEMM_SPLIT] = SPLIT_OUTS};
        enum gemm_form form = gemm_form_of(dev, w);
        int block = cpu_block(
                dev, w->n_out, dyn_dtype_bytes(w->dtype, w->n_in), form == GEMM_SPLIT ? SPLIT_BYTES : BLOCK_BYTES);

        return (block + outs[form] - 1) / outs[form] * outs[form];
}

struct gemm {
        const struct dyn_device *dev;
        const struct dyn_weight *w;
        float *y;
        const float *x;
        void *formed;
        enum gemm_form form;
        int n_rows, block; // block: outputs
};

static void form_item(void *arg, int i)
{
        const struct gemm *g = arg;

        gemm_form_item(g->form, g->formed, g->x, g->w->n_in, g->n_rows, i);
}

static void one_block(void *arg, int i)
{
        const struct gemm *g = arg;
        int first = i * g->block, left = g->w->n_out - first;

        gemm_outputs(g->dev, g->w, g->y, g->x, g->formed, g->n_rows, first, left < g->block ? left : g->block);
}

void fast_gemm(struct dyn_device *dev, float *y, const float *x, const struct dyn_weight *w, int n_rows)
{
        enum gemm_form form = gemm_form_of(dev, w);
        size_t n_in = (size_t)w->n_in, bytes = dyn_dtype_bytes(w->dtype, w->n_in) * (size_t)w->n_out;
        size_t most = form == GEMM_PLAIN ? (size_t)n_rows : dev->scratch_bytes / gemm_form_bytes(form, w->n_in, 1);
        struct gemm g = {.dev = dev, .w = w, .formed = dev->scratch, .form = form, .block = gemm_block(dev, w)};

        assert(y != x && most > 0);
        for (size_t row = 0; row < (size_t)n_rows; row += (size_t)g.n_rows) {
                g.n_rows = (int)((size_t)n_rows - row < most ? (size_t)n_rows - row : most);
                g.x = x + row * n_in;
                g.y = y + row * (size_t)w->n_out;
                cpu_spread(dev, form_item, &g, gemm_form_items(form, g.n_rows),
                        GEMM_FORM_NS * (double)g.n_rows * (double)n_in);
                cpu_spread(dev, one_block, &g, (w->n_out + g.block - 1) / g.block,
                        (double)bytes * (form == GEMM_PLAIN ? 1 : g.n_rows) / 30);
        }
}
