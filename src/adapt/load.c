// From a folder on the disk to a version on the device (adapt/version.h), and the counted references to it. Any thread.
#include "adapt/version.h"

#include <assert.h>
#include <string.h>

#include "adapt/folder.h"
#include "base/alloc.h"
#include "base/clock.h"

static atomic_uint_fast64_t last_id;

static void destroy(struct dyn_adapter *a)
{
        const struct adapter_host *host = a->host;

        for (int i = 0; i < host->sites->n; i++)
                host->ops->lowrank_free(host->device, &a->patches[i]);
        mem_free(a->patches);
        mem_free((char *)a->info.name);
        mem_free((char *)a->info.path);
        mem_free((char *)a->info.sha256);
        mem_free((char *)a->info.version);
        mem_free((char *)a->info.base_model);
        mem_free(a);
}

static struct dyn_adapter *create(
        const struct adapter_host *host, const char *name, const char *path, const struct folder *folder)
{
        struct dyn_adapter *a = mem_zalloc(sizeof *a);

        a->host = host;
        a->id = atomic_fetch_add(&last_id, 1) + 1;
        a->patches = mem_array((size_t)host->sites->n, sizeof *a->patches);
        atomic_init(&a->refs, 1);
        a->info.name = mem_strdup(name);
        a->info.path = mem_strdup(path);
        a->info.kind = folder->kind->name; // static
        a->info.sha256 = mem_strdup(folder->sha256);
        a->info.version = mem_strndup(folder->sha256, 16);
        a->info.base_model = folder->base_model ? mem_strdup(folder->base_model) : NULL;
        a->info.loaded_at = clock_unix();
        return a;
}

// Puts every patch on the device. What is there when one fails goes with the adapter.
static enum dyn_status upload(struct dyn_adapter *a, const struct dyn_lowered *lowered, struct dyn_error *err)
{
        const struct adapter_host *host = a->host;

        for (int i = 0; i < lowered->n; i++) {
                const struct dyn_patch *patch = &lowered->patches[i];
                struct dyn_lowrank *p = &a->patches[patch->site];

                if (host->ops->lowrank_load(host->device, p, &patch->a, &patch->b, patch->scale, err))
                        return dyn_fail_in(err, host->sites->at[patch->site].name);
                a->info.bytes += dyn_dtype_bytes(p->dtype, p->rank) * ((size_t)p->n_in + (size_t)p->n_out);
        }
        a->info.n_sites = lowered->n;
        a->info.rank = lowered->max_rank;
        return DYN_OK;
}

static enum dyn_status load(const struct adapter_host *host, const char *name, const char *path,
        struct dyn_adapter **out, struct dyn_error *err)
{
        struct folder folder;
        struct dyn_lowered lowered;
        enum dyn_status st = folder_open(&folder, path, err);

        if (st)
                return st;
        st = folder.kind->lower(&folder.files, host->sites, &lowered, err);
        if (st == DYN_OK) {
                struct dyn_adapter *a = create(host, name, path, &folder);

                assert(lowered.n > 0);
                st = upload(a, &lowered, err);
                dyn_lowered_finish(&lowered);
                if (st == DYN_OK)
                        *out = a;
                else
                        destroy(a);
        }
        folder_close(&folder);
        return st;
}

enum dyn_status adapter_load(const struct adapter_host *host, const char *name, const char *path,
        struct dyn_adapter **out, struct dyn_error *err)
{
        struct dyn_error unread;

        *out = NULL;
        if (err == NULL)
                err = &unread;
        return load(host, name, path, out, err) ? dyn_fail_in(err, path) : DYN_OK;
}

const struct dyn_adapter_info *dyn_adapter_info(const struct dyn_adapter *a)
{
        return &a->info;
}

struct dyn_adapter *dyn_adapter_pin(struct dyn_adapter *a)
{
        if (a != NULL)
                atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
        return a;
}

void dyn_adapter_unpin(struct dyn_adapter *a)
{
        if (a != NULL && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
                destroy(a);
}
