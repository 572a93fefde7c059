#include "model/model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/quant.h"
#include "model/rope.h"
#include "model/step.h"
#include "model/weights.h"

static int max2(int a, int b)
{
        return a > b ? a : b;
}

static enum dyn_status open_device(struct model *m, const struct model_options *o, struct dyn_error *err)
{
        const struct model_config *c = &m->config;
        struct dyn_device_options options = {
                .n_threads = o->threads,
                .max_rows = o->step_tokens,
                .max_width = max2(max2(c->dim, c->n_heads * c->head_dim), max2(c->hidden_dim, c->vocab_size)),
                .max_context = c->max_context,
        };

        return m->ops->open(&m->dev, &options, err);
}

static enum dyn_status load_rope(struct model *m, struct dyn_error *err)
{
        const struct dyn_tensor *stored = checkpoint_rope_factors(m->checkpoint);
        int n = m->config.head_dim / 2;
        float *factors = NULL;

        if (stored != NULL) {
                if (stored->n_dims != 1 || stored->shape[0] != n || stored->dtype != DYN_F32)
                        return dyn_fail(err, DYN_INVALID, "rope_freqs.weight: expected F32 (%d)", n);
                factors = mem_array((size_t)n, sizeof *factors);
                quant_to_f32(factors, DYN_F32, stored->data, n);
        }
        for (int i = 0; factors != NULL && i < n; i++)
                if (!(factors[i] > 0 && factors[i] < INFINITY)) {
                        mem_free(factors);
                        return dyn_fail(err, DYN_INVALID, "rope_freqs.weight: expected numbers above 0");
                }
        m->inv_freq = mem_array((size_t)n, sizeof *m->inv_freq);
        rope_frequencies(m->inv_freq, &m->config, factors);
        mem_free(factors);
        return DYN_OK;
}

static enum dyn_status load_weights(struct model *m, const struct model_options *o, struct dyn_error *err)
{
        enum dyn_status st;

        m->weights = weights_create(m, o->weights, o->progress, o->ctx);
        m->layers = mem_array((size_t)m->config.n_layers, sizeof *m->layers);
        if ((st = m->arch->load(m, m->weights, err)) || (st = weights_check_all_used(m->weights, err)))
                return st;
        weights_log_dequantised(m->weights);
        if (m->config.tied_head) {
                m->head = m->embed;
                m->head.owned = NULL;
        }
        m->facts.hash = checkpoint_hash(m->checkpoint);
        return load_rope(m, err);
}

// Room for n rows of a width on the device; NULL is remembered in *failed.
static float *rows(struct model *m, int n, int width, bool *failed)
{
        float *p = m->ops->alloc(m->dev, (size_t)n * (size_t)width * sizeof *p);

        *failed |= p == NULL;
        return p;
}

static enum dyn_status create_scratch(struct model *m, struct dyn_error *err)
{
        const struct model_config *c = &m->config;
        int n = m->step_tokens, q_dim = c->n_heads * c->head_dim, kv_dim = c->n_kv_heads * c->head_dim;
        bool failed = false;

        m->step = (struct step){
                .model = m,
                .c = c,
                .ops = m->ops,
                .dev = m->dev,
                .x = rows(m, n, c->dim, &failed),
                .h = rows(m, n, max2(c->dim, q_dim), &failed),
                .q = rows(m, n, q_dim, &failed),
                .k = rows(m, n, kv_dim, &failed),
                .v = rows(m, n, kv_dim, &failed),
                .gate = rows(m, n, c->hidden_dim, &failed),
                .up = rows(m, n, c->hidden_dim, &failed),
                .sum = rows(m, n, c->dim, &failed),
                .rope_table = rows(m, n, c->head_dim, &failed),
                .segments = mem_array((size_t)n * DYN_MAX_PARTS, sizeof(struct dyn_segment)),
        };
        m->picked = rows(m, m->max_logit_rows, c->dim, &failed);
        m->logits = rows(m, m->max_logit_rows, c->vocab_size, &failed);
        m->rope_host = mem_array((size_t)n * (size_t)c->head_dim, sizeof *m->rope_host);
        return failed ? dyn_fail(err, DYN_NO_MEMORY, "the device has no memory for the scratch of a step of %d tokens",
                                n)
                      : DYN_OK;
}

enum dyn_status model_open(struct model **out, const struct model_options *o, struct dyn_error *err)
{
        struct model *m = mem_zalloc(sizeof *m);
        enum dyn_status st = checkpoint_open(&m->checkpoint, o->path, err);

        if (st != DYN_OK)
                goto failed;
        m->config = *checkpoint_config(m->checkpoint);
        m->ops = o->ops;
        m->step_tokens = o->step_tokens;
        m->max_logit_rows = o->max_logit_rows;
        m->arch = dyn_arch_find(m->config.arch);
        if (o->max_context > 0 && o->max_context < m->config.max_context)
                m->config.max_context = o->max_context;
        if (m->arch == NULL)
                st = dyn_fail(err, DYN_UNSUPPORTED, "architecture: expected one of %s, found \"%s\"", dyn_arch_names(),
                        m->config.arch);
        if (st != DYN_OK || (st = open_device(m, o, err)) || (st = load_weights(m, o, err)) ||
                (st = create_scratch(m, err))) {
                dyn_fail_in(err, o->path);
                goto failed;
        }
        *out = m;
        return DYN_OK;
failed:
        model_close(m);
        return st;
}

static void free_layers(struct model *m)
{
        for (int i = 0; m->layers != NULL && i < m->config.n_layers; i++) {
                struct layer *l = &m->layers[i];
                struct site *sites[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};

                for (size_t k = 0; k < sizeof sites / sizeof *sites; k++)
                        weights_release_site(m, sites[k]);
                m->ops->free(m->dev, l->attn_norm);
                m->ops->free(m->dev, l->ffn_norm);
        }
        mem_free(m->layers);
        for (int i = 0; i < m->sites.n; i++)
                mem_free((void *)m->sites.at[i].name);
        mem_free((void *)m->sites.at);
        mem_free(m->site_at);
}

static void free_on_device(struct model *m)
{
        struct step *s = &m->step;
        float *blocks[] = {
                s->x, s->h, s->q, s->k, s->v, s->gate, s->up, s->sum, s->rope_table, m->picked, m->logits, m->out_norm};

        free_layers(m);
        for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
                m->ops->free(m->dev, blocks[i]);
        m->ops->weight_free(m->dev, &m->embed);
        m->ops->weight_free(m->dev, &m->head);
        m->ops->close(m->dev);
}

void model_close(struct model *m)
{
        if (m == NULL)
                return;
        if (m->dev != NULL)
                free_on_device(m);
        mem_free(m->step.segments);
        mem_free(m->rope_host);
        mem_free(m->inv_freq);
        weights_destroy(m->weights);
        checkpoint_close(m->checkpoint);
        mem_free(m);
}

const struct model_config *model_config(const struct model *m)
{
        return &m->config;
}

const struct dyn_sites *model_sites(const struct model *m)
{
        return &m->sites;
}

const struct dyn_backend_ops *model_ops(const struct model *m)
{
        return m->ops;
}

struct dyn_device *model_device(const struct model *m)
{
        return m->dev;
}

const struct model_facts *model_facts(const struct model *m)
{
        return &m->facts;
}

// Bytes of K, and the same of V, of one page in all layers.
static size_t half_page_bytes(const struct model *m, enum dyn_dtype dtype)
{
        const struct model_config *c = &m->config;

        return dyn_dtype_bytes(dtype, (int64_t)c->n_layers * c->n_kv_heads * DYN_PAGE_TOKENS * c->head_dim);
}

size_t model_kv_page_bytes(const struct model *m, enum dyn_dtype dtype)
{
        return 2 * half_page_bytes(m, dtype);
}

enum dyn_status model_kv_create(
        struct model *m, int n_pages, enum dyn_dtype dtype, struct dyn_kv *kv, struct dyn_error *err)
{
        const struct model_config *c = &m->config;
        size_t bytes = half_page_bytes(m, dtype) * (size_t)n_pages;

        *kv = (struct dyn_kv){dtype, c->n_layers, n_pages, c->n_kv_heads, c->head_dim, NULL, NULL};
        kv->k = m->ops->alloc(m->dev, bytes);
        kv->v = m->ops->alloc(m->dev, bytes);
        if (kv->k != NULL && kv->v != NULL)
                return DYN_OK;
        model_kv_destroy(m, kv);
        return dyn_fail(
                err, DYN_NO_MEMORY, "the device has no %zu MiB for the KV cache: lower --kv-memory", 2 * bytes >> 20);
}

void model_kv_destroy(struct model *m, struct dyn_kv *kv)
{
        m->ops->free(m->dev, kv->k);
        m->ops->free(m->dev, kv->v);
        *kv = (struct dyn_kv){0};
}

static bool any_patched(const struct model_step *in)
{
        for (int i = 0; i < in->n_groups; i++)
                if (in->groups[i].patches != NULL)
                        return true;
        return false;
}

static void run_head(struct model *m, const struct model_step *in, float *logits)
{
        const struct model_config *c = &m->config;
        struct step *s = &m->step;

        if (in->n_logits == 0)
                return;
        m->ops->gather(m->dev, m->picked, s->x, in->logit_rows, in->n_logits, c->dim);
        m->ops->rmsnorm(m->dev, m->picked, m->picked, m->out_norm, (float)c->norm_eps, c->dim, in->n_logits);
        m->ops->gemm(m->dev, m->logits, m->picked, &m->head, in->n_logits);
        m->ops->download(m->dev, logits, m->logits, (size_t)in->n_logits * (size_t)c->vocab_size * sizeof *logits);
}

enum dyn_status model_run(
        struct model *m, const struct dyn_kv *kv, const struct model_step *in, float *logits, struct dyn_error *err)
{
        struct step *s = &m->step;

        assert(in->n_rows > 0 && in->n_rows <= m->step_tokens && in->n_logits <= m->max_logit_rows);
        s->kv = kv;
        s->in = in;
        s->n_rows = in->n_rows;
        s->patched = any_patched(in);
        rope_fill(m->rope_host, m->inv_freq, m->config.head_dim, in->spans, in->n_spans);
        m->ops->upload(
                m->dev, s->rope_table, m->rope_host, (size_t)in->n_rows * (size_t)m->config.head_dim * sizeof(float));
        m->arch->forward(s);
        run_head(m, in, logits);
        return DYN_OK;
}
