// Names, versions and counting (adapt/registry.h). The entries are in book.c, loads in loads.c.
#include "adapt/registry.h"

#include <assert.h>
#include <string.h>

#include "adapt/book.h"
#include "base/alloc.h"
#include "base/log.h"

#define MAX_NAME 128

const char *adapter_state_name(enum adapter_state state)
{
        static const char *const names[] = {"loading", "ready", "draining", "failed"};

        return names[state];
}

enum dyn_status registry_create(struct registry **out, const struct registry_options *options, struct dyn_error *err)
{
        struct registry *r = mem_zalloc(sizeof *r);
        enum dyn_status st = DYN_OK;

        r->host = options->host;
        r->loop = options->loop;
        r->base = mem_strdup(options->base);
        r->device_bytes = options->resident.device_bytes;
        if (options->store != NULL)
                st = store_open(&r->store, options->store, err);
        if (r->store != NULL)
                st = roots_add(&r->roots, options->store, err);
        for (int i = 0; i < options->n_roots && st == DYN_OK; i++)
                st = roots_add(&r->roots, options->roots[i], err);
        if (st) {
                registry_destroy(r);
                r = NULL;
        } else {
                r->resident = resident_create(&options->resident);
                retries_init(&r->retries, r->loop);
        }
        *out = r;
        return st;
}

void registry_destroy(struct registry *r)
{
        if (r == NULL)
                return;
        assert(r->loads == NULL);
        blends_finish(r);
        while (r->n > 0) {
                struct registered *e = r->entries[r->n - 1];

                assert(e->pub.in_flight == 0);
                e->pub.current = NULL;
                book_failure(e, NULL, NULL);
                book_refusal(e, NULL, NULL);
                book_settle(e);
        }
        resident_destroy(r->resident);
        mem_free(r->entries);
        roots_finish(&r->roots);
        mem_free(r->base);
        watch_free(r);
        store_close(r->store);
        mem_free(r);
}

enum dyn_status registry_check_name(const struct registry *r, const char *name, struct dyn_error *err)
{
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
        size_t len = strlen(name);

        if (len == 0 || len > MAX_NAME || strspn(name, allowed) != len || name[0] == '.')
                return dyn_fail(err, DYN_INVALID,
                        "adapter name: expected 1 to %d of A-Z a-z 0-9 . _ - and no dot in front, found \"%.150s\"",
                        MAX_NAME, name);
        if (strcmp(name, r->base) == 0 || strcmp(name, "base") == 0)
                return dyn_fail(err, DYN_INVALID,
                        "adapter name: expected a name of its own, found \"%s\", which means the base model", name);
        return DYN_OK;
}

enum dyn_status registry_check_path(const struct registry *r, const char *path, struct dyn_error *err)
{
        return roots_check(&r->roots, path, err);
}

enum dyn_status registry_remove(
        struct registry *r, const char *name, bool drained, registry_gone *gone, void *ctx, struct dyn_error *err)
{
        struct registered *e = book_find(r, name, strlen(name));

        if (e == NULL)
                return dyn_fail(err, DYN_NOT_FOUND, "no adapter \"%.150s\"", name);
        if (!e->removed) {
                r->totals.removals++;
                log_info("adapter %s: unregistered, %d requests still run on it", e->pub.name, e->pub.in_flight);
        }
        book_unpublish(e);
        if (e->load != NULL)
                load_disown(e->load); // takes it out when it has ended
        else if (e->in_store && e->chore == NULL)
                store_take_out(e);
        if (gone != NULL) {
                struct waiter *w = mem_alloc(sizeof *w);

                *w = (struct waiter){e->last_sequence, drained, gone, ctx, e->waiters};
                e->waiters = w;
        }
        book_settle(e);
        return DYN_OK;
}

void registry_forget(struct registry *r, const char *name)
{
        struct registered *e = book_find(r, name, strlen(name));

        r->totals.removals++;
        book_unpublish(e);
        book_settle(e);
}

void registry_stop(struct registry *r)
{
        r->stopping = true;
        favour_settle(r);
        watch_stop(r);
        resident_stop(r->resident);
        retries_stop(&r->retries);
        load_stop_all(r);
}

static enum dyn_status fail_resolve(const struct registered *e, const char *name, size_t len, struct dyn_error *err)
{
        int n = len > 150 ? 150 : (int)len;

        if (e != NULL && e->pub.state == ADAPTER_LOADING)
                return dyn_fail(err, DYN_BUSY, "adapter \"%.*s\" is still loading", n, name);
        if (e != NULL && e->pub.state == ADAPTER_FAILED)
                return dyn_fail(err, DYN_NOT_FOUND, "adapter \"%.*s\" could not be loaded: %s", n, name, e->pub.error);
        return dyn_fail(err, DYN_NOT_FOUND, "no adapter \"%.*s\"", n, name);
}

enum dyn_status registry_resolve(
        struct registry *r, const char *name, struct adapter_version **out, struct dyn_error *err)
{
        size_t len = strcspn(name, "@");
        const char *version = name[len] ? name + len + 1 : NULL;
        struct registered *e = book_find(r, name, len);

        *out = NULL;
        if (e == NULL || e->pub.current == NULL)
                return fail_resolve(e, name, len, err);
        const struct dyn_adapter_info *info = dyn_adapter_info(e->pub.current->adapter);

        if (version != NULL && strcmp(version, info->version) != 0 && strcmp(version, info->sha256) != 0)
                return dyn_fail(err, DYN_CONFLICT, "adapter \"%s\": expected version %.80s, found %s loaded",
                        e->pub.name, version, info->version);
        *out = e->pub.current;
        return DYN_OK;
}

// pub comes first in a held one.
void registry_want(struct adapter_version *v, struct want *w)
{
        resident_want(&((struct held *)v)->residence, w);
}

void registry_release(struct adapter_version *v)
{
        resident_done(&((struct held *)v)->residence);
}

const char *adapter_entry_tier(const struct adapter_entry *entry)
{
        const struct registered *e = (const struct registered *)entry;

        return e->versions ? residence_tier(&e->versions->residence) : "disk";
}

void registry_begin(struct adapter_version *v)
{
        v->in_flight++;
        v->entry->in_flight++;
        v->entry->requests++;
        if (v->entry->blend)
                blends_begin(v);
}

void registry_end(struct adapter_version *v, uint64_t tokens)
{
        v->entry->tokens += tokens;
        if (v->entry->blend)
                blends_end(v);
        else
                book_let_go(v);
}

const struct adapter_entry *registry_find(const struct registry *r, const char *name)
{
        const struct registered *e = book_find(r, name, strlen(name));

        return e ? &e->pub : NULL;
}

int64_t adapter_entry_merged_since(const struct adapter_entry *entry)
{
        return entry->current ? atomic_load(&entry->current->adapter->merged_since) : 0;
}

const struct dyn_adapter *registry_merged(const struct registry *r)
{
        for (int i = 0; i < r->n; i++)
                if (adapter_entry_merged_since(&r->entries[i]->pub) != 0)
                        return r->entries[i]->pub.current->adapter;
        return blends_merged(r);
}

const struct dyn_adapter_info *adapter_entry_info(const struct adapter_entry *entry)
{
        const struct registered *e = (const struct registered *)entry; // pub comes first

        return e->versions ? dyn_adapter_info(e->versions->pub.adapter) : NULL;
}

int registry_count(const struct registry *r)
{
        return r->n;
}

const struct adapter_entry *registry_at(const struct registry *r, int i)
{
        assert(i >= 0 && i < r->n);
        return &r->entries[i]->pub;
}

struct registry_totals registry_totals(const struct registry *r)
{
        struct registry_totals totals = r->totals;

        totals.resident = resident_totals(r->resident);
        totals.blends = blends_count(r);
        return totals;
}
