#include "cpu/merge.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/threads.h"
#include "cpu/device.h"

#define ITEM_BYTES ((size_t)512 << 10) // of the merged matrix
#define ITEM_ROWS  96                  // a multiple of the rows that any backend does together

struct work {
        struct cpu_merge m;
        cpu_merge_rows *rows;
        int block;   // rows in an item
        int members; // of the team
        int each;    // items for each of them
        atomic_bool broken;
};

// Items that are taken together lie far apart: members that first touch the same huge page would all fill it with
// zeros, and keep one.
static void item(void *arg, int i)
{
        struct work *work = arg;
        int first = (i % work->members * work->each + i / work->members) * work->block;
        int left = work->m.w->n_out - first;

        if (left > 0 && !work->rows(&work->m, first, left < work->block ? left : work->block))
                atomic_store(&work->broken, true);
}

static void restore(struct dyn_device *dev, struct dyn_weight *w, const struct dyn_tensor *stored)
{
        pool_free(&dev->merged, w->owned);
        *w = (struct dyn_weight){.dtype = stored->dtype, .n_out = w->n_out, .n_in = w->n_in, .data = stored->data};
}

int32_t cpu_merge_infinite(enum dyn_dtype dtype)
{
        static const int32_t bits[] = {[DYN_F32] = 0x7f800000, [DYN_F16] = 0x477ff000, [DYN_BF16] = 0x7f7f8000};

        return bits[dtype];
}

enum dyn_status cpu_merge(struct dyn_device *dev, struct dyn_weight *w, const struct dyn_tensor *stored,
        const struct dyn_term *terms, int n_terms, cpu_merge_rows *rows, struct dyn_error *err)
{
        enum dyn_dtype dtype = dyn_dtype_block(stored->dtype) == 1 ? stored->dtype : DYN_BF16;
        size_t row_bytes = dyn_dtype_bytes(dtype, w->n_in), bytes = row_bytes * (size_t)w->n_out;
        struct work work = {.m = {stored, terms, n_terms, w, .fresh = w->owned == NULL},
                .rows = rows,
                .members = team_size(dev->team)};

        for (int i = 0; i < n_terms; i++)
                assert(terms[i].patch->n_in == w->n_in && terms[i].patch->n_out == w->n_out);
        if (w->owned == NULL)
                w->owned = pool_alloc(&dev->merged, bytes);
        if (w->owned == NULL)
                return dyn_fail(err, DYN_NO_MEMORY, "merge: the system refuses %zu bytes", bytes);
        w->data = w->owned;
        w->dtype = dtype;
        work.block = (cpu_block(dev, w->n_out, row_bytes, ITEM_BYTES) + ITEM_ROWS - 1) / ITEM_ROWS * ITEM_ROWS;
        work.each = (w->n_out + work.block * work.members - 1) / (work.block * work.members);
        cpu_spread(dev, item, &work, work.each * work.members, (double)bytes);
        if (!atomic_load(&work.broken))
                return DYN_OK;
        restore(dev, w, stored);
        return dyn_fail(
                err, DYN_INVALID, "merge: expected weights that %s can hold, found larger ones", dyn_dtype_name(dtype));
}
