#include "model/weights.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "base/quant.h"

struct block {
        void *data;
        size_t bytes;
};

struct weights {
        struct model *model;
        struct block *blocks; // copies that the device may use in place
        int n_blocks;
        struct map used; // names that were asked for, as the files spell them
        size_t bytes_by_dtype[DYN_N_DTYPES];
        enum dyn_weights form;
        int dequantised[DYN_N_DTYPES]; // tensors that no kernel reads as they lie
        void (*progress)(void *ctx, const char *what, double done);
        void *ctx;
        double bytes_done, bytes_total;
};

struct weights *weights_create(
        struct model *m, enum dyn_weights form, void (*progress)(void *ctx, const char *what, double done), void *ctx)
{
        struct weights *w = mem_zalloc(sizeof *w);

        w->model = m;
        w->form = form;
        w->progress = progress;
        w->ctx = ctx;
        w->bytes_total = 1;
        for (int i = 0; i < checkpoint_count(m->checkpoint); i++) {
                const char *name;

                w->bytes_total += (double)checkpoint_at(m->checkpoint, i, &name)->bytes;
        }
        return w;
}

void weights_destroy(struct weights *w)
{
        if (w == NULL)
                return;
        for (int i = 0; i < w->n_blocks; i++)
                mem_unmap(w->blocks[i].data, w->blocks[i].bytes);
        mem_free(w->blocks);
        map_free(&w->used);
        mem_free(w);
}

static void *new_block(struct weights *w, size_t bytes)
{
        void *data = mem_map(bytes);

        if (data != NULL) {
                w->blocks = mem_realloc(w->blocks, (size_t)(w->n_blocks + 1) * sizeof *w->blocks);
                w->blocks[w->n_blocks++] = (struct block){data, bytes};
        }
        return data;
}

// Finds the tensor and holds its type and shape against what the architecture says.
static enum dyn_status find(
        struct weights *w, const char *name, int rows, int cols, const struct dyn_tensor **out, struct dyn_error *err)
{
        const char *stored_as;
        const struct dyn_tensor *t = checkpoint_find(w->model->checkpoint, name, &stored_as);
        int n_dims = cols ? 2 : 1;

        if (t == NULL)
                return dyn_fail(err, DYN_INVALID, "%s: the checkpoint has no such tensor", name);
        if (t->n_dims < 0)
                return dyn_fail(err, DYN_UNSUPPORTED, "%s: its element type is not supported", name);
        if (t->n_dims != n_dims || t->shape[0] != rows || (cols && t->shape[1] != cols)) {
                char found[96];
                int at = 0;

                for (int i = 0; i < t->n_dims; i++)
                        at += snprintf(
                                found + at, sizeof found - (size_t)at, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
                if (cols)
                        return dyn_fail(err, DYN_INVALID, "%s: expected (%d, %d), found (%s)", name, rows, cols, found);
                return dyn_fail(err, DYN_INVALID, "%s: expected (%d), found (%s)", name, rows, found);
        }
        map_put(&w->used, stored_as, strlen(stored_as), 1);
        w->bytes_done += (double)t->bytes;
        *out = t;
        return DYN_OK;
}

// What a tensor of this type is held as.
static enum dyn_status choose(struct weights *w, enum dyn_dtype *dtype, struct dyn_error *err)
{
        struct model *m = w->model;
        bool native = m->ops->weight_dtype(m->dev, *dtype);

        if (dyn_dtype_block(*dtype) == 1 || (native && w->form != DYN_WEIGHTS_BF16))
                return DYN_OK;
        if (!native && w->form == DYN_WEIGHTS_NATIVE)
                return dyn_fail(err, DYN_UNSUPPORTED, "--weights native: no kernel of backend %s reads %s as it lies",
                        m->ops->name, dyn_dtype_name(*dtype));
        w->dequantised[*dtype] += !native;
        *dtype = DYN_BF16;
        return DYN_OK;
}

// A copy of a type that was chosen, where its elements are aligned.
static enum dyn_status convert(struct weights *w, struct dyn_tensor *t, enum dyn_dtype dtype, struct dyn_error *err)
{
        int rows = (int)t->shape[0];
        int64_t cols = t->n_dims == 2 ? t->shape[1] : 1;
        size_t from = dyn_dtype_bytes(t->dtype, cols), to = dyn_dtype_bytes(dtype, cols), bytes = to * (size_t)rows;
        char *data = new_block(w, bytes);

        if (data == NULL)
                return dyn_fail(err, DYN_NO_MEMORY, "no memory for a tensor of %zu bytes", bytes);
        float *row = mem_array((size_t)cols, sizeof *row);
        if (dtype == t->dtype)
                memcpy(data, t->data, bytes);
        for (int i = 0; dtype != t->dtype && i < rows; i++) {
                quant_to_f32(row, t->dtype, (const char *)t->data + (size_t)i * from, cols);
                quant_from_f32(data + (size_t)i * to, dtype, row, cols);
        }
        mem_free(row);
        mem_drop(t->data, t->bytes);
        t->data = data;
        t->dtype = dtype;
        t->bytes = bytes;
        return DYN_OK;
}

// *stored is what the device was given.
static enum dyn_status load_matrix(struct weights *w, struct dyn_weight *out, struct dyn_tensor *stored, int n_out,
        int n_in, const char *name, struct dyn_error *err)
{
        struct model *m = w->model;
        const struct dyn_tensor *found;
        enum dyn_status st = find(w, name, n_out, n_in, &found, err);

        if (st != DYN_OK)
                return st;
        struct dyn_tensor t = *found;
        enum dyn_dtype dtype = t.dtype;
        bool aligned = (uintptr_t)t.data % (t.dtype == DYN_F32 ? 4 : 2) == 0;
        if ((st = choose(w, &dtype, err)))
                return dyn_fail_in(err, name), st;
        if (aligned && dtype == t.dtype)
                m->facts.mapped_bytes += t.bytes;
        else if ((st = convert(w, &t, dtype, err)))
                return dyn_fail_in(err, name), st;
        w->bytes_by_dtype[t.dtype] += t.bytes;
        m->facts.weight_bytes += t.bytes;
        m->facts.n_params += (int64_t)n_out * n_in;
        if (w->bytes_by_dtype[t.dtype] >= w->bytes_by_dtype[m->facts.weight_dtype])
                m->facts.weight_dtype = t.dtype;
        if (w->progress != NULL)
                w->progress(w->ctx, name, w->bytes_done / w->bytes_total);
        *stored = t;
        return m->ops->weight_load(m->dev, out, &t, err);
}

enum dyn_status weights_matrix(
        struct weights *w, struct dyn_weight *out, int n_out, int n_in, const char *name, struct dyn_error *err)
{
        struct dyn_tensor stored;

        return load_matrix(w, out, &stored, n_out, n_in, name, err);
}

static enum dyn_status load_vector(struct weights *w, const char *name, int n, float **out, struct dyn_error *err)
{
        struct model *m = w->model;
        const struct dyn_tensor *found;
        enum dyn_status st = find(w, name, n, 0, &found, err);

        if (st != DYN_OK)
                return st;
        if (dyn_dtype_block(found->dtype) != 1)
                return dyn_fail(err, DYN_UNSUPPORTED, "%s: expected F32, F16 or BF16, found %s", name,
                        dyn_dtype_name(found->dtype));
        *out = m->ops->alloc(m->dev, (size_t)n * sizeof **out);
        if (*out == NULL)
                return dyn_fail(err, DYN_NO_MEMORY, "%s: the device has no memory for it", name);
        float *stored = mem_array((size_t)n, sizeof *stored);
        quant_to_f32(stored, found->dtype, found->data, n);
        m->ops->upload(m->dev, *out, stored, (size_t)n * sizeof **out);
        mem_free(stored);
        m->facts.n_params += n;
        m->facts.weight_bytes += (size_t)n * sizeof **out;
        return DYN_OK;
}

enum dyn_status weights_vector(
        struct weights *w, float **out, int n, struct dyn_error *err, const char *name_format, ...)
{
        char name[128];
        va_list args;

        va_start(args, name_format);
        vsnprintf(name, sizeof name, name_format, args);
        va_end(args);
        return load_vector(w, name, n, out, err);
}

static int paired_heads(const struct model_config *c, const char *path)
{
        if (!c->paired)
                return 0;
        return strstr(path, "q_proj") ? c->n_heads : strstr(path, "k_proj") ? c->n_kv_heads : 0;
}

static int enter_site(struct model *m, struct site *site, const char *path, int layer, int n_out, int n_in)
{
        struct dyn_site *at = mem_realloc((void *)m->sites.at, (size_t)(m->sites.n + 1) * sizeof *at);

        at[m->sites.n] = (struct dyn_site){mem_strdup(path), layer, n_in, n_out, paired_heads(&m->config, path)};
        m->sites.at = at;
        m->site_at = mem_realloc(m->site_at, (size_t)(m->sites.n + 1) * sizeof(struct site *));
        m->site_at[m->sites.n] = site;
        return m->sites.n++;
}

enum dyn_status weights_site(struct weights *w, struct site *site, int n_out, int n_in, bool bias, int layer,
        const char *name, struct dyn_error *err)
{
        char path[96], tensor[128];
        const char *stored_as;
        enum dyn_status st;

        snprintf(path, sizeof path, "model.layers.%d.%s", layer, name);
        snprintf(tensor, sizeof tensor, "%s.weight", path);
        site->index = enter_site(w->model, site, path, layer, n_out, n_in);
        if ((st = load_matrix(w, &site->weight, &site->stored, n_out, n_in, tensor, err)))
                return st;
        snprintf(tensor, sizeof tensor, "%s.bias", path);
        // GGUF does not say which layers have a bias: there its presence decides.
        if (strcmp(checkpoint_format(w->model->checkpoint), "gguf") == 0)
                bias = checkpoint_find(w->model->checkpoint, tensor, &stored_as) != NULL;
        return bias ? load_vector(w, tensor, n_out, &site->bias, err) : DYN_OK;
}

// Tensors that some tools write and that no forward pass needs.
static bool is_inert(const struct model *m, const char *name)
{
        return strstr(name, "rotary_emb.inv_freq") != NULL || strcmp(name, "rope_freqs.weight") == 0 ||
               (m->config.tied_head && strcmp(name, "lm_head.weight") == 0);
}

enum dyn_status weights_check_all_used(struct weights *w, struct dyn_error *err)
{
        const struct checkpoint *c = w->model->checkpoint;

        for (int i = 0; i < checkpoint_count(c); i++) {
                const char *name;
                uint64_t seen;

                checkpoint_at(c, i, &name);
                if (!is_inert(w->model, name) && !map_get(&w->used, name, strlen(name), &seen))
                        return dyn_fail(err, DYN_UNSUPPORTED, "tensor %s is not part of a %s model", name,
                                w->model->arch->name);
        }
        return DYN_OK;
}

void weights_log_dequantised(const struct weights *w)
{
        for (int d = 0; d < DYN_N_DTYPES; d++)
                if (w->dequantised[d] > 0)
                        log_info("%d tensors of type %s have no kernel in backend %s: they are held as BF16",
                                w->dequantised[d], dyn_dtype_name((enum dyn_dtype)d), w->model->ops->name);
}

void weights_release_site(struct model *m, struct site *site)
{
        m->ops->weight_free(m->dev, &site->weight);
        m->ops->weight_free(m->dev, &site->merged_weight);
        m->ops->free(m->dev, site->bias);
}
