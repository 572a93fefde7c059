// Entries of the registry and their versions (adapt/book.h).
#include "adapt/book.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

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

static void note(struct registered *e, char **what, const char *why, const char *source)
{
        mem_free(*what);
        *what = why ? mem_strdup(why) : NULL;
        if (source == NULL)
                return;
        mem_free(e->failed_source);
        e->failed_source = mem_strdup(source);
}

void book_failure(struct registered *e, const char *why, const char *source)
{
        note(e, &e->failure, why, source);
}

void book_refusal(struct registered *e, const char *why, const char *source)
{
        note(e, &e->refusal, why, source);
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

        if (v == NULL)
                return;
        pins_settle(e->registry);
        resident_pin(&v->residence, v->pin || favour_keeps(e->registry, v)); // what failed is tried again
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

        pub->error = e->failure ? e->failure : e->refusal;
        if (pub->current != NULL)
                pub->state = ADAPTER_READY;
        else if (e->load != NULL && !e->removed)
                pub->state = ADAPTER_LOADING;
        else
                pub->state = e->versions == NULL && pub->error != NULL ? ADAPTER_FAILED : ADAPTER_DRAINING;
        pub->updating = pub->current != NULL && e->load != NULL;
        pub->pinned = e->settings.pin;
        pub->mode = e->settings.mode;
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
        mem_free(e->refusal);
        mem_free(e->failed_source);
        mem_free(e);
}

void book_settle(struct registered *e)
{
        if (e->settling) // whoever is at it looks again
                return;
        e->settling = true; // these may end requests of it
        favour_settle(e->registry);
        pins_settle(e->registry);
        blends_settle(e->registry);
        struct waiter *done = take_waiters(e, free_drained(e));
        struct dyn_error error = e->take_out;

        if (e->versions == NULL && e->load == NULL && e->chore == NULL && e->failure == NULL && e->refusal == NULL)
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

// Why it is not merged was said under another mode. That it never can be holds under any.
static void forget_why(struct registered *e)
{
        struct adapter_version *v = e->pub.current;

        if (v != NULL && !atomic_load(&v->adapter->refused))
                atomic_store(&v->adapter->unmerged_because, NULL);
}

void book_settings(struct registered *e, const struct store_settings *settings)
{
        if (settings->mode != e->settings.mode)
                forget_why(e);
        e->settings = *settings;
        apply(e);
        favour_settle(e->registry);
        show(e);
}

void book_unpublish(struct registered *e)
{
        e->removed = true;
        if (e->pub.current != NULL)
                retire(e);
        e->pub.current = NULL;
        e->settings = (struct store_settings){0};
        e->take_out = (struct dyn_error){0};
        book_failure(e, NULL, NULL);
        book_refusal(e, NULL, NULL);
        if (e->load == NULL || load_is_kept(e->load))
                return;
        load_drop(e->load);
        e->load = NULL;
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
