// The words that a forward pass is written in. linear is the only place where the base and adapters meet.
#include "model/step.h"

// One segment for each group that has a patch at this site; returns how many.
static int patches_at(struct step *s, int site)
{
        int n = 0;

        for (int i = 0; i < s->in->n_groups; i++) {
                const struct model_group *g = &s->in->groups[i];

                if (g->patches != NULL && g->patches[site].rank > 0)
                        s->segments[n++] = (struct dyn_segment){g->first_row, g->n_rows, {&g->patches[site], 1}};
        }
        return n;
}

// A step without adapters costs nothing here.
void linear(struct step *s, float *y, const float *x, const struct site *site)
{
        int n_segs = s->patched ? patches_at(s, site->index) : 0;

        s->ops->gemm(s->dev, y, x, &site->weight, s->n_rows);
        if (n_segs > 0)
                s->ops->lowrank(s->dev, y, x, s->segments, n_segs);
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
