#include "bench_work.h"

// Numbers in the matrices of the adapters that the rows use, and their bytes on the device.
static void sum_adapters(
        struct dyn_adapter *const *adapters, int n, const struct dyn_sites *sites, double *numbers, double *bytes)
{
        *numbers = *bytes = 0;
        for (int i = 0; i < n; i++) {
                const struct dyn_adapter_info *info = dyn_adapter_info(adapters[i]);

                *bytes += (double)info->bytes;
                for (int s = 0; s < sites->n; s++)
                        *numbers += (double)info->rank * (sites->at[s].n_in + sites->at[s].n_out);
        }
}

// An embedding that is not the head, too, is hardly read; it is taken to have the dtype of most weights.
void bench_work_count(struct bench_case *c, const struct conf_bench *conf, const struct dyn_model_info *m,
        const struct dyn_sites *sites, struct dyn_adapter *const *adapters)
{
        double heads = (double)m->n_heads * m->head_dim, kv = (double)m->n_kv_heads * m->head_dim;
        double vocab = (double)m->vocab_size * m->dim, n = conf->prompt, numbers, bytes;
        double blocks = m->n_layers * (m->dim * (2 * heads + 2 * kv) + 3.0 * m->dim * m->hidden_dim);
        bool tied = (double)m->n_params < blocks + 1.5 * vocab;
        double position = 2 * m->n_layers * (double)dyn_dtype_bytes(conf->kv_dtype, (int64_t)kv);
        double context = conf->context + (conf->generate + 1) / 2.0;

        sum_adapters(adapters, c->adapters, sites, &numbers, &bytes);
        bytes += (double)m->weight_bytes;
        if (!tied)
                bytes -= (double)dyn_dtype_bytes(m->weight_dtype, (int64_t)m->vocab_size * m->dim);
        if (c->prefill) {
                c->tokens = n;
                c->flops = 2 * n * (blocks + numbers) + 2 * vocab + 4 * m->n_layers * heads * n * (n + 1) / 2;
        } else {
                c->tokens = (double)c->rows * conf->generate;
                c->bytes = conf->generate * (bytes + c->rows * context * position);
        }
}
