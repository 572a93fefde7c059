// Linear layers over the same rows, with their patches, in one loop of the team (slot linear). First come the small
// items that others wait for: rows of x in the forms that the weights want, and v = A x of every segment. Then blocks
// of outputs: the product with W, and the block's share of B v while it is still in the cache. Items are taken in
// order, so by the time a block has its product the v that it needs is nearly always there, and memory for A is read
// while others compute.
#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/threads.h"
#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/gemm.h"
#include "cpu/lowrank.h"
#include "cpu/tile.h"

#define ROWS_ITEM  16 // rows and ranks of a segment in one item
#define RANKS_ITEM 16
#define SPINS      2000

// A segment of a part and where its v is.
struct shrunk {
        const struct dyn_segment *seg;
        float *v; // (n_rows, rank)
        int first_item, n_chunks;
};

struct part {
        const struct dyn_linear *of;
        const struct shrunk *segs; // (n_segs)
        int n_segs, block, first_item;
};

struct linear {
        const struct dyn_device *dev;
        const float *x; // (n_rows, n_in)
        int n_rows, n_in;
        void *formed[GEMM_FORMS]; // NULL: no part wants it
        int n_form_items;         // of all forms, one form after the other
        struct part parts[DYN_MAX_PARTS];
        int n_parts;
        struct shrunk *shrunk; // (n_shrunk), of all parts in order
        int n_shrunk;
        int n_first; // items of the first kind
        atomic_int unready;
};

static int ceil_div(int a, int b)
{
        return (a + b - 1) / b;
}

static void shrink_item(const struct linear *l, int i)
{
        const struct shrunk *s = l->shrunk;

        while (s + 1 < l->shrunk + l->n_shrunk && i >= s[1].first_item)
                s++;
        const struct dyn_lowrank *p = s->seg->term.patch;
        int unit = (i - s->first_item) / s->n_chunks, row = unit * ROWS_ITEM;
        int rank = (i - s->first_item) % s->n_chunks * RANKS_ITEM;
        int rows = s->seg->n_rows - row < ROWS_ITEM ? s->seg->n_rows - row : ROWS_ITEM;

        lowrank_shrink(p, s->v + (size_t)row * (size_t)p->rank + rank, (size_t)p->rank,
                l->x + (size_t)(s->seg->first_row + row) * (size_t)l->n_in, rows, rank,
                p->rank - rank < RANKS_ITEM ? p->rank - rank : RANKS_ITEM);
}

static void form_item(const struct linear *l, int i)
{
        for (enum gemm_form form = 0; form < GEMM_FORMS; form++) {
                int items = l->formed[form] ? gemm_form_items(form, l->n_rows) : 0;

                if (i >= 0 && i < items)
                        gemm_form_item(form, l->formed[form], l->x, l->n_in, l->n_rows, i);
                i -= items;
        }
}

static void first_item(struct linear *l, int i)
{
        if (i < l->n_form_items)
                form_item(l, i);
        else
                shrink_item(l, i - l->n_form_items);
        atomic_fetch_sub_explicit(&l->unready, 1, memory_order_release);
}

// Who is waited for has its item already, so this ends.
static void wait_until_ready(struct linear *l)
{
        for (int spins = 0; atomic_load_explicit(&l->unready, memory_order_acquire) > 0; spins++)
                if (spins > SPINS)
                        sched_yield();
}

static void block_item(struct linear *l, int i)
{
        const struct part *p = l->parts;

        while (p + 1 < l->parts + l->n_parts && i >= p[1].first_item)
                p++;
        const struct dyn_linear *of = p->of;
        int first = (i - p->first_item) * p->block, left = of->w->n_out - first, n = left < p->block ? left : p->block;

        enum gemm_form form = gemm_form_of(of->w);

        if (form != GEMM_PLAIN)
                wait_until_ready(l);
        gemm_outputs(l->dev, of->w, of->y, l->x, l->formed[form], l->n_rows, first, n);
        if (p->n_segs > 0)
                wait_until_ready(l);
        for (int k = 0; k < p->n_segs; k++) {
                const struct shrunk *s = &p->segs[k];
                size_t n_out = (size_t)of->w->n_out;

                lowrank_expand(&s->seg->term, of->y + (size_t)s->seg->first_row * n_out, s->v,
                        (size_t)s->seg->term.patch->rank, s->seg->n_rows, first, n);
        }
}

static void item(void *arg, int i)
{
        struct linear *l = arg;

        if (i < l->n_first)
                first_item(l, i);
        else
                block_item(l, i - l->n_first);
}

// Lays out the parts; returns the number of blocks, and adds what they cost.
static int lay_out_blocks(struct linear *l, const struct dyn_linear *parts, double *cost)
{
        int n = 0;

        for (int i = 0; i < l->n_parts; i++) {
                const struct dyn_weight *w = parts[i].w;
                struct part *p = &l->parts[i];

                p->of = &parts[i];
                p->first_item = n;
                p->block = gemm_block(l->dev, w, l->n_rows);
                if (parts[i].n_segs > 0) // blocks of packed B are not cut
                        p->block = ceil_div(p->block, TILE_COLUMNS) * TILE_COLUMNS;
                n += ceil_div(w->n_out, p->block);
                *cost += (double)dyn_dtype_bytes(w->dtype, w->n_in) * w->n_out / 30;
        }
        return n;
}

// The same for v, in the scratch from `room` on; false if that is too little.
static bool lay_out_shrunk(struct linear *l, const struct dyn_linear *parts, char *room, const char *end)
{
        int items = 0;

        for (int i = 0; i < l->n_parts; i++) {
                l->parts[i].segs = l->shrunk + l->n_shrunk;
                for (int k = 0; k < parts[i].n_segs; k++) {
                        const struct dyn_segment *seg = &parts[i].segs[k];

                        if (seg->term.patch == NULL || seg->n_rows == 0)
                                continue;
                        size_t bytes = (size_t)seg->n_rows * (size_t)seg->term.patch->rank * sizeof(float);
                        int chunks = ceil_div(seg->term.patch->rank, RANKS_ITEM);

                        if (bytes > (size_t)(end - room))
                                return false;
                        l->shrunk[l->n_shrunk++] = (struct shrunk){seg, (float *)room, items, chunks};
                        l->parts[i].n_segs++;
                        items += chunks * ceil_div(seg->n_rows, ROWS_ITEM);
                        room += (bytes + 63) / 64 * 64;
                        if (room > end)
                                return false;
                }
        }
        l->n_first = l->n_form_items + items;
        return true;
}

// Room for the forms of x that the parts want, from `room` on; what is left, or NULL if that is too little.
static char *lay_out_forms(struct linear *l, const struct dyn_linear *parts, char *room, const char *end)
{
        for (int i = 0; i < l->n_parts; i++) {
                enum gemm_form form = gemm_form_of(parts[i].w);
                size_t bytes = (gemm_form_bytes(form, l->n_in, l->n_rows) + 63) / 64 * 64;

                if (form == GEMM_PLAIN || l->formed[form] != NULL)
                        continue;
                if (bytes > (size_t)(end - room))
                        return NULL;
                l->formed[form] = room;
                l->n_form_items += gemm_form_items(form, l->n_rows);
                room += bytes;
        }
        return room;
}

static void one_after_the_other(
        struct dyn_device *dev, const struct dyn_linear *parts, int n_parts, const float *x, int n_rows)
{
        for (int i = 0; i < n_parts; i++) {
                fast_gemm(dev, parts[i].y, x, parts[i].w, n_rows);
                for (int k = 0; k < parts[i].n_segs; k++)
                        fast_lowrank(dev, parts[i].y, x, &parts[i].segs[k], 1);
        }
}

void fast_linear(struct dyn_device *dev, const struct dyn_linear *parts, int n_parts, const float *x, int n_rows)
{
        struct linear l = {.dev = dev, .x = x, .n_rows = n_rows, .n_in = parts[0].w->n_in, .n_parts = n_parts};
        char *room = dev->scratch, *end = room + dev->scratch_bytes;
        int n_segs = 0, n_blocks;
        double cost = 0;

        assert(n_parts >= 1 && n_parts <= DYN_MAX_PARTS);
        for (int i = 0; i < n_parts; i++) {
                assert(parts[i].w->n_in == l.n_in && parts[i].y != x);
                n_segs += parts[i].n_segs;
        }
        struct shrunk shrunk[n_segs + 1];

        l.shrunk = shrunk;
        room = lay_out_forms(&l, parts, room, end);
        if (room == NULL || !lay_out_shrunk(&l, parts, room, end)) {
                one_after_the_other(dev, parts, n_parts, x, n_rows);
                return;
        }
        n_blocks = lay_out_blocks(&l, parts, &cost);
        atomic_init(&l.unready, l.n_first);
        cpu_spread(dev, item, &l, l.n_first + n_blocks, cost);
}
