// Names, versions and counting (adapt/registry.h). Loads are in loads.c.
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

// The book
// -------------------------------------------------------------------------------------------------------------------

// Where a name is or would be.
static int position(const struct registry *r, const char *name, size_t len, bool *there)
{
        int low = 0, high = r->n;

        *there = false;
        while (low < high) {
                int mid = (low + high) / 2;
                const char *other = r->entries[mid]->pub.name;
                int order = strncmp(other, name, len);

                if (order == 0 && other[len] == 0) {
                        *there = true;
                        return mid;
                }
                if (order < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

struct registered *book_find(const struct registry *r, const char *name, size_t len)
{
        bool there;
        int at = position(r, name, len, &there);

        return there ? r->entries[at] : NULL;
}

struct registered *book_add(struct registry *r, const char *name)
{
        struct registered *e = mem_zalloc(sizeof *e);
        bool there;
        int at = position(r, name, strlen(name), &there);

        assert(!there);
        e->pub.name = mem_strdup(name);
        e->registry = r;
        if (r->n == r->cap) {
                r->cap = r->cap ? 2 * r->cap : 16;
                r->entries = mem_realloc(r->entries, (size_t)r->cap * sizeof(struct registered *));
        }
        memmove(r->entries + at + 1, r->entries + at, (size_t)(r->n - at) * sizeof(struct registered *));
        r->entries[at] = e;
        r->n++;
        return e;
}

void book_failure(struct registered *e, const char *why, const char *source)
{
        mem_free(e->failure);
        mem_free(e->failed_source);
        e->failure = why ? mem_strdup(why) : NULL;
        e->failed_source = source ? mem_strdup(source) : NULL;
}

// A version that takes no new requests must not stay merged.
static void retire(struct registered *e)
{
        struct adapter_version *v = e->pub.current;

        atomic_store(&v->adapter->retired, true);
        version_kick(v->adapter);
        blends_retire(e->registry, v);
}

// The settings, to the published version.
static void apply(struct registered *e)
{
        struct held *v = (struct held *)e->pub.current; // pub comes first
        bool favoured = v != NULL && e->registry->favour.held == v && e->registry->favour.keep;

        if (v == NULL)
                return;
        v->pin = e->settings.pin;
        resident_pin(&v->residence, v->pin || favoured);
        atomic_store(&v->pub.adapter->unmergeable, e->settings.mode == STORE_UNMERGED);
        version_kick(v->pub.adapter);
        blends_apply(e->registry);
}

enum dyn_status book_publish(struct registered *e, struct dyn_adapter *adapter, struct dyn_error *err)
{
        struct held *v = mem_zalloc(sizeof *v);
        enum dyn_status st = resident_enter(e->registry->resident, &v->residence, adapter, err);

        if (st) {
                mem_free(v);
                return st;
        }
        if (e->pub.current != NULL)
                retire(e);
        v->pub.entry = &e->pub;
        v->pub.adapter = adapter;
        v->sequence = ++e->last_sequence;
        v->next = e->versions;
        e->versions = v;
        e->pub.current = &v->pub;
        e->removed = false;
        apply(e);
        return DYN_OK;
}

// The house has let go of a version.
static void on_left(void *ctx)
{
        struct held *v = ctx;
        struct registered *e = (struct registered *)v->pub.entry; // pub comes first
        struct held **at = &e->versions;

        while (*at != v)
                at = &(*at)->next;
        *at = v->next;
        dyn_adapter_unpin(v->pub.adapter);
        mem_free(v);
        book_settle(e);
}

static struct held *find_unused(struct registered *e)
{
        for (struct held *v = e->versions; v != NULL; v = v->next)
                if (&v->pub != e->pub.current && v->pub.in_flight == 0 && !v->leaving)
                        return v;
        return NULL;
}

// Lets the versions go that nobody can use any more. Returns the oldest one that is still there, UINT64_MAX if there is
// none.
static uint64_t free_drained(struct registered *e)
{
        uint64_t oldest = UINT64_MAX;
        struct held *v;

        e->settling = true;
        while ((v = find_unused(e)) != NULL) {
                v->leaving = true;
                resident_leave(&v->residence, on_left, v);
        }
        e->settling = false;
        for (v = e->versions; v != NULL; v = v->next)
                if (&v->pub != e->pub.current)
                        oldest = v->sequence;
        return oldest;
}

// Takes those who have waited long enough off the list.
static struct waiter *take_waiters(struct registered *e, uint64_t oldest)
{
        struct waiter *done = NULL;
        bool store_busy = e->chore != NULL || (e->load != NULL && load_is_kept(e->load));

        for (struct waiter **at = &e->waiters, *w; (w = *at) != NULL;) {
                if (store_busy || (w->drained && w->until >= oldest)) {
                        at = &w->next;
                        continue;
                }
                *at = w->next;
                w->next = done;
                done = w;
        }
        return done;
}

static void show(struct registered *e)
{
        struct adapter_entry *pub = &e->pub;

        if (pub->current != NULL)
                pub->state = ADAPTER_READY;
        else if (e->load != NULL && !e->removed)
                pub->state = ADAPTER_LOADING;
        else
                pub->state = e->versions != NULL || e->removed ? ADAPTER_DRAINING : ADAPTER_FAILED;
        pub->updating = pub->current != NULL && e->load != NULL;
        pub->pinned = e->settings.pin;
        pub->mode = e->settings.mode;
        pub->error = e->failure; // of a READY one: why what the store holds now is not served
        if (pub->state == ADAPTER_LOADING)
                pub->source = load_path(e->load);
        else if (e->versions != NULL)
                pub->source = dyn_adapter_info(e->versions->pub.adapter)->path;
        else
                pub->source = e->failed_source;
}

static void drop(struct registered *e)
{
        struct registry *r = e->registry;
        bool there;
        int at = position(r, e->pub.name, strlen(e->pub.name), &there);

        assert(there && e->waiters == NULL);
        r->n--;
        memmove(r->entries + at, r->entries + at + 1, (size_t)(r->n - at) * sizeof(struct registered *));
        mem_free((char *)e->pub.name);
        mem_free(e->failure);
        mem_free(e->failed_source);
        mem_free(e);
}

void book_settle(struct registered *e)
{
        if (e->settling) // whoever is at it looks again
                return;
        e->settling = true; // these may end requests of it
        favour_settle(e->registry);
        blends_settle(e->registry);
        struct waiter *done = take_waiters(e, free_drained(e));
        struct dyn_error error = e->take_out;

        if (e->versions == NULL && e->load == NULL && e->chore == NULL && e->failure == NULL)
                drop(e);
        else
                show(e);
        while (done != NULL) {
                struct waiter *w = done;

                done = w->next;
                w->gone(w->ctx, error.status, error.status ? &error : NULL);
                mem_free(w);
        }
}

void book_settings(struct registered *e, const struct store_settings *settings)
{
        e->settings = *settings;
        apply(e);
        favour_settle(e->registry);
        show(e);
}

// From outside
// ----------------------------------------------------------------------------------------------------------------

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
                mem_free(e->failure);
                e->failure = NULL;
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

static void unpublish(struct registered *e)
{
        e->removed = true;
        if (e->pub.current != NULL)
                retire(e);
        e->pub.current = NULL;
        e->settings = (struct store_settings){0};
        e->take_out = (struct dyn_error){0};
        mem_free(e->failure);
        e->failure = NULL;
        if (e->load == NULL || load_is_kept(e->load))
                return;
        load_drop(e->load);
        e->load = NULL;
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
        unpublish(e);
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
        unpublish(e);
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
                return dyn_fail(err, DYN_NOT_FOUND, "adapter \"%.*s\" could not be loaded: %s", n, name, e->failure);
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

void book_let_go(struct adapter_version *v)
{
        struct registered *e = (struct registered *)v->entry; // pub comes first

        assert(v->in_flight > 0);
        v->in_flight--;
        e->pub.in_flight--;
        if (v->in_flight == 0 && v != e->pub.current)
                book_settle(e);
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

const char *adapter_entry_unmerged_because(const struct adapter_entry *entry)
{
        return entry->current ? atomic_load(&entry->current->adapter->unmerged_because) : NULL;
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
