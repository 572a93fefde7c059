#include "adapt/patches.h"

#include <string.h>

#include "base/alloc.h"
#include "base/aside.h"

// Row i of a site's weight, in the order that adapters have.
static size_t row_of(const struct dyn_site *site, size_t i)
{
        size_t dim = (size_t)(site->n_out / site->paired_heads), d = i % dim;

        return i - d + d / 2 + (d % 2 ? dim / 2 : 0);
}

// B with its rows as the weight has them; the caller frees the data.
static struct dyn_tensor paired(const struct dyn_tensor *b, const struct dyn_site *site)
{
        size_t n = (size_t)site->n_out, row = dyn_dtype_bytes(b->dtype, b->shape[1]);
        char *data = mem_alloc(n * row);
        struct dyn_tensor t = *b;

        for (size_t i = 0; i < n; i++)
                memcpy(data + i * row, (const char *)b->data + row_of(site, i) * row, row);
        t.data = data;
        return t;
}

static enum dyn_status load(
        const struct adapter_host *host, struct dyn_lowrank *p, const struct dyn_patch *patch, struct dyn_error *err)
{
        const struct dyn_site *site = &host->sites->at[patch->site];

        if (site->paired_heads == 0)
                return host->ops->lowrank_load(host->device, p, &patch->a, &patch->b, patch->scale, err);
        struct dyn_tensor b = paired(&patch->b, site);
        enum dyn_status st = host->ops->lowrank_load(host->device, p, &patch->a, &b, patch->scale, err);

        mem_free((void *)b.data);
        return st;
}

enum dyn_status patches_load(const struct adapter_host *host, struct dyn_lowrank *patches,
        const struct dyn_lowered *lowered, struct dyn_error *err)
{
        for (int i = 0; i < lowered->n; i++) {
                const struct dyn_patch *patch = &lowered->patches[i];

                if (load(host, &patches[patch->site], patch, err))
                        return dyn_fail_in(err, host->sites->at[patch->site].name);
                aside_breathe();
        }
        return DYN_OK;
}

void patches_free(const struct adapter_host *host, struct dyn_lowrank *patches)
{
        for (int i = 0; i < host->sites->n; i++)
                host->ops->lowrank_free(host->device, &patches[i]);
}
