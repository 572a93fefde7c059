// LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021) and rank-stabilised LoRA (Kalajdzievski,
// "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023): y += s B (A x), s = alpha / r, or
// alpha / sqrt(r). Lowered to one low-rank patch a site; nothing after the loader knows the words. Format: PEFT's
// `<module>.lora_A.weight` (r, n_in) and `<module>.lora_B.weight` (n_out, r).
#include "adapters/lora.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "adapters/lora_config.h"
#include "adapters/peft.h"
#include "base/alloc.h"
#include "base/aside.h"
#include "base/map.h"
#include "base/quant.h"
#include "io/safetensors.h"

// The tensors of one site, NULL if missing.
struct pair {
        const struct dyn_tensor *a, *b;
};

struct lowering {
        const struct safetensors *file;
        const struct dyn_sites *sites;
        struct lora_config config;
        struct pair *pairs; // (sites->n)
        bool known_finite;
        struct dyn_lowered *out;
        struct dyn_error *err;
};

static enum dyn_status fail(struct lowering *l, enum dyn_status status, const char *module, char part,
        const char *expected, const char *found)
{
        return dyn_fail(
                l->err, status, PEFT_WEIGHTS ": %.160s.lora_%c: expected %s, found %s", module, part, expected, found);
}

// Tensors
// --------------------------------------------------------------------------------------------------------------------

// Takes note of a tensor at its site.
static enum dyn_status place(struct lowering *l, const struct map *index, int tensor)
{
        static const char *const suffixes[] = {
                ".lora_A.weight", ".lora_A.default.weight", ".lora_B.weight", ".lora_B.default.weight"};
        const char *name = safetensors_name(l->file, tensor);
        int which;
        size_t len;
        uint64_t site;
        const char *module = peft_module(name, suffixes, 4, &which, &len);

        if (module == NULL)
                return dyn_fail(l->err, DYN_INVALID,
                        PEFT_WEIGHTS ": %.200s: expected " PEFT_PREFIX
                                     "MODULE.lora_A.weight or .lora_B.weight and nothing else",
                        name);
        if (!map_get(index, module, len, &site))
                return dyn_fail(l->err, DYN_INVALID,
                        PEFT_WEIGHTS ": %.200s: expected a layer of the base that can be adapted, found none of that "
                                     "name",
                        name);
        const struct dyn_tensor **slot = which < 2 ? &l->pairs[site].a : &l->pairs[site].b;
        if (*slot != NULL)
                return dyn_fail(l->err, DYN_INVALID, PEFT_WEIGHTS ": %.200s: expected one tensor, found two", name);
        *slot = safetensors_at(l->file, tensor);
        return DYN_OK;
}

static enum dyn_status place_all(struct lowering *l)
{
        struct map index = {0};
        enum dyn_status st = DYN_OK;

        for (int i = 0; i < l->sites->n; i++)
                map_put(&index, l->sites->at[i].name, strlen(l->sites->at[i].name), (uint64_t)i);
        for (int i = 0; i < safetensors_count(l->file) && st == DYN_OK; i++)
                st = place(l, &index, i);
        map_free(&index);
        return st;
}

static const char *describe(const struct dyn_tensor *t, char *text, size_t cap)
{
        size_t n = 0;

        if (t->n_dims < 0)
                return "another element type";
        n += (size_t)snprintf(text, cap, "(");
        for (int i = 0; i < t->n_dims; i++)
                n += (size_t)snprintf(text + n, cap - n, i ? ", %lld" : "%lld", (long long)t->shape[i]);
        snprintf(text + n, cap - n, ")");
        return text;
}

static enum dyn_status check_shape(
        struct lowering *l, const char *module, char part, const struct dyn_tensor *t, int rows, int columns)
{
        char expected[80], found[120];
        bool plain = t->n_dims >= 0 && (t->dtype == DYN_F32 || t->dtype == DYN_F16 || t->dtype == DYN_BF16);

        if (plain && t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == columns)
                return DYN_OK;
        snprintf(expected, sizeof expected, plain ? "(%d, %d)" : "(%d, %d) of F32, F16 or BF16", rows, columns);
        return fail(l, DYN_INVALID, module, part, expected, describe(t, found, sizeof found));
}

// Whether no element is infinite or NaN: by the exponents, in words as wide as an element, so that the compiler takes
// many at once.
#define ALL_FINITE(type)                                                                                               \
        static bool all_finite_##type(const unsigned char *p, int64_t n, type exponent)                                \
        {                                                                                                              \
                type bad = 0;                                                                                          \
                                                                                                                       \
                for (int64_t i = 0; i < n; i++) {                                                                      \
                        type x;                                                                                        \
                                                                                                                       \
                        memcpy(&x, p + sizeof x * (size_t)i, sizeof x);                                                \
                        bad |= (type) - ((x & exponent) == exponent);                                                  \
                }                                                                                                      \
                return bad == 0;                                                                                       \
        }
ALL_FINITE(uint16_t)
ALL_FINITE(uint32_t)

static bool row_is_finite(const struct dyn_tensor *t, int64_t row)
{
        int64_t n = t->shape[1];
        const unsigned char *p = (const unsigned char *)t->data + dyn_dtype_bytes(t->dtype, n) * (size_t)row;

        return t->dtype == DYN_F32 ? all_finite_uint32_t(p, n, 0x7f800000)
                                   : all_finite_uint16_t(p, n, t->dtype == DYN_F16 ? 0x7c00 : 0x7f80);
}

static enum dyn_status check_finite(struct lowering *l, const char *module, char part, const struct dyn_tensor *t)
{
        size_t element = dyn_dtype_bytes(t->dtype, 1);
        char found[80];

        if (l->known_finite)
                return DYN_OK;
        for (int64_t row = 0; row < t->shape[0]; row++) {
                if (row_is_finite(t, row))
                        continue;
                for (int64_t i = 0; i < t->shape[1]; i++) {
                        float x;

                        quant_to_f32(
                                &x, t->dtype, (const char *)t->data + element * (size_t)(row * t->shape[1] + i), 1);
                        if (isfinite(x))
                                continue;
                        snprintf(found, sizeof found, "%g at (%lld, %lld)", (double)x, (long long)row, (long long)i);
                        return fail(l, DYN_INVALID, module, part, "finite values", found);
                }
        }
        return DYN_OK;
}

static void *keep(struct dyn_lowered *out, size_t bytes)
{
        out->keep = mem_realloc(out->keep, (size_t)(out->n_keep + 1) * sizeof *out->keep);
        return out->keep[out->n_keep++] = mem_alloc(bytes);
}

// The tensor as a patch can have it: of that type, and aligned to its elements.
static struct dyn_tensor prepare(struct dyn_lowered *out, const struct dyn_tensor *t, enum dyn_dtype dtype)
{
        struct dyn_tensor ready = *t;
        int64_t n = t->shape[0] * t->shape[1];

        if (t->dtype == dtype && (uintptr_t)t->data % dyn_dtype_bytes(dtype, 1) == 0)
                return ready;
        void *copy = keep(out, dyn_dtype_bytes(dtype, n));
        if (t->dtype == dtype)
                memcpy(copy, t->data, t->bytes);
        else
                quant_to_f32(copy, t->dtype, t->data, n);
        ready.dtype = dtype;
        ready.data = copy;
        ready.bytes = dyn_dtype_bytes(dtype, n);
        return ready;
}

// Sites
// ----------------------------------------------------------------------------------------------------------------------

// The configuration says which sites are adapted and the tensors say it too: they must agree.
static enum dyn_status check_presence(struct lowering *l, const struct dyn_site *site, const struct pair *pair)
{
        bool targeted;
        enum dyn_status st = target_includes(&l->config.target, site->name, site->layer, &targeted, l->err);

        if (st)
                return st;
        if (!targeted && (pair->a || pair->b))
                return fail(l, DYN_INVALID, site->name, pair->a ? 'A' : 'B',
                        "no tensor, since " PEFT_CONFIG " does not target this module", "one");
        if (targeted && (!pair->a || !pair->b))
                return fail(l, DYN_INVALID, site->name, pair->a ? 'B' : 'A',
                        "a tensor, since " PEFT_CONFIG " targets this module", "none");
        return DYN_OK;
}

static enum dyn_status lower_site(struct lowering *l, int i)
{
        const struct dyn_site *site = &l->sites->at[i];
        const struct pair *pair = &l->pairs[i];
        struct dyn_patch patch = {.site = i};
        int rank = 0;
        enum dyn_status st = check_presence(l, site, pair);

        if (st || pair->a == NULL)
                return st;
        st = lora_config_scale(&l->config, site->name, &rank, &patch.scale, l->err);
        if (st == DYN_OK)
                st = check_shape(l, site->name, 'A', pair->a, rank, site->n_in);
        if (st == DYN_OK)
                st = check_shape(l, site->name, 'B', pair->b, site->n_out, rank);
        if (st == DYN_OK)
                st = check_finite(l, site->name, 'A', pair->a);
        if (st == DYN_OK)
                st = check_finite(l, site->name, 'B', pair->b);
        if (st)
                return st;

        enum dyn_dtype dtype = pair->a->dtype == pair->b->dtype ? pair->a->dtype : DYN_F32;
        patch.a = prepare(l->out, pair->a, dtype);
        patch.b = prepare(l->out, pair->b, dtype);
        l->out->patches[l->out->n++] = patch;
        if (rank > l->out->max_rank)
                l->out->max_rank = rank;
        return DYN_OK;
}

// Modules that PEFT can adapt and that are no sites of this model: targeting them is an error even without tensors.
static enum dyn_status check_elsewhere(struct lowering *l)
{
        static const char *const modules[] = {"lm_head", "model.embed_tokens"};

        for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
                bool site = false, targeted = false;

                for (int i = 0; i < l->sites->n; i++)
                        site |= strcmp(l->sites->at[i].name, modules[m]) == 0;
                enum dyn_status st = target_includes(&l->config.target, modules[m], -1, &targeted, l->err);
                if (st)
                        return st;
                if (targeted && !site)
                        return dyn_fail(l->err, DYN_UNSUPPORTED,
                                PEFT_CONFIG ": \"target_modules\": expected layers inside the blocks, found %s",
                                modules[m]);
        }
        return DYN_OK;
}

static enum dyn_status lower_all(struct lowering *l)
{
        enum dyn_status st = place_all(l);

        if (st == DYN_OK)
                st = check_elsewhere(l);
        for (int i = 0; i < l->sites->n && st == DYN_OK; i++) {
                st = lower_site(l, i);
                aside_breathe();
        }
        if (st == DYN_OK && l->out->n == 0)
                st = dyn_fail(
                        l->err, DYN_INVALID, PEFT_WEIGHTS ": expected tensors for at least one layer, found none");
        return st;
}

static enum dyn_status lora_lower(const struct dyn_adapter_folder *folder, const struct dyn_sites *sites,
        struct dyn_lowered *out, struct dyn_error *err)
{
        struct lowering l = {.file = folder->weights, .sites = sites, .out = out, .err = err};

        l.known_finite = folder->known_finite;
        *out = (struct dyn_lowered){0};
        enum dyn_status st = lora_config_init(&l.config, folder->config, err);
        if (st == DYN_OK) {
                l.pairs = mem_array((size_t)sites->n, sizeof *l.pairs);
                out->patches = mem_array((size_t)sites->n, sizeof *out->patches);
                st = lower_all(&l);
                mem_free(l.pairs);
        }
        lora_config_finish(&l.config);
        if (st)
                dyn_lowered_finish(out);
        return st;
}

static int lora_claims(const struct dyn_adapter_folder *folder)
{
        const char *type = peft_type(folder->config);

        return type != NULL && strcmp(type, "LORA") == 0;
}

const struct dyn_adapter_kind dyn_adapter_lora = {
        .name = "lora",
        .claims = lora_claims,
        .lower = lora_lower,
};
