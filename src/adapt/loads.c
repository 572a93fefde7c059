// Loads by request and of what the store lists (adapt/registry.h): how they begin, and how they are called off. One a
// name at a time. What they do meanwhile is in loads_pool.c, and what becomes of them in loads_result.c.
#include "adapt/loads.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

const char *load_path(const struct load *l)
{
        return l->path;
}

bool load_is_kept(const struct load *l)
{
        return l->keep || l->archive >= 0;
}

void load_disown(struct load *l)
{
        l->unwanted = true;
}

void load_drop(struct load *l)
{
        l->entry = NULL;
        uv_cancel((uv_req_t *)&l->work); // refused if it has begun: its result is thrown away then
}

void load_yield(struct registered *e)
{
        if (e->load == NULL || e->pub.current == NULL || !e->load->found || e->load->own || e->load->scan != NULL)
                return;
        load_drop(e->load);
        e->load = NULL;
        e->recheck = true; // if nothing comes of what it yields to
}

// The entry's next load, without what the caller wants of it; begin it with start.
static struct load *create(struct registry *r, const char *name, char *path)
{
        struct registered *e = book_find(r, name, strlen(name));
        struct load *l = mem_zalloc(sizeof *l);

        if (e == NULL)
                e = book_add(r, name);
        l->work.data = l;
        l->registry = r;
        l->entry = e;
        l->name = mem_strdup(name);
        l->path = path;
        l->archive = -1;
        l->began = clock_ns();
        if (e->pub.current != NULL) {
                const struct dyn_adapter_info *info = dyn_adapter_info(e->pub.current->adapter);

                memcpy(l->held, info->sha256, FOLDER_HASH);
                l->held_path = mem_strdup(info->path);
                l->held_bytes = info->bytes;
                l->stale = e->failure != NULL; // the same content repairs it
        }
        return l;
}

static void start(struct load *l)
{
        struct registry *r = l->registry;

        l->next = r->loads;
        r->loads = l;
        l->entry->load = l;
        book_settle(l->entry);
        uv_queue_work(r->loop, &l->work, loads_work, loads_after);
}

static enum dyn_status check_free(const struct registry *r, const char *name, struct dyn_error *err)
{
        struct registered *e = book_find(r, name, strlen(name));
        enum dyn_status st = registry_check_name(r, name, err);

        if (st)
                return st;
        if (r->stopping)
                return dyn_fail(err, DYN_BUSY, "the server is stopping");
        if (e != NULL)
                load_yield(e);
        if (e != NULL && (e->load != NULL || e->chore != NULL))
                return dyn_fail(
                        err, DYN_CONFLICT, "adapter \"%s\" is being %s already", name, e->load ? "loaded" : "changed");
        return DYN_OK;
}

// As a restart finds it, wherever that begins. Links are not resolved: one that is led elsewhere is an update.
static char *absolute(const char *path)
{
        char *here = path[0] == '/' || path[0] == 0 ? NULL : getcwd(NULL, 0);
        char *whole = here ? mem_printf("%s/%s", here, path) : mem_strdup(path);

        free(here);
        return whole;
}

// What was asked of a name whose orders failed so far is for the one that does not; the store cannot know it yet.
static void settle_for(struct load *l, const struct store_settings *settings)
{
        const struct registered *e = l->entry;
        bool asked = !e->in_store && (e->settings.pin || e->settings.mode != STORE_AUTO);

        l->has_settings = settings != NULL || asked;
        if (l->has_settings)
                l->settings = settings ? *settings : e->settings;
}

enum dyn_status registry_load(
        struct registry *r, const struct registry_order *order, registry_done *done, void *ctx, struct dyn_error *err)
{
        enum dyn_status st = check_free(r, order->name, err);

        if (st)
                return st;
        if (order->path == NULL && r->store == NULL)
                return dyn_fail(err, DYN_INVALID, "expected a path, since there is no adapter store");

        char *own = r->store ? mem_printf("%s/%s", store_path(r->store), order->name) : NULL;
        struct load *l = create(r, order->name, order->path ? absolute(order->path) : mem_strdup(own));

        l->keep = own != NULL && strcmp(own, l->path) != 0;
        l->found = l->own = own != NULL && !l->keep;
        mem_free(own);
        l->replace = order->replace;
        settle_for(l, order->settings);
        l->pin_room = book_pin_room(r, order->name);
        l->done = done;
        l->ctx = ctx;
        start(l);
        return DYN_OK;
}

enum dyn_status registry_upload(
        struct registry *r, const char *name, int archive, registry_done *done, void *ctx, struct dyn_error *err)
{
        enum dyn_status st = check_free(r, name, err);

        if (st == DYN_OK && r->store == NULL)
                st = dyn_fail(err, DYN_UNSUPPORTED, "there is no adapter store: start the server with --adapters DIR");
        if (st) {
                close(archive);
                return st;
        }
        struct load *l = create(r, name, mem_printf("%s/%s", store_path(r->store), name));

        l->archive = archive;
        l->replace = true;
        settle_for(l, NULL);
        l->done = done;
        l->ctx = ctx;
        start(l);
        return DYN_OK;
}

void load_found(struct registry *r, const struct store_entry *found, struct scan *scan)
{
        char *path = found->target ? mem_strdup(found->target) : mem_printf("%s/%s", store_path(r->store), found->name);
        struct load *l = create(r, found->name, path);

        l->found = l->replace = l->has_settings = true;
        l->settings = found->settings;
        l->signature = found->signature;
        l->entry->in_store = true; // so that removing it meanwhile takes it out
        l->entry->recheck = found->fresh;
        l->scan = scan;
        if (scan != NULL)
                scan_expect(scan);
        start(l);
}

void load_stop_all(struct registry *r)
{
        for (struct load *l = r->loads; l != NULL; l = l->next)
                uv_cancel((uv_req_t *)&l->work);
}
