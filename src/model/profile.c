// What adapters cost on this device with this model (model/model.h): patches made of zeros at the first layers, timed
// between the weights' own products, so that they come from memory as they do in a step.
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "model/step.h"

#define RANK       16
#define ROWS       8
#define ROUNDS     3
#define MIN_WEIGHT ((size_t)64 << 20) // bytes of weights in a round, more than a cache holds
#define MERGE      ((size_t)16 << 20) // bytes of weights whose merge is timed, or those of a layer if that is less
#define LAYER      7                  // sites

struct profile {
        struct model *m;
        int n_sites;              // the first ones of the model
        struct dyn_lowrank *wide; // (n_sites), rank RANK
        struct dyn_lowrank *thin; // (n_sites), rank 1
        size_t wide_bytes, thin_bytes, weight_bytes;
        float *x, *y; // (device) (ROWS, the widest site)
};

static size_t patch_bytes(const struct dyn_lowrank *p)
{
        return dyn_dtype_bytes(p->dtype, (int64_t)p->rank * ((int64_t)p->n_in + p->n_out));
}

static enum dyn_status load_zeros(struct model *m, const struct dyn_site *site, int rank, const void *zeros,
        struct dyn_lowrank *p, struct dyn_error *err)
{
        struct dyn_tensor a = {DYN_BF16, 2, {rank, site->n_in, 1, 1}, zeros, 0};
        struct dyn_tensor b = {DYN_BF16, 2, {site->n_out, rank, 1, 1}, zeros, 0};

        a.bytes = dyn_dtype_bytes(a.dtype, (int64_t)rank * site->n_in);
        b.bytes = dyn_dtype_bytes(b.dtype, (int64_t)rank * site->n_out);
        return m->ops->lowrank_load(m->dev, p, &a, &b, 1, err);
}

static enum dyn_status load_patches(struct profile *p, struct dyn_error *err)
{
        struct model *m = p->m;
        size_t widest = 0;
        enum dyn_status st = DYN_OK;

        while (p->n_sites < m->sites.n && p->weight_bytes < MIN_WEIGHT) {
                const struct dyn_site *site = &m->sites.at[p->n_sites++];
                size_t width = (size_t)(site->n_in > site->n_out ? site->n_in : site->n_out);

                widest = width > widest ? width : widest;
                p->weight_bytes += model_merged_bytes(m, site - m->sites.at);
        }
        void *zeros = mem_zalloc(widest * RANK * 2);
        p->wide = mem_array((size_t)p->n_sites, sizeof *p->wide);
        p->thin = mem_array((size_t)p->n_sites, sizeof *p->thin);
        for (int i = 0; st == DYN_OK && i < p->n_sites; i++) {
                st = load_zeros(m, &m->sites.at[i], RANK, zeros, &p->wide[i], err);
                if (st == DYN_OK)
                        st = load_zeros(m, &m->sites.at[i], 1, zeros, &p->thin[i], err);
                p->wide_bytes += patch_bytes(&p->wide[i]);
                p->thin_bytes += patch_bytes(&p->thin[i]);
        }
        mem_free(zeros);
        p->x = m->ops->alloc(m->dev, widest * ROWS * sizeof *p->x);
        p->y = m->ops->alloc(m->dev, widest * ROWS * sizeof *p->y);
        if (st == DYN_OK && (p->x == NULL || p->y == NULL))
                st = dyn_fail(err, DYN_NO_MEMORY, "the device has no memory to measure what adapters cost");
        return st;
}

struct timing {
        double weights, patches; // seconds of a pass over all sites
};

static struct timing pass(struct profile *p, const struct dyn_lowrank *patches, int n_rows)
{
        struct model *m = p->m;
        int64_t weights = 0, taken = 0;

        for (int i = 0; i < p->n_sites; i++) {
                struct dyn_segment segment = {0, n_rows, {&patches[i], 1}};
                int64_t began = clock_ns();

                m->ops->gemm(m->dev, p->y, p->x, &m->site_at[i]->weight, n_rows);
                m->ops->sync(m->dev);
                int64_t then = clock_ns();
                m->ops->lowrank(m->dev, p->y, p->x, &segment, 1);
                m->ops->sync(m->dev);
                weights += then - began;
                taken += clock_ns() - then;
        }
        return (struct timing){(double)weights * 1e-9, (double)taken * 1e-9};
}

static void keep_least(struct timing *best, struct timing t)
{
        best->weights = t.weights < best->weights ? t.weights : best->weights;
        best->patches = t.patches < best->patches ? t.patches : best->patches;
}

static double at_least_zero(double x)
{
        return x > 0 ? x : 0;
}

static enum dyn_status time_merge(struct profile *p, struct model_costs *costs, struct dyn_error *err)
{
        struct model *m = p->m;
        int n = 0;
        size_t bytes = 0;
        enum dyn_status st = DYN_OK;
        int64_t began = clock_ns();

        while (st == DYN_OK && n < p->n_sites && n < LAYER && bytes < MERGE) {
                st = model_merge(m, n, &p->wide[n], err);
                bytes += model_merged_bytes(m, n++);
        }
        m->ops->sync(m->dev);
        int64_t merged = clock_ns();
        for (int i = 0; i < n; i++)
                model_restore(m, i);
        m->ops->sync(m->dev);
        costs->merge = (double)(merged - began) * 1e-9 / (double)bytes;
        costs->restore = (double)(clock_ns() - merged) * 1e-9 / (double)bytes;
        return st;
}

static enum dyn_status measure(struct profile *p, struct model_costs *costs, struct dyn_error *err)
{
        struct timing thin = {1, 1}, wide = thin, many = thin;
        double whole = (double)p->m->sites.n / p->n_sites;

        for (int i = 0; i < ROUNDS; i++) {
                keep_least(&thin, pass(p, p->thin, 1));
                keep_least(&wide, pass(p, p->wide, 1));
                keep_least(&many, pass(p, p->wide, ROWS));
        }
        double a_row = at_least_zero(many.weights - wide.weights) / (ROWS - 1);

        costs->byte = at_least_zero(wide.patches - thin.patches) / (double)(p->wide_bytes - p->thin_bytes);
        costs->row = at_least_zero(many.patches - wide.patches) / (ROWS - 1) / (double)p->wide_bytes;
        costs->call = at_least_zero(thin.patches - costs->byte * (double)p->thin_bytes) * whole;
        // What is left of one row without its arithmetic: where that is hidden behind memory, all of it.
        costs->pass = (wide.weights - (a_row < wide.weights / 2 ? a_row : wide.weights / 2)) / (double)p->weight_bytes;
        return time_merge(p, costs, err);
}

enum dyn_status model_profile(struct model *m, struct model_costs *costs, struct dyn_error *err)
{
        struct profile p = {.m = m};
        enum dyn_status st = load_patches(&p, err);

        if (st == DYN_OK)
                st = measure(&p, costs, err);
        for (int i = 0; i < p.n_sites; i++) {
                m->ops->lowrank_free(m->dev, &p.wide[i]);
                m->ops->lowrank_free(m->dev, &p.thin[i]);
        }
        m->ops->free(m->dev, p.x);
        m->ops->free(m->dev, p.y);
        mem_free(p.wide);
        mem_free(p.thin);
        return st;
}
