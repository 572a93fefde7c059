// Loads by request and of what the store lists (adapt/registry.h): how they begin, and what becomes of them. One a name
// at a time; the book is touched only when a load has come back to the loop. What they do meanwhile is in loads_pool.c.
#include "adapt/loads.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

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

// Back on the loop
// ----------------------------------------------------------------------------------------------------------------

static bool is_order(const struct load *l)
{
        return !l->found || l->own;
}

// Not what is known of a folder of the store that is just read once more, and not that nobody wants it any more.
static bool is_news(const struct load *l)
{
        const struct registered *e = l->entry;

        if (is_order(l))
                return true;
        return e != NULL && !l->unwanted && !l->registry->stopping &&
               (e->failure == NULL || strcmp(e->failure, l->error.text) != 0);
}

static void tell(const struct load *l, enum registry_outcome outcome, bool news)
{
        enum log_level level = l->scan ? LOG_DEBUG : LOG_INFO;

        if (l->status != DYN_OK) {
                log_write(news ? LOG_WARN : LOG_DEBUG, "adapter %s: %s", l->name, l->error.text);
        } else if (l->moved_to != NULL) {
                log_info("adapter %s: the same content, from now on of %s", l->name, l->moved_to);
        } else if (outcome != REGISTRY_SAME) {
                const struct dyn_adapter_info *info = dyn_adapter_info(l->adapter);

                log_write(level, "adapter %s: %s of rank %d at %d sites, version %s, %.1f MB, loaded in %.0f ms",
                        l->name, info->kind, info->rank, info->n_sites, info->version, (double)info->bytes / 1e6,
                        (double)(clock_ns() - l->began) / 1e6);
                if (version_other_base(l->registry->host, info->base_model))
                        log_write(level, "adapter %s: fits, but says that its base is %s", l->name, info->base_model);
        }
}

// What became of a load that nobody can use any more.
static void judge(struct load *l, int uv_status)
{
        if (l->entry != NULL && !l->unwanted && uv_status == 0 && !l->registry->stopping)
                return;
        dyn_adapter_unpin(l->adapter);
        l->adapter = NULL;
        l->status = l->registry->stopping ? dyn_fail(&l->error, DYN_BUSY, "the server is stopping")
                                          : dyn_fail(&l->error, DYN_CONFLICT,
                                                    "adapter \"%s\" was unregistered while it was loading", l->name);
}

static void unlink_load(struct load *l)
{
        struct load **at = &l->registry->loads;

        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        if (l->entry != NULL)
                l->entry->load = NULL;
}

// Of an order for the store's own folder: what is wrong may be the order, and the next look at the store reads the
// folder as it is.
static bool may_be_the_orders_fault(const struct load *l)
{
        return l->own && (l->status == DYN_CONFLICT || l->status == DYN_NO_MEMORY);
}

// A folder of the store stays listed with what is wrong with it, and so does an order that nobody waited for.
static void note_failure(struct load *l)
{
        struct registered *e = l->entry;

        l->registry->totals.failures += l->status != DYN_CONFLICT && l->status != DYN_BUSY;
        if (e == NULL || l->unwanted || l->registry->stopping)
                return;
        if (l->found && l->signature != 0 && !may_be_the_orders_fault(l))
                book_failure(e, l->error.text, l->path);
        else if (is_order(l) && l->done == NULL)
                book_refusal(e, l->error.text, l->path);
}

static enum registry_outcome enter(struct load *l)
{
        enum registry_outcome outcome = REGISTRY_SAME;

        if (l->status == DYN_OK && l->adapter != NULL) {
                outcome = l->entry->pub.current ? REGISTRY_UPDATED : REGISTRY_NEW;
                l->status = book_publish(l->entry, l->adapter, &l->error);
                if (l->status == DYN_OK) {
                        l->registry->totals.loads++;
                } else {
                        dyn_fail_in(&l->error, l->path);
                        dyn_adapter_unpin(l->adapter);
                }
        }
        if (l->status != DYN_OK) {
                note_failure(l);
                return outcome;
        }
        book_failure(l->entry, NULL, NULL);
        if (is_order(l))
                book_refusal(l->entry, NULL, NULL);
        if (l->moved_to != NULL)
                version_move(l->entry->pub.current->adapter, l->moved_to);
        return outcome;
}

static void load_free(struct load *l)
{
        if (l->archive >= 0)
                close(l->archive);
        mem_free(l->name);
        mem_free(l->path);
        mem_free(l->held_path);
        mem_free(l->moved_to);
        mem_free(l);
}

// What the store holds of the name from now on, and its settings.
static void note_store(const struct load *l)
{
        struct registered *e = l->entry;

        if (e == NULL || l->unwanted)
                return;
        if (l->signature != 0) {
                e->in_store = true;
                // What was written here is read once more: another replica's rename may have come in between.
                e->signature = load_is_kept(l) || may_be_the_orders_fault(l) ? 0 : l->signature;
                e->missed = 0;
                if (!l->found || l->own)
                        watch_bury(l->registry, l->name);
        }
        if (l->has_settings && (l->status == DYN_OK || l->signature != 0))
                book_settings(e, &l->settings);
}

static void after(uv_work_t *req, int uv_status)
{
        struct load *l = req->data;
        struct registered *e = l->entry;

        judge(l, uv_status);
        unlink_load(l);
        bool news = is_news(l);
        enum registry_outcome outcome = enter(l);
        tell(l, outcome, news);
        note_store(l);
        if (e != NULL && l->unwanted)
                store_take_out(e);
        if (e != NULL)
                book_settle(e);
        if (l->done != NULL)
                l->done(l->ctx, l->status, outcome, l->status ? NULL : &e->pub, l->status ? &l->error : NULL);
        if (l->scan != NULL)
                scan_count(l->scan, l->status == DYN_OK);
        load_free(l);
}

// Beginning
// -----------------------------------------------------------------------------------------------------------------------

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
        uv_queue_work(r->loop, &l->work, loads_work, after);
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
