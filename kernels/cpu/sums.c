// Merging in the fast backend: B of a patch is packed in blocks of TILE_COLUMNS outputs.
#include <math.h>

#include "cpu/fast.h"
#include "cpu/half.h"
#include "cpu/merge.h"
#include "cpu/tile.h"

static bool merge_row(const struct cpu_merge *m, size_t o)
{
        enum dyn_dtype dtype = m->w->dtype;
        size_t n_in = (size_t)m->w->n_in;
        const char *from = (const char *)m->stored->data + o * dyn_dtype_bytes(m->stored->dtype, m->w->n_in);
        char *to = (char *)m->w->owned + o * dyn_dtype_bytes(dtype, m->w->n_in);
        bool finite = true;

        for (size_t k = 0; k < n_in; k++) {
                float sum = half_load(from, m->stored->dtype, k);

                for (int t = 0; t < m->n_terms; t++) {
                        const struct dyn_lowrank *p = m->terms[t].patch;
                        float scale = p->scale * m->terms[t].weight;

                        for (size_t r = 0; r < (size_t)p->rank; r++) {
                                size_t at = (o / TILE_COLUMNS * (size_t)p->rank + r) * TILE_COLUMNS + o % TILE_COLUMNS;

                                sum += scale * half_load(p->b, p->dtype, at) * half_load(p->a, p->dtype, r * n_in + k);
                        }
                }
                half_store(to, dtype, k, sum);
                finite &= isfinite(half_load(to, dtype, k)) != 0;
        }
        return finite;
}

static bool merge_rows(const struct cpu_merge *m, int first, int n)
{
        bool finite = true;

        for (int o = first; o < first + n; o++)
                finite &= merge_row(m, (size_t)o);
        return finite;
}

enum dyn_status fast_merge(struct dyn_device *dev, struct dyn_weight *w, const struct dyn_tensor *stored,
        const struct dyn_term *terms, int n_terms, struct dyn_error *err)
{
        return cpu_merge(dev, w, stored, terms, n_terms, merge_rows, err);
}
