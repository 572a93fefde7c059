// The blends that requests ask for (adapt/blend.h), kept beside the book of names: found by their members and weights,
// made when there is none, let go when a member changes or when others are asked for more. A request of a blend counts
// as one of each member, so that those stay as long as it runs. Loop thread.
#include <assert.h>

#include "adapt/book.h"
#include "base/alloc.h"
#include "base/log.h"

// The table
// ------------------------------------------------------------------------------------------------------------------

int blends_count(const struct registry *r)
{
        int n = 0;

        for (const struct blend *b = r->blends; b != NULL; b = b->next)
                n += !b->held.leaving;
        return n;
}

const struct dyn_adapter *blends_merged(const struct registry *r)
{
        const struct blend *b = r->blends;

        while (b != NULL && atomic_load(&b->held.pub.adapter->merged_since) == 0)
                b = b->next;
        return b ? b->held.pub.adapter : NULL;
}

static bool is_of(const struct blend *b, const struct registry_share *shares, int n)
{
        const struct dyn_adapter *a = b->held.pub.adapter;

        if (b->retired || b->held.leaving || a->n_parts != n)
                return false;
        for (int i = 0; i < n; i++)
                if (b->members[i] != shares[i].version || a->parts[i].weight != shares[i].weight)
                        return false;
        return true;
}

static void unlink_blend(struct blend *b)
{
        struct blend **at = &b->registry->blends;

        while (*at != b)
                at = &(*at)->next;
        *at = b->next;
}

static void link_first(struct blend *b)
{
        b->next = b->registry->blends;
        b->registry->blends = b;
}

// The house has let go of it.
static void on_left(void *ctx)
{
        struct blend *b = ctx;

        unlink_blend(b);
        dyn_adapter_unpin(b->held.pub.adapter);
        mem_free(b);
}

static void retire(struct blend *b)
{
        struct dyn_adapter *a = b->held.pub.adapter;

        b->retired = true;
        atomic_store(&a->retired, true);
        version_kick(a);
}

// It has no requests.
static void leave(struct blend *b)
{
        assert(b->entry.in_flight == 0);
        if (!b->retired)
                retire(b);
        b->held.leaving = true;
        resident_leave(&b->held.residence, on_left, b);
}

// One that may go: that is retired or, with any, the one asked for the longest ago.
static struct blend *find_unused(const struct registry *r, bool any)
{
        struct blend *found = NULL;

        for (struct blend *b = r->blends; b != NULL; b = b->next)
                if (b->entry.in_flight == 0 && !b->held.leaving && (any || b->retired))
                        found = b;
        return found;
}

// Letting one go can grant and end requests of others: each round looks anew.
void blends_settle(struct registry *r)
{
        struct blend *b;

        while ((b = find_unused(r, blends_count(r) > REGISTRY_BLENDS)) != NULL)
                leave(b);
}

void blends_finish(struct registry *r)
{
        struct blend *b;

        while ((b = find_unused(r, true)) != NULL)
                leave(b);
        assert(r->blends == NULL);
}

// Members
// ---------------------------------------------------------------------------------------------------------------------

void blends_retire(struct registry *r, const struct adapter_version *member)
{
        for (struct blend *b = r->blends; b != NULL; b = b->next)
                for (int i = 0; i < b->held.pub.adapter->n_parts && !b->retired; i++)
                        if (b->members[i] == member)
                                retire(b);
}

// It may be merged if all of its members may, and if there is anything to merge.
static void apply(struct blend *b)
{
        struct dyn_adapter *a = b->held.pub.adapter;
        bool unmergeable = a->info.n_sites == 0;

        for (int i = 0; i < a->n_parts; i++)
                unmergeable |= atomic_load(&a->parts[i].adapter->unmergeable);
        if (atomic_exchange(&a->unmergeable, unmergeable) != unmergeable)
                version_kick(a);
}

void blends_apply(struct registry *r)
{
        for (struct blend *b = r->blends; b != NULL; b = b->next)
                apply(b);
}

void blends_begin(struct adapter_version *v)
{
        const struct blend *b = (struct blend *)v; // held, and in it pub, comes first

        for (int i = 0; i < v->adapter->n_parts; i++) {
                b->members[i]->in_flight++;
                b->members[i]->entry->in_flight++;
        }
}

void blends_end(struct adapter_version *v)
{
        struct blend *b = (struct blend *)v; // held, and in it pub, comes first

        assert(v->in_flight > 0);
        for (int i = 0; i < v->adapter->n_parts; i++) // it still counts its request, and stays for that
                book_let_go(b->members[i]);
        v->in_flight--;
        b->entry.in_flight--;
        blends_settle(b->registry);
}

bool registry_uses(const struct adapter_version *v, const struct adapter_entry *entry)
{
        const struct blend *b = (const struct blend *)v; // held, and in it pub, comes first

        for (int i = 0; v->entry->blend && i < v->adapter->n_parts; i++)
                if (b->members[i]->entry == entry)
                        return true;
        return v->entry == entry;
}

// Asking for one
// ----------------------------------------------------------------------------------------------------------------

static struct blend *create(struct registry *r, const struct registry_share *shares, int n)
{
        struct blend *b = mem_zalloc(sizeof *b);
        struct blend_part parts[BLEND_MOST];

        for (int i = 0; i < n; i++) {
                assert(shares[i].version->entry->current == shares[i].version);
                parts[i] = (struct blend_part){shares[i].version->adapter, shares[i].weight};
                b->members[i] = shares[i].version;
        }
        b->registry = r;
        b->held.pub.adapter = blend_create(parts, n);
        b->held.pub.entry = &b->entry;
        b->entry = (struct adapter_entry){.name = b->held.pub.adapter->info.name,
                .source = b->held.pub.adapter->info.path,
                .state = ADAPTER_READY,
                .current = &b->held.pub,
                .blend = true};
        apply(b);
        return b;
}

static void make_room(struct registry *r)
{
        struct blend *b;

        while (blends_count(r) >= REGISTRY_BLENDS && (b = find_unused(r, true)) != NULL)
                leave(b);
}

enum dyn_status registry_blend(struct registry *r, const struct registry_share *shares, int n,
        struct adapter_version **out, struct dyn_error *err)
{
        struct blend *b = r->blends;

        *out = NULL;
        while (b != NULL && !is_of(b, shares, n))
                b = b->next;
        if (b != NULL) {
                unlink_blend(b);
        } else {
                make_room(r);
                b = create(r, shares, n);
                enum dyn_status st = resident_enter(r->resident, &b->held.residence, b->held.pub.adapter, err);

                if (st) {
                        dyn_fail_in(err, b->entry.name);
                        dyn_adapter_unpin(b->held.pub.adapter);
                        mem_free(b);
                        return st;
                }
                log_debug("adapter %s: a blend of rank %d at %d sites, %.1f MB", b->entry.name,
                        b->held.pub.adapter->info.rank, b->held.pub.adapter->info.n_sites,
                        (double)b->held.pub.adapter->info.bytes / 1e6);
        }
        link_first(b);
        *out = &b->held.pub;
        return DYN_OK;
}
