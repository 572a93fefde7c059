// What lies merged in the weights (model/model.h).
#include "model/step.h"

enum dyn_status model_merge(struct model *m, int site, const struct dyn_lowrank *patch, struct dyn_error *err)
{
        struct site *s = m->site_at[site];
        struct dyn_term term = {patch, 1};
        enum dyn_status st = m->ops->merge(m->dev, &s->weight, &s->stored, &term, 1, err);

        s->merged = st == DYN_OK ? patch : NULL;
        return st == DYN_OK ? DYN_OK : dyn_fail_in(err, m->sites.at[site].name);
}

void model_restore(struct model *m, int site)
{
        struct site *s = m->site_at[site];

        if (s->merged == NULL)
                return;
        m->ops->restore(m->dev, &s->weight, &s->stored);
        s->merged = NULL;
}

const struct dyn_lowrank *model_merged(const struct model *m, int site)
{
        return m->site_at[site]->merged;
}

size_t model_merged_bytes(const struct model *m, int site)
{
        const struct dyn_tensor *t = &m->site_at[site]->stored;
        enum dyn_dtype dtype = dyn_dtype_block(t->dtype) == 1 ? t->dtype : DYN_BF16;

        return dyn_dtype_bytes(dtype, t->shape[0] * t->shape[1]);
}
