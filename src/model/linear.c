// The words that a forward pass is written in. linear is the only place where the base and adapters meet.
#include "model/step.h"

// The patch that a group's rows have at a site, or NULL.
static const struct dyn_lowrank *patch_of(const struct model_group *g, const struct site *site)
{
        return g->patches != NULL && g->patches[site->index].rank > 0 ? &g->patches[site->index] : NULL;
}

// What is to be added to W x at a site, behind `n` segments: the rows' own patches, but for the one that the weight
// holds already; and that one is taken away from the rows that it is not for, in one segment for groups that lie
// together.
static int segments_at(struct step *s, const struct site *site, int n)
{
        for (int i = 0; s->patched && i < s->in->n_groups; i++) {
                const struct model_group *g = &s->in->groups[i];
                const struct dyn_lowrank *own = patch_of(g, site);

                if (own != NULL && own != site->merged)
                        s->segments[n++] = (struct dyn_segment){g->first_row, g->n_rows, {own, 1}};
        }
        for (int i = 0, end = -1; site->merged != NULL && i < s->in->n_groups; i++) {
                const struct model_group *g = &s->in->groups[i];

                if (patch_of(g, site) == site->merged)
                        continue;
                if (g->first_row == end)
                        s->segments[n - 1].n_rows += g->n_rows;
                else
                        s->segments[n++] = (struct dyn_segment){g->first_row, g->n_rows, {site->merged, -1}};
                end = g->first_row + g->n_rows;
        }
        return n;
}

// Where the device has nothing faster. A call of lowrank takes segments up to the first that overlaps one before it.
static void one_after_the_other(struct step *s, const struct dyn_linear *p, const float *x)
{
        s->ops->gemm(s->dev, p->y, x, p->w, s->n_rows);
        for (int i = 0, end; i < p->n_segs; i = end) {
                for (end = i + 1; end < p->n_segs && p->segs[end].first_row > p->segs[end - 1].first_row; end++)
                        ;
                s->ops->lowrank(s->dev, p->y, x, p->segs + i, end - i);
        }
}

// A step without adapters costs nothing here, and one whose adapter is merged neither.
void linear_all(struct step *s, const float *x, const struct output *out, int n)
{
        struct dyn_linear parts[DYN_MAX_PARTS];
        int n_segs = 0;

        for (int i = 0; i < n; i++) {
                const struct site *site = out[i].site;
                int end = segments_at(s, site, n_segs);

                parts[i] = (struct dyn_linear){out[i].y, &site->weight, s->segments + n_segs, end - n_segs};
                n_segs = end;
        }
        if (s->ops->linear != NULL)
                s->ops->linear(s->dev, parts, n, x, s->n_rows);
        for (int i = 0; i < n; i++) {
                const struct site *site = out[i].site;

                if (s->ops->linear == NULL)
                        one_after_the_other(s, &parts[i], x);
                if (site->bias != NULL)
                        s->ops->add_bias(s->dev, out[i].y, site->bias, site->weight.n_out, s->n_rows);
        }
}

static void linear(struct step *s, float *y, const float *x, const struct site *site)
{
        linear_all(s, x, &(struct output){y, site}, 1);
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
