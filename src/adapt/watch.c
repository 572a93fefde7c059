// Keeps the book like the store: a folder that is dropped in is registered, one that is replaced updates, one that is
// removed unregisters, whoever did it, on whichever host. The system's word of a change makes it quick; a look now and
// then makes it sure, since a network volume sends no word. Listing runs on the libuv pool, the rest on the loop
// thread.
#include <string.h>

#include "adapt/book.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

#define LOOK_MS    500       // between two looks
#define HOLD_NS    300000000 // a change is read when it has held still so long
#define MISSES     2         // looks that must miss a name before it is forgotten
#define TIDY_LOOKS 600       // between two tidyings

struct watch {
        struct registry *registry;
        uv_timer_t timer;
        uv_fs_event_t event;
        uv_work_t work;
        bool looking, again, stopped;
        bool unread;           // the last look failed
        uint64_t looks;        // begun
        struct map complained; // names that can be no adapter's: said once
        struct map buried;     // name -> the last look that may still list it
        uint64_t last_buried;
        // What the worker found.
        enum dyn_status status;
        struct dyn_error error;
        struct store_listing listing;
};

// Holding against the book
// ---------------------------------------------------------------------------------------------------------------

// A folder that cannot be an adapter whatever its files say. One that serves goes on serving its version.
static void note_bad(struct registered *e, const struct store_entry *found)
{
        char *source = mem_printf("%s/%s", store_path(e->registry->store), found->name);

        log_warn("adapter %s: %s", found->name, found->error);
        book_failure(e, found->error, source);
        mem_free(source);
        e->in_store = true;
        e->signature = found->signature;
        e->registry->totals.failures++;
        book_settle(e);
}

static void take_new(struct registry *r, const struct store_entry *found, struct scan *scan)
{
        if (found->status == DYN_OK) {
                load_found(r, found, scan);
                return;
        }
        note_bad(book_add(r, found->name), found);
        if (scan != NULL) {
                scan_expect(scan);
                scan_count(scan, false);
        }
}

// An update may be made file by file: it is read when it has held still. What serves nothing yet has nothing to lose.
static void take_known(struct registry *r, struct registered *e, const struct store_entry *found)
{
        bool same = e->in_store && e->signature == found->signature;

        e->missed = 0;
        if (e->load != NULL || e->chore != NULL)
                return;
        if (e->changing != found->signature) {
                e->changing = found->signature;
                e->changed = clock_ns();
        }
        if (same ? !e->recheck || found->fresh : e->pub.current != NULL && clock_ns() - e->changed < HOLD_NS)
                return;
        e->recheck = false;
        if (found->status == DYN_OK)
                load_found(r, found, NULL);
        else
                note_bad(e, found);
}

static void complain(struct watch *w, const struct store_entry *found, const struct dyn_error *err)
{
        uint64_t seen;

        if (w != NULL && map_get(&w->complained, found->name, strlen(found->name), &seen))
                return;
        log_warn("adapter store: %s is passed over: %s", found->name, err->text);
        if (w != NULL)
                map_put(&w->complained, found->name, strlen(found->name), 1);
}

static bool listed(const struct store_listing *l, const char *name)
{
        int low = 0, high = l->n;

        while (low < high) {
                int mid = (low + high) / 2, order = strcmp(l->entries[mid].name, name);

                if (order == 0)
                        return true;
                if (order < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return false;
}

// What the store no longer has, unless it is just being changed from here.
static void forget_missing(struct registry *r, const struct store_listing *listing)
{
        for (int i = r->n - 1; i >= 0; i--) {
                struct registered *e = r->entries[i];

                if (!e->in_store || e->load != NULL || e->chore != NULL || listed(listing, e->pub.name))
                        continue;
                if (++e->missed < MISSES)
                        continue;
                e->in_store = false;
                log_info("adapter %s: gone from the store", e->pub.name);
                registry_forget(r, e->pub.name);
        }
}

static bool is_buried(const struct watch *w, const char *name)
{
        uint64_t until;

        return w != NULL && map_get(&w->buried, name, strlen(name), &until) && w->looks <= until;
}

void watch_bury(struct registry *r, const char *name)
{
        struct watch *w = r->watch;

        if (w == NULL || !w->looking)
                return;
        map_put(&w->buried, name, strlen(name), w->looks);
        w->last_buried = w->looks;
}

void watch_take(struct registry *r, const struct store_listing *listing, struct scan *scan)
{
        struct dyn_error err;

        for (int i = 0; i < listing->n; i++) {
                const struct store_entry *found = &listing->entries[i];
                struct registered *e = book_find(r, found->name, strlen(found->name));

                if (is_buried(r->watch, found->name))
                        continue;
                if (registry_check_name(r, found->name, &err) != DYN_OK)
                        complain(r->watch, found, &err);
                else if (e == NULL)
                        take_new(r, found, scan);
                else
                        take_known(r, e, found);
        }
        forget_missing(r, listing);
}

// Looking
// -----------------------------------------------------------------------------------------------------------------------

static void work(uv_work_t *req)
{
        struct watch *w = req->data;

        if (w->looks % TIDY_LOOKS == 0)
                store_tidy(w->registry->store);
        w->status = store_list(w->registry->store, &w->listing, &w->error);
}

static void look(struct watch *w);

static void take_look(struct watch *w)
{
        if (w->unread)
                log_info("adapter store: can be read again");
        if (!w->stopped)
                watch_take(w->registry, &w->listing, NULL);
        store_listing_free(&w->listing);
        if (w->looks >= w->last_buried)
                map_free(&w->buried);
}

static void after(uv_work_t *req, int cancelled)
{
        struct watch *w = req->data;

        w->looking = false;
        if (cancelled)
                return;
        if (w->status == DYN_OK)
                take_look(w);
        else if (!w->unread && !w->stopped)
                log_warn("adapter store: %s: what was read before stays", w->error.text);
        w->unread = w->status != DYN_OK;
        if (w->again && !w->stopped)
                look(w);
}

static void look(struct watch *w)
{
        w->again = w->looking;
        if (w->looking)
                return;
        w->looking = true;
        w->looks++;
        uv_queue_work(w->registry->loop, &w->work, work, after);
}

static void on_timer(uv_timer_t *timer)
{
        look(timer->data);
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
        // Our own staging is hidden; the rename that ends it is not.
        if (status == 0 && name != NULL && name[0] == '.')
                return;
        look(event->data);
}

void watch_start(struct registry *r)
{
        struct watch *w = mem_zalloc(sizeof *w);

        r->watch = w;
        w->registry = r;
        w->timer.data = w->event.data = w->work.data = w;
        uv_timer_init(r->loop, &w->timer);
        uv_fs_event_init(r->loop, &w->event);
        uv_timer_start(&w->timer, on_timer, LOOK_MS, LOOK_MS);
        if (uv_fs_event_start(&w->event, on_event, store_path(r->store), 0) != 0)
                log_info("adapter store: the system does not tell of changes here: it is looked at every %d ms",
                        LOOK_MS);
}

void watch_stop(struct registry *r)
{
        struct watch *w = r->watch;

        if (w == NULL || w->stopped)
                return;
        w->stopped = true;
        uv_close((uv_handle_t *)&w->timer, NULL);
        uv_close((uv_handle_t *)&w->event, NULL);
        if (w->looking)
                uv_cancel((uv_req_t *)&w->work);
}

void watch_free(struct registry *r)
{
        if (r->watch == NULL)
                return;
        map_free(&r->watch->complained);
        map_free(&r->watch->buried);
        mem_free(r->watch);
        r->watch = NULL;
}
