// Changes of the store that are no loads: taking a name out, writing its settings. One for a name at a time, on the
// libuv pool.
#include <string.h>

#include "adapt/book.h"
#include "base/alloc.h"
#include "base/log.h"

struct chore {
        uv_work_t work;
        struct registered *entry;
        char *name;
        struct store *store;
        bool remove;
        struct store_settings settings, before;
        registry_set_done *done;
        void *ctx;
        enum dyn_status status;
        struct dyn_error error;
};

static void work(uv_work_t *req)
{
        struct chore *c = req->data;

        c->status = c->remove ? store_remove(c->store, c->name, &c->error)
                              : store_set(c->store, c->name, &c->settings, &c->error);
        // Another replica was faster: it is what was asked for.
        if (c->remove && c->status == DYN_NOT_FOUND)
                c->status = DYN_OK;
}

static void after(uv_work_t *req, int cancelled)
{
        struct chore *c = req->data;
        struct registered *e = c->entry;

        if (cancelled)
                c->status = dyn_fail(&c->error, DYN_BUSY, "the server is stopping");
        if (c->status != DYN_OK)
                log_error("adapter %s: %s", c->name, c->error.text);
        e->chore = NULL;
        e->signature = 0; // what the next look finds was written here: it is read once more
        if (!c->remove && e->removed)
                c->status = dyn_fail(&c->error, DYN_CONFLICT, "adapter \"%s\" was unregistered meanwhile", c->name);
        watch_bury(e->registry, c->name);
        if (!c->remove && !e->removed && c->status != DYN_OK)
                book_settings(e, &c->before);
        else if (!c->remove && !e->removed)
                log_info("adapter %s: %s, mode %s", c->name, c->settings.pin ? "pinned" : "not pinned",
                        store_mode_name(c->settings.mode));
        if (c->remove) {
                e->in_store = c->status != DYN_OK;
                e->take_out = c->error;
                e->take_out.status = c->status;
        }
        if (c->done != NULL)
                c->done(c->ctx, c->status, c->status ? NULL : &e->pub, c->status ? &c->error : NULL);
        if (!c->remove && e->removed)
                store_take_out(e);
        book_settle(e);
        mem_free(c->name);
        mem_free(c);
}

static struct chore *create(struct registered *e)
{
        struct chore *c = mem_zalloc(sizeof *c);

        c->work.data = c;
        c->entry = e;
        c->name = mem_strdup(e->pub.name);
        c->store = e->registry->store;
        e->chore = c;
        return c;
}

void store_take_out(struct registered *e)
{
        struct chore *c = create(e);

        c->remove = true;
        uv_queue_work(e->registry->loop, &c->work, work, after);
}

static enum dyn_status check_pin(const struct registered *e, struct dyn_error *err)
{
        const struct registry *r = e->registry;

        if (e->pub.current == NULL)
                return DYN_OK;
        return book_check_pin(
                r, e->pub.name, dyn_adapter_info(e->pub.current->adapter)->bytes, book_pin_room(r, e->pub.name), err);
}

enum dyn_status registry_set(struct registry *r, const char *name, const struct store_settings *settings,
        registry_set_done *done, void *ctx, struct dyn_error *err)
{
        struct registered *e = book_find(r, name, strlen(name));

        if (e == NULL || e->removed)
                return dyn_fail(err, DYN_NOT_FOUND, "no adapter \"%.150s\"", name);
        if (r->stopping)
                return dyn_fail(err, DYN_BUSY, "the server is stopping");
        load_yield(e);
        if (e->load != NULL || e->chore != NULL)
                return dyn_fail(err, DYN_CONFLICT, "adapter \"%s\" is being changed already", name);
        if (!e->settings.pin && settings->pin && check_pin(e, err) != DYN_OK)
                return DYN_NO_MEMORY;
        const struct store_settings before = e->settings;

        book_settings(e, settings);
        if (!e->in_store) {
                done(ctx, DYN_OK, &e->pub, NULL);
                return DYN_OK;
        }
        struct chore *c = create(e);

        c->settings = *settings;
        c->before = before;
        c->done = done;
        c->ctx = ctx;
        uv_queue_work(r->loop, &c->work, work, after);
        return DYN_OK;
}
