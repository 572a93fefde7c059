// The words that a forward pass is written in. linear is the only place where the base and adapters meet.
#include "model/step.h"

// The patch that a group's rows have at a site, or NULL.
static const struct dyn_lowrank *patch_of(const struct model_group *g, const struct site *site)
{
        return g->patches != NULL && g->patches[site->index].rank > 0 ? &g->patches[site->index] : NULL;
}

// Whether the site's merged weight is the one for the rows of a group.
static bool is_merged_for(const struct site *site, const struct model_group *g)
{
        return g->merged && site->merged != NULL && patch_of(g, site) == site->merged;
}

// One segment for each group of a range that has a patch at the site, with rows counted from the first of the range.
static int segments_at(const struct site *site, const struct model_group *range, int n_groups, struct dyn_segment *segs)
{
        int n = 0;

        for (int i = 0; i < n_groups; i++) {
                const struct dyn_lowrank *own = patch_of(&range[i], site);

                if (own != NULL)
                        segs[n++] =
                                (struct dyn_segment){range[i].first_row - range->first_row, range[i].n_rows, {own, 1}};
        }
        return n;
}

static void run(struct step *s, const struct dyn_linear *parts, int n, const float *x, int n_rows)
{
        if (s->ops->linear != NULL) {
                s->ops->linear(s->dev, parts, n, x, n_rows);
                return;
        }
        for (int i = 0; i < n; i++) {
                s->ops->gemm(s->dev, parts[i].y, x, parts[i].w, n_rows);
                if (parts[i].n_segs > 0)
                        s->ops->lowrank(s->dev, parts[i].y, x, parts[i].segs, parts[i].n_segs);
        }
}

// The rows of some groups: of several that no merged weight here is for, or of one.
static void run_range(
        struct step *s, const float *x, const struct output *out, int n, const struct model_group *range, int n_groups)
{
        struct dyn_linear parts[DYN_MAX_PARTS];
        size_t first = (size_t)range->first_row;
        int n_rows = range[n_groups - 1].first_row + range[n_groups - 1].n_rows - range->first_row, n_segs = 0;

        for (int i = 0; i < n; i++) {
                const struct site *site = out[i].site;
                bool merged = is_merged_for(site, range);
                struct dyn_segment *segs = s->segments + n_segs;

                parts[i] = (struct dyn_linear){.y = out[i].y + first * (size_t)site->weight.n_out,
                        .w = merged ? &site->merged_weight : &site->weight,
                        .segs = segs,
                        .n_segs = merged || !s->patched ? 0 : segments_at(site, range, n_groups, segs)};
                n_segs += parts[i].n_segs;
        }
        run(s, parts, n, x + first * (size_t)out->site->weight.n_in, n_rows);
}

static bool any_merged_for(const struct output *out, int n, const struct model_group *g)
{
        for (int i = 0; i < n; i++)
                if (is_merged_for(out[i].site, g))
                        return true;
        return false;
}

// A step without adapters costs nothing here, and one whose only adapter is merged neither. Rows of others beside it
// are computed on the base's own weights, which are then read, too: so they give the same bits as without any merge.
void linear_all(struct step *s, const float *x, const struct output *out, int n)
{
        const struct model_group *groups = s->in->groups;

        for (int i = 0, end; i < s->in->n_groups; i = end) {
                bool merged = any_merged_for(out, n, &groups[i]);

                for (end = i + 1; end < s->in->n_groups && !merged && !any_merged_for(out, n, &groups[end]); end++)
                        ;
                run_range(s, x, out, n, &groups[i], end - i);
        }
        for (int i = 0; i < n; i++) {
                const struct site *site = out[i].site;

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
        s->ops->rope(s->dev, q, s->rope_table, s->c->paired, s->c->n_heads, s->c->head_dim, s->n_rows);
        s->ops->rope(s->dev, k, s->rope_table, s->c->paired, s->c->n_kv_heads, s->c->head_dim, s->n_rows);
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
