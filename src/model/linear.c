// The words that a forward pass is written in. linear is the only place where the base and adapters meet.
#include "model/step.h"

// The patch that a group's rows have at a site, or NULL.
static const struct dyn_lowrank *patch_of(const struct model_group *g, const struct site *site)
{
        return g->patches != NULL && g->patches[site->index].rank > 0 ? &g->patches[site->index] : NULL;
}

// What the rows' own adapters add, but for the one that the weight holds already.
static void add_patches(struct step *s, float *y, const float *x, const struct site *site)
{
        int n = 0;

        for (int i = 0; i < s->in->n_groups; i++) {
                const struct model_group *g = &s->in->groups[i];
                const struct dyn_lowrank *own = patch_of(g, site);

                if (own != NULL && own != site->merged)
                        s->segments[n++] = (struct dyn_segment){g->first_row, g->n_rows, {own, 1}};
        }
        if (n > 0)
                s->ops->lowrank(s->dev, y, x, s->segments, n);
}

// Rows that the merged patch is not for: groups that lie together make one segment.
static void take_merged_away(struct step *s, float *y, const float *x, const struct site *site)
{
        int n = 0;

        for (int i = 0, end = -1; i < s->in->n_groups; i++) {
                const struct model_group *g = &s->in->groups[i];

                if (patch_of(g, site) == site->merged)
                        continue;
                if (g->first_row == end)
                        s->segments[n - 1].n_rows += g->n_rows;
                else
                        s->segments[n++] = (struct dyn_segment){g->first_row, g->n_rows, {site->merged, -1}};
                end = g->first_row + g->n_rows;
        }
        if (n > 0)
                s->ops->lowrank(s->dev, y, x, s->segments, n);
}

// A step without adapters costs nothing here, and one whose adapter is merged neither.
void linear(struct step *s, float *y, const float *x, const struct site *site)
{
        s->ops->gemm(s->dev, y, x, &site->weight, s->n_rows);
        if (s->patched)
                add_patches(s, y, x, site);
        if (site->merged != NULL)
                take_merged_away(s, y, x, site);
        if (site->bias != NULL)
                s->ops->add_bias(s->dev, y, site->bias, site->weight.n_out, s->n_rows);
}

void linear_add(struct step *s, float *x, const float *h, const struct site *site)
{
        linear(s, s->sum, h, site);
        s->ops->add(s->dev, x, s->sum, (size_t)s->n_rows * (size_t)site->weight.n_out);
}

void embed(struct step *s, float *x)
{
        s->ops->embed(s->dev, x, &s->model->embed, s->in->tokens, s->n_rows);
}

void rmsnorm(struct step *s, float *y, const float *x, const float *weight)
{
        s->ops->rmsnorm(s->dev, y, x, weight, (float)s->c->norm_eps, s->c->dim, s->n_rows);
}

void rope(struct step *s, float *q, float *k)
{
        s->ops->rope(s->dev, q, s->rope_table, s->c->n_heads, s->c->head_dim, s->n_rows);
        s->ops->rope(s->dev, k, s->rope_table, s->c->n_kv_heads, s->c->head_dim, s->n_rows);
}

void kv_write(struct step *s, int layer, const float *k, const float *v)
{
        s->ops->kv_write(s->dev, s->kv, layer, k, v, s->in->spans, s->in->n_spans);
}

void attention(struct step *s, float *out, const float *q, int layer)
{
        s->ops->attention(s->dev, out, q, s->kv, layer, s->c->n_heads, s->in->spans, s->in->n_spans);
}

void silu_mul(struct step *s, float *gate, const float *up)
{
        s->ops->silu_mul(s->dev, gate, up, (size_t)s->n_rows * (size_t)s->c->hidden_dim);
}
