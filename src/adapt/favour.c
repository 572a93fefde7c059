// Who shall lie merged because somebody said so: the adapter whose mode is "merged", or the one to merge at start. It
// is brought to the device, stays there, and is told to the engine, which does the rest.
#include <string.h>

#include "adapt/book.h"
#include "base/log.h"

static void on_granted(struct want *w, enum dyn_status status, const struct dyn_error *error)
{
        struct favour *f = (struct favour *)((char *)w - offsetof(struct favour, want));
        struct dyn_adapter *a = f->held->pub.adapter;

        f->wanting = false;
        if (status != DYN_OK) {
                log_warn("adapter %s cannot be merged: %s", a->info.name, error->text);
                atomic_store(&a->unmerged_because, "it could not be brought to the device");
                return;
        }
        a->host->prefer_merged(a->host->engine, a, f->keep);
        resident_done(&f->held->residence); // the engine holds it from here on
}

static void drop(struct favour *f)
{
        const struct adapter_host *host = f->held->pub.adapter->host;

        if (f->wanting)
                resident_forget(&f->want);
        else if (f->keep)
                host->prefer_merged(host->engine, NULL, false);
        if (f->keep)
                resident_pin(&f->held->residence, f->held->pin);
        *f = (struct favour){0};
}

static void choose(struct favour *f, struct held *v, bool keep)
{
        *f = (struct favour){.held = v, .keep = keep, .wanting = true, .want = {.granted = on_granted}};
        if (keep)
                resident_pin(&v->residence, true);
        resident_want(&v->residence, &f->want);
}

// The first by name, if several are marked: files of the store say what they like.
static struct held *marked(const struct registry *r)
{
        for (int i = 0; i < r->n; i++)
                if (r->entries[i]->settings.mode == STORE_MERGED && r->entries[i]->pub.current != NULL)
                        return (struct held *)r->entries[i]->pub.current; // pub comes first
        return NULL;
}

// Whether the one to merge at start is still what its name stands for, and may be merged.
static bool may_begin(const struct held *v)
{
        const struct registered *e = (const struct registered *)v->pub.entry; // pub comes first

        return e->pub.current == &v->pub && e->settings.mode != STORE_UNMERGED;
}

void favour_settle(struct registry *r)
{
        struct favour *f = &r->favour;
        struct held *v = r->stopping || r->host->engine == NULL ? NULL : marked(r);

        bool stays = f->held == v ? f->keep : v == NULL && !f->keep && may_begin(f->held);

        if (f->held != NULL && !stays)
                drop(f);
        if (v != NULL && f->held == NULL)
                choose(f, v, true);
}

bool favour_keeps(const struct registry *r, const struct held *v)
{
        return r->favour.held == v && r->favour.keep;
}

const char *adapter_entry_unmerged_because(const struct adapter_entry *entry)
{
        const struct registered *e = (const struct registered *)entry; // pub comes first
        const struct favour *f = &e->registry->favour;

        if (entry->current == NULL)
                return NULL;
        if (f->keep && &f->held->pub != entry->current && entry->mode != STORE_UNMERGED)
                return "another adapter is to be merged, and only one can be";
        return atomic_load(&entry->current->adapter->unmerged_because);
}

const char *registry_marked_merged(const struct registry *r)
{
        for (int i = 0; i < r->n; i++)
                if (r->entries[i]->settings.mode == STORE_MERGED && !r->entries[i]->removed)
                        return r->entries[i]->pub.name;
        return NULL;
}

enum dyn_status registry_merge_at_start(struct registry *r, const char *name, struct dyn_error *err)
{
        struct registered *e = book_find(r, name, strlen(name));

        if (e == NULL || e->pub.current == NULL)
                return dyn_fail(err, DYN_NOT_FOUND,
                        "--merge-at-start: expected an adapter of the store, found \"%.150s\"%s%s", name,
                        e && e->failure ? ": " : "", e && e->failure ? e->failure : "");
        if (e->settings.mode == STORE_UNMERGED)
                return dyn_fail(err, DYN_INVALID, "--merge-at-start: the mode of adapter \"%s\" is unmerged", name);
        if (r->favour.held == NULL)
                choose(&r->favour, (struct held *)e->pub.current, false); // pub comes first
        else if (r->favour.held->pub.entry != &e->pub)
                log_warn("adapter %s is not merged at start: the mode of adapter %s is merged", name,
                        r->favour.held->pub.entry->name);
        return DYN_OK;
}

bool registry_merge_awaited(const struct registry *r, const char *name)
{
        const struct adapter_entry *entry = registry_find(r, name);

        return entry != NULL && entry->current != NULL && r->favour.held == (struct held *)entry->current &&
               adapter_entry_merged_since(entry) == 0 && adapter_entry_unmerged_because(entry) == NULL;
}
