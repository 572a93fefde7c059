// What lies merged beside the weights (model/model.h). The base's own weight of a site is never touched.
#include "model/step.h"

enum dyn_status model_merge(struct model *m, int site, const struct dyn_lowrank *patch, struct dyn_error *err)
{
        struct site *s = m->site_at[site];
        struct dyn_term term = {patch, 1};
        enum dyn_status st = DYN_OK;

        if (s->merged == NULL)
                st = m->ops->weight_load(m->dev, &s->merged_weight, &s->stored, err);
        if (st == DYN_OK)
                st = m->ops->merge(m->dev, &s->merged_weight, &s->stored, &term, 1, err);
        s->merged = patch;
        if (st == DYN_OK)
                return DYN_OK;
        model_restore(m, site);
        return dyn_fail_in(err, m->sites.at[site].name);
}

void model_restore(struct model *m, int site)
{
        struct site *s = m->site_at[site];

        if (s->merged == NULL)
                return;
        m->ops->weight_free(m->dev, &s->merged_weight);
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
