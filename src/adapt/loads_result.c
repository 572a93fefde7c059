// What becomes of a load that has come back to the loop (adapt/loads.h): what the book says from then on, and who is
// told. Nothing that a load read is in the book before.
#include "adapt/loads.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

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

void loads_after(uv_work_t *req, int uv_status)
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
