#include <assert.h>

#include "adapt/house.h"
#include "base/alloc.h"
#include "base/clock.h"

#define TICK_MS     20
#define PATIENCE_NS 1000000000

static void pump(struct resident *);

static void grant(struct residence *r, enum dyn_status status, const struct dyn_error *error)
{
        struct want *w = r->first_want;

        r->first_want = NULL;
        r->end_of_wants = &r->first_want;
        while (w != NULL) {
                struct want *next = w->next;

                w->residence = NULL;
                r->house->totals.waiting--;
                r->users += status == DYN_OK;
                w->granted(w, status, error);
                w = next;
        }
}

// Takes it off the list of the wanted.
static void unlist(struct residence *r)
{
        struct resident *h = r->house;
        struct residence **at = &h->first_wanted;

        if (!r->wanted)
                return;
        while (*at != r)
                at = &(*at)->next_wanted;
        *at = r->next_wanted;
        r->next_wanted = NULL;
        r->wanted = false;
        if (*at == NULL)
                h->end_of_wanted = at;
}

// All who wait for it go on without it.
static void refuse(struct residence *r, enum dyn_status status, const struct dyn_error *error)
{
        unlist(r);
        grant(r, status, error);
}

static bool impatient(const struct resident *h, const struct residence *r)
{
        const struct want *w = r->first_want;

        return atomic_load_explicit(h->o.steps, memory_order_relaxed) - w->since >= RESIDENT_PATIENCE ||
               clock_ns() - w->since_ns >= PATIENCE_NS;
}

// Somebody who is not there and has lost patience, or NULL.
static const struct residence *find_impatient(const struct resident *h)
{
        for (const struct residence *r = h->first_wanted; r != NULL; r = r->next_wanted)
                if (r->first_want != NULL && !r->on_device && impatient(h, r))
                        return r;
        return NULL;
}

static void on_tick(uv_timer_t *timer)
{
        pump(timer->data);
}

// Ticks while somebody waits, since patience is measured in steps.
static void keep_ticking(struct resident *h)
{
        bool needed = h->totals.waiting > 0 && !h->stopping;

        if (needed && !h->ticking)
                uv_timer_start(&h->tick, on_tick, TICK_MS, TICK_MS);
        if (!needed && h->ticking)
                uv_timer_stop(&h->tick);
        h->ticking = needed;
}

// Room for one whose patience is at an end. False if there is none to be had: it has been refused.
static bool insist(struct resident *h, struct residence *r)
{
        size_t bytes = r->adapter->info.bytes, pinned = room_pinned_bytes(h);
        struct dyn_error err;

        if (pinned + bytes <= h->o.device_bytes) {
                room_close_one(h);
                return true;
        }
        refuse(r,
                dyn_fail(&err, DYN_NO_MEMORY,
                        "adapter \"%s\" takes %zu bytes on the device, and pinned ones take %zu of the %zu that "
                        "--adapter-memory allows",
                        r->adapter->info.name, bytes, pinned, h->o.device_bytes),
                &err);
        return false;
}

// Pinned ones come when there is room that no request waits for.
static void bring_pinned(struct resident *h)
{
        if (!h->pins_wait || h->stopping || find_impatient(h) != NULL)
                return;
        h->pins_wait = false;
        for (struct residence *r = h->oldest, *next; r != NULL; r = next) {
                next = r->newer;
                if (!r->pinned || r->on_device || r->refused || r->leaving)
                        continue;
                if (bring_possible(h) && room_make(h, r)) {
                        room_touch(r);
                        bring_load(r);
                } else {
                        h->pins_wait = true;
                }
        }
}

// Serves the wanted in the order of their oldest want, up to the first that is granted: that may change everything,
// and the round is made again. Who does not fit is passed by until patience ends; then nobody younger loads.
static void pump_once(struct resident *h)
{
        bool blocked = false;

        room_reopen(h, find_impatient(h) != NULL);
        for (struct residence *r = h->first_wanted; r != NULL; r = r->next_wanted) {
                if (r->on_device && r->load == NULL && !r->closing) {
                        h->again = true;
                        unlist(r);
                        room_touch(r);
                        grant(r, DYN_OK, NULL);
                        return;
                }
                if (r->on_device || blocked || !bring_possible(h))
                        continue;
                if (room_make(h, r)) {
                        room_touch(r);
                        bring_load(r);
                } else if (impatient(h, r)) {
                        blocked = insist(h, r);
                        if (!blocked) {
                                h->again = true;
                                return;
                        }
                }
        }
        bring_pinned(h);
}

// Granting may want and end others: those come back here, and the round is made again.
static void pump(struct resident *h)
{
        h->again = true;
        if (h->pumping || h->stopping)
                return;
        h->pumping = true;
        while (h->again && !h->stopping) {
                h->again = false;
                pump_once(h);
        }
        h->pumping = false;
        keep_ticking(h);
}

void resident_brought(struct residence *r, enum dyn_status status, const struct dyn_error *err)
{
        struct resident *h = r->house;

        if (status != DYN_OK)
                refuse(r, status, err); // with its last want it may go
        pump(h);
}

// From outside
// ------------------------------------------------------------------------------------------------------------------

struct resident *resident_create(const struct resident_options *o)
{
        struct resident *h = mem_zalloc(sizeof *h);

        h->o = *o;
        h->totals.device_budget = o->device_bytes;
        h->totals.host_budget = o->host_bytes;
        h->end_of_wanted = &h->first_wanted;
        uv_timer_init(o->loop, &h->tick);
        h->tick.data = h;
        return h;
}

void resident_stop(struct resident *h)
{
        struct dyn_error err;

        if (h->stopping)
                return;
        h->stopping = true;
        h->ticking = false;
        dyn_fail(&err, DYN_BUSY, "the server is stopping");
        bring_cancel_all(h);
        while (h->first_wanted != NULL)
                refuse(h->first_wanted, DYN_BUSY, &err);
        uv_close((uv_handle_t *)&h->tick, NULL);
}

void resident_destroy(struct resident *h)
{
        if (h == NULL)
                return;
        assert(h->oldest == NULL && h->n_loads == 0);
        mem_free(h);
}

enum dyn_status resident_enter(
        struct resident *h, struct residence *r, struct dyn_adapter *adapter, struct dyn_error *err)
{
        if (adapter->info.bytes > h->o.device_bytes)
                return dyn_fail(err, DYN_NO_MEMORY,
                        "it takes %zu bytes on the device, and --adapter-memory allows %zu for all",
                        adapter->info.bytes, h->o.device_bytes);
        *r = (struct residence){.adapter = adapter, .house = h};
        r->end_of_wants = &r->first_want;
        r->on_host = adapter->files != NULL;
        h->totals.host_bytes += r->on_host ? adapter->files_bytes : 0;
        room_link(r);
        if (room_fits(h, r) && bring_possible(h))
                bring_load(r);
        room_trim_host(h);
        return DYN_OK;
}

void resident_leave(struct residence *r, void (*gone)(void *ctx), void *ctx)
{
        struct resident *h = r->house;

        assert(r->users == 0 && r->first_want == NULL);
        r->leaving = true;
        if (r->load != NULL) {
                bring_leave(r, gone, ctx);
                return;
        }
        unlist(r);
        if (h->closing == r)
                h->closing = NULL;
        if (r->on_device)
                h->totals.device_bytes -= r->adapter->info.bytes;
        if (r->on_host)
                h->totals.host_bytes -= r->adapter->files_bytes;
        room_unlink(r);
        gone(ctx);
        pump(h);
}

static void enqueue(struct residence *r)
{
        struct resident *h = r->house;

        if (r->wanted)
                return;
        r->wanted = true;
        r->next_wanted = NULL;
        *h->end_of_wanted = r;
        h->end_of_wanted = &r->next_wanted;
}

void resident_want(struct residence *r, struct want *w)
{
        struct resident *h = r->house;
        struct dyn_error err;

        if (h->stopping) {
                dyn_fail(&err, DYN_BUSY, "the server is stopping");
                w->granted(w, DYN_BUSY, &err);
                return;
        }
        w->residence = r;
        w->next = NULL;
        w->since = atomic_load_explicit(h->o.steps, memory_order_relaxed);
        w->since_ns = clock_ns();
        *r->end_of_wants = w;
        r->end_of_wants = &w->next;
        h->totals.waiting++;
        enqueue(r);
        pump(h);
}

void resident_forget(struct want *w)
{
        struct residence *r = w->residence;

        if (r == NULL)
                return;
        for (struct want **at = &r->first_want; *at != NULL; at = &(*at)->next)
                if (*at == w) {
                        *at = w->next;
                        if (*at == NULL)
                                r->end_of_wants = at;
                        break;
                }
        w->residence = NULL;
        r->house->totals.waiting--;
        if (r->first_want == NULL)
                unlist(r);
        keep_ticking(r->house);
}

void resident_done(struct residence *r)
{
        assert(r->users > 0);
        r->users--;
        if (r->users == 0)
                pump(r->house);
}

void resident_pin(struct residence *r, bool pinned)
{
        r->pinned = pinned;
        r->refused = false;
        r->house->pins_wait |= pinned;
        bring_pinned(r->house);
}

struct resident_totals resident_totals(const struct resident *h)
{
        return h->totals;
}

const char *residence_tier(const struct residence *r)
{
        if (r->on_device && r->load == NULL)
                return "device";
        return r->on_host ? "host" : "disk";
}
