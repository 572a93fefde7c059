// y = W x of the fast backend: the outputs in blocks for the team, each block for all rows. Where the loop over W wants
// x in a form of its own, it is brought to that before, as many rows at a time as the scratch holds.
#include "cpu/gemm.h"

#include <assert.h>

#include "cpu/amx_dots.h"
#include "cpu/amx_rows.h"
#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/quant_dots.h"
#include "cpu/quant_rows.h"
#include "cpu/tile.h"

// Bytes of weights in a block: enough for long streams from memory and little enough that it is still in the second
// cache when the next rows of x come, and that nobody waits long for a member whose core others use. Where so many rows
// come that arithmetic takes the time, tiles want to meet a group of them for longer.
#define BLOCK_BYTES ((size_t)128 << 10)
#define LONG_BYTES  ((size_t)1 << 20)
#define LONG_ROWS   64

#define QUANT_FEW  4  // rows up to which memory, not arithmetic, takes the time
#define QUANT_OUTS 16 // outputs that quant_dots computes together at most
#define SPLIT_OUTS 64 // amx_dots, the same

// Outputs of w, and all rows.
struct outputs {
        const struct dyn_device *dev;
        const struct dyn_weight *w;
        const char *from; // the first one's row of w
        size_t w_bytes;
        float *y; // of the first one
        const float *x;
        const void *formed;
        int n_rows, n;
};

static void plain_outputs(const struct outputs *o)
{
        tile_dots(o->w->dtype, &(struct tile_dots){.w = o->from,
                                       .w_bytes = o->w_bytes,
                                       .x = o->x,
                                       .x_step = (size_t)o->w->n_in,
                                       .y = o->y,
                                       .y_step = (size_t)o->w->n_out,
                                       .n = o->w->n_in,
                                       .n_out = o->n,
                                       .n_rows = o->n_rows});
}

static size_t quantised_bytes(int n_in, int n_rows)
{
        return (size_t)n_rows * (size_t)(n_in / QUANT_BLOCK) * sizeof(struct quant_block);
}

static int quantised_items(int n_rows)
{
        return n_rows;
}

static void quantised_item(void *to, const float *x, int n_in, int n_rows, int item)
{
        size_t n = (size_t)n_in, i = (size_t)item;

        (void)n_rows;
        quant_rows((struct quant_block *)to + i * (n / QUANT_BLOCK), x + i * n, n);
}

static void quantised_outputs(const struct outputs *o)
{
        (o->n_rows > QUANT_FEW ? o->dev->quant_many : o->dev->quant_few)(
                o->w->dtype, &(struct quant_dots){.w = o->from,
                                     .w_bytes = o->w_bytes,
                                     .x = o->formed,
                                     .y = o->y,
                                     .y_step = (size_t)o->w->n_out,
                                     .n_blocks = o->w->n_in / QUANT_BLOCK,
                                     .n_out = o->n,
                                     .n_rows = o->n_rows});
}

#ifdef __AMX_BF16__
static void split_outputs(const struct outputs *o)
{
        amx_dots(&(struct amx_dots){.w = o->from,
                .w_bytes = o->w_bytes,
                .x = o->formed,
                .y = o->y,
                .y_step = (size_t)o->w->n_out,
                .n_in = o->w->n_in,
                .n_out = o->n,
                .n_rows = o->n_rows});
}
#endif

static const struct form {
        void (*outputs)(const struct outputs *); // NULL: not in this instruction set
        size_t (*bytes)(int n_in, int n_rows);
        int (*items)(int n_rows);
        void (*item)(void *to, const float *x, int n_in, int n_rows, int item);
        int outs;          // computed together at most
        size_t long_bytes; // of a block of many rows
} forms[GEMM_FORMS] = {
        [GEMM_PLAIN] = {.outputs = plain_outputs, .outs = 1, .long_bytes = BLOCK_BYTES},
        [GEMM_QUANTISED] = {quantised_outputs, quantised_bytes, quantised_items, quantised_item, QUANT_OUTS,
                BLOCK_BYTES},
#ifdef __AMX_BF16__
        [GEMM_SPLIT] = {split_outputs, amx_rows_bytes, amx_rows_groups, amx_rows, SPLIT_OUTS, LONG_BYTES},
#endif
};

enum gemm_form gemm_form_of(const struct dyn_weight *w)
{
        if (dyn_dtype_block(w->dtype) > 1)
                return GEMM_QUANTISED;
        return w->dtype == DYN_BF16 && forms[GEMM_SPLIT].outputs != NULL ? GEMM_SPLIT : GEMM_PLAIN;
}

size_t gemm_form_bytes(enum gemm_form form, int n_in, int n_rows)
{
        return forms[form].bytes ? forms[form].bytes(n_in, n_rows) : 0;
}

int gemm_form_items(enum gemm_form form, int n_rows)
{
        return forms[form].items ? forms[form].items(n_rows) : 0;
}

void gemm_form_item(enum gemm_form form, void *to, const float *x, int n_in, int n_rows, int item)
{
        forms[form].item(to, x, n_in, n_rows, item);
}

void gemm_outputs(const struct dyn_device *dev, const struct dyn_weight *w, float *y, const float *x,
        const void *formed, int n_rows, int first, int n)
{
        size_t w_bytes = dyn_dtype_bytes(w->dtype, w->n_in);

        forms[gemm_form_of(w)].outputs(&(struct outputs){
                dev, w, (const char *)w->data + (size_t)first * w_bytes, w_bytes, y + first, x, formed, n_rows, n});
}

int gemm_block(const struct dyn_device *dev, const struct dyn_weight *w, int n_rows)
{
        const struct form *form = &forms[gemm_form_of(w)];
        int block = cpu_block(
                dev, w->n_out, dyn_dtype_bytes(w->dtype, w->n_in), n_rows > LONG_ROWS ? form->long_bytes : BLOCK_BYTES);

        return (block + form->outs - 1) / form->outs * form->outs;
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
        enum gemm_form form = gemm_form_of(w);
        size_t n_in = (size_t)w->n_in, bytes = dyn_dtype_bytes(w->dtype, w->n_in) * (size_t)w->n_out;
        size_t most = form == GEMM_PLAIN ? (size_t)n_rows : dev->scratch_bytes / gemm_form_bytes(form, w->n_in, 1);
        struct gemm g = {.dev = dev, .w = w, .formed = dev->scratch, .form = form, .block = gemm_block(dev, w, n_rows)};

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
