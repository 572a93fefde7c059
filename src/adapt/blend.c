#include "adapt/blend.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "adapt/folder.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/quant.h"

// Making
// ---------------------------------------------------------------------------------------------------------------------

// As few digits as tell it from every other number.
static void add_weight(struct buf *to, double weight)
{
        char text[32];

        for (int digits = 1; digits <= 17; digits++) {
                snprintf(text, sizeof text, "%.*g", digits, weight);
                if (strtod(text, NULL) == weight)
                        break;
        }
        buf_puts(to, text);
}

static void write_name(struct buf *to, const struct blend_part *parts, int n)
{
        for (int i = 0; i < n; i++) {
                buf_printf(to, "%s%s*", i ? "+" : "", parts[i].adapter->info.name);
                add_weight(to, parts[i].weight);
        }
}

// SHA-256 over a line for each part, "SHA256 WEIGHT\n".
static void hash_parts(const struct blend_part *parts, int n, char sha256[FOLDER_HASH])
{
        unsigned char digest[32];
        struct buf text = {0};

        for (int i = 0; i < n; i++) {
                buf_printf(&text, "%s ", parts[i].adapter->info.sha256);
                add_weight(&text, parts[i].weight);
                buf_putc(&text, '\n');
        }
        EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL);
        for (int i = 0; i < 32; i++)
                snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
        buf_free(&text);
}

static float factor_of(const struct blend_part *part, float scale)
{
        return (float)(part->weight * (double)scale);
}

static void add_outline(struct outline *to, const struct outline *part, float factor)
{
        bool first = to->rank == 0;

        to->site = part->site;
        to->rank += part->rank;
        if (first || (to->dtype == part->dtype && to->scale == factor)) {
                to->dtype = part->dtype;
                to->scale = factor;
        } else {
                to->dtype = DYN_F32;
                to->scale = 1;
        }
}

// What it will have at each site, as far as its parts say it. A part of weight 0 adds nothing.
static void describe(struct dyn_adapter *a)
{
        const struct dyn_sites *sites = a->host->sites;
        struct outline *at = mem_array((size_t)sites->n, sizeof *at);
        int n = 0;

        for (int i = 0; i < a->n_parts; i++) {
                const struct dyn_adapter *part = a->parts[i].adapter;

                for (int k = 0; k < part->info.n_sites && a->parts[i].weight != 0; k++) {
                        const struct outline *o = &part->outline[k];

                        add_outline(&at[o->site], o, factor_of(&a->parts[i], o->scale));
                }
        }
        for (int i = 0; i < sites->n; i++) {
                if (at[i].rank == 0)
                        continue;
                a->info.bytes +=
                        dyn_dtype_bytes(at[i].dtype, (int64_t)at[i].rank * (sites->at[i].n_in + sites->at[i].n_out));
                if (at[i].rank > a->info.rank)
                        a->info.rank = at[i].rank;
                at[n++] = at[i];
        }
        a->outline = at;
        a->info.n_sites = n;
}

struct dyn_adapter *blend_create(const struct blend_part *parts, int n)
{
        char sha256[FOLDER_HASH];
        struct buf name = {0};

        assert(n >= 1 && n <= BLEND_MOST);
        write_name(&name, parts, n);
        hash_parts(parts, n, sha256);
        struct dyn_adapter *a = version_create(parts[0].adapter->host, name.data, name.data, sha256);

        buf_free(&name);
        a->info.kind = "blend";
        a->n_parts = n;
        a->parts = mem_array((size_t)n, sizeof *a->parts);
        for (int i = 0; i < n; i++) {
                assert(parts[i].adapter->n_parts == 0);
                a->parts[i] = parts[i];
                dyn_adapter_pin(parts[i].adapter);
        }
        describe(a);
        return a;
}

void blend_release(struct dyn_adapter *a)
{
        for (int i = 0; i < a->n_parts; i++)
                dyn_adapter_unpin(a->parts[i].adapter);
        mem_free(a->parts);
}

// Joining
// --------------------------------------------------------------------------------------------------------------------

struct joining {
        const struct dyn_adapter *blend;
        struct dyn_lowered *out; // (info.n_sites) patches
        int *patch_at;           // (sites->n) of a site
        int *filled;             // (info.n_sites) ranks that are there already
        struct dyn_error *err;
};

static struct dyn_tensor make_matrix(struct dyn_lowered *out, enum dyn_dtype dtype, int64_t rows, int64_t columns)
{
        size_t bytes = dyn_dtype_bytes(dtype, rows * columns);
        void *data = mem_alloc(bytes);

        out->keep[out->n_keep++] = data;
        return (struct dyn_tensor){
                .dtype = dtype, .n_dims = 2, .shape = {rows, columns, 1, 1}, .data = data, .bytes = bytes};
}

static void make_patches(struct joining *j)
{
        const struct dyn_sites *sites = j->blend->host->sites;
        size_t n = (size_t)j->blend->info.n_sites;

        j->out->patches = mem_array(n + 1, sizeof *j->out->patches);
        j->out->keep = mem_array(2 * n + 1, sizeof *j->out->keep);
        for (size_t i = 0; i < n; i++) {
                const struct outline *o = &j->blend->outline[i];
                const struct dyn_site *site = &sites->at[o->site];
                struct dyn_tensor a = make_matrix(j->out, o->dtype, o->rank, site->n_in);
                struct dyn_tensor b = make_matrix(j->out, o->dtype, site->n_out, o->rank);

                j->out->patches[j->out->n++] = (struct dyn_patch){o->site, a, b, o->scale};
                j->patch_at[o->site] = (int)i;
        }
        j->out->max_rank = j->blend->info.rank;
}

// n elements from one matrix into another of its type, or of f32.
static void copy(const struct dyn_tensor *to, int64_t at, const struct dyn_tensor *from, int64_t first, int64_t n)
{
        char *dst = (char *)to->data + dyn_dtype_bytes(to->dtype, at);
        const char *src = (const char *)from->data + dyn_dtype_bytes(from->dtype, first);

        if (to->dtype == from->dtype)
                memcpy(dst, src, dyn_dtype_bytes(to->dtype, n));
        else
                quant_to_f32((float *)(void *)dst, from->dtype, src, n);
}

static bool scale_row(float *x, int64_t n, float factor)
{
        bool finite = true;

        for (int64_t i = 0; i < n; i++) {
                x[i] *= factor;
                finite &= isfinite(x[i]) != 0;
        }
        return finite;
}

// The next ranks of a site: rows of A, columns of B.
static enum dyn_status add_patch(struct joining *j, const struct blend_part *part, const struct dyn_patch *p)
{
        int i = j->patch_at[p->site];
        const struct dyn_patch *to = &j->out->patches[i];
        int64_t rank = p->a.shape[0], n_in = p->a.shape[1], n_out = p->b.shape[0], all = to->a.shape[0];
        float factor = factor_of(part, p->scale);
        bool finite = isfinite(factor) != 0;

        assert(j->filled[i] + rank <= all);
        copy(&to->a, j->filled[i] * n_in, &p->a, 0, rank * n_in);
        for (int64_t o = 0; o < n_out; o++) {
                int64_t at = o * all + j->filled[i];

                copy(&to->b, at, &p->b, o * rank, rank);
                if (factor != to->scale)
                        finite &= scale_row((float *)to->b.data + at, rank, factor);
        }
        j->filled[i] += (int)rank;
        if (finite)
                return DYN_OK;
        return dyn_fail(j->err, DYN_INVALID, "adapter %s: %s: expected finite values times the weight %g, found others",
                part->adapter->info.name, j->blend->host->sites->at[p->site].name, part->weight);
}

static enum dyn_status add_part(struct joining *j, const struct blend_part *part)
{
        struct loan loan;
        enum dyn_status st = version_lend(part->adapter, &loan, j->err);

        if (st)
                return st;
        for (int i = 0; i < loan.lowered.n && st == DYN_OK; i++)
                st = add_patch(j, part, &loan.lowered.patches[i]);
        version_take_back(&loan);
        return st;
}

enum dyn_status blend_lower(const struct dyn_adapter *a, struct dyn_lowered *out, struct dyn_error *err)
{
        struct joining j = {.blend = a, .out = out, .err = err};
        enum dyn_status st = DYN_OK;

        *out = (struct dyn_lowered){0};
        j.patch_at = mem_array((size_t)a->host->sites->n, sizeof *j.patch_at);
        j.filled = mem_array((size_t)a->info.n_sites + 1, sizeof *j.filled);
        make_patches(&j);
        for (int i = 0; i < a->n_parts && st == DYN_OK; i++)
                if (a->parts[i].weight != 0)
                        st = add_part(&j, &a->parts[i]);
        mem_free(j.patch_at);
        mem_free(j.filled);
        if (st)
                dyn_lowered_finish(out);
        return st;
}
