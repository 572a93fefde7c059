#include "adapt/resident.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/threads.h"

#define MAX_LOADS   4                 // on the pool at once
#define LARGE       ((size_t)4 << 20) // bytes whose load would hold up steps
#define TICK_MS     20
#define PATIENCE_NS 1000000000

struct resident {
        struct resident_options o;
        struct resident_totals totals;
        struct residence *oldest, *newest;
        struct residence *first_wanted, **end_of_wanted;
        struct residence *closing; // drains to make room, or NULL
        int n_loads;
        uv_timer_t tick;
        bool pins_wait; // a pinned one may not be on the device
        bool ticking, pumping, again, stopping;
        struct resident_load *loads;
};

// Bringing one version to the device, on the pool. One that is left meanwhile ends with the load.
struct resident_load {
        uv_work_t work;
        struct residence *residence;
        enum dyn_status status;
        struct dyn_error error;
        void (*gone)(void *ctx);
        void *ctx;
        struct resident_load *next; // in the house's list
};

static void pump(struct resident *);

// The order of use
// --------------------------------------------------------------------------------------------------------------

static void unlink_use(struct residence *r)
{
        struct resident *h = r->house;

        *(r->older ? &r->older->newer : &h->oldest) = r->newer;
        *(r->newer ? &r->newer->older : &h->newest) = r->older;
        r->older = r->newer = NULL;
}

static void link_newest(struct residence *r)
{
        struct resident *h = r->house;

        r->older = h->newest;
        *(h->newest ? &h->newest->newer : &h->oldest) = r;
        h->newest = r;
}

static void touch(struct residence *r)
{
        unlink_use(r);
        link_newest(r);
}

static void leave_device(struct residence *r)
{
        bool left = version_leave_device(r->adapter);

        assert(left);
        (void)left;
        r->on_device = false;
        r->house->totals.device_bytes -= r->adapter->info.bytes;
        r->house->totals.evictions++;
        log_debug("adapter %s: off the device, version %s", r->adapter->info.name, r->adapter->info.version);
}

static void leave_host(struct residence *r)
{
        version_leave_host(r->adapter);
        r->on_host = false;
        r->house->totals.host_bytes -= r->adapter->files_bytes;
}

static bool can_leave(const struct residence *r)
{
        return r->on_device && r->load == NULL && r->users == 0 && r->first_want == NULL && !r->pinned &&
               atomic_load(&r->adapter->running) == 0;
}

// Files of the least recently used leave the host until its budget holds; those being read stay.
static void trim_host(struct resident *h)
{
        for (struct residence *r = h->oldest; r != NULL && h->totals.host_bytes > h->o.host_bytes; r = r->newer)
                if (r->on_host && r->load == NULL) {
                        leave_host(r);
                        h->totals.host_evictions++;
                }
}

// Loading
// -----------------------------------------------------------------------------------------------------------------------

static void bring(void *arg)
{
        struct resident_load *l = arg;

        l->status = version_to_device(l->residence->adapter, &l->error);
}

static void work(uv_work_t *req)
{
        const struct resident_load *l = req->data;

        if (l->residence->adapter->info.bytes < LARGE)
                bring(req->data);
        else
                thread_run_aside(bring, req->data);
}

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

static void unlink_load(struct resident *h, struct resident_load *l)
{
        struct resident_load **at = &h->loads;

        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        l->residence->load = NULL;
        h->n_loads--;
}

static void after(uv_work_t *req, int cancelled)
{
        struct resident_load *l = req->data;
        struct residence *r = l->residence;
        struct resident *h = r->house;

        if (cancelled)
                l->status = dyn_fail(&l->error, DYN_BUSY, "the server is stopping");
        unlink_load(h, l);
        // Read from its folder, it is on the host now as well.
        if (r->adapter->files != NULL && !r->on_host) {
                r->on_host = true;
                h->totals.host_bytes += r->adapter->files_bytes;
        }
        if (l->status == DYN_OK) {
                h->totals.loads++;
        } else {
                r->on_device = false;
                r->refused = true;
                h->totals.device_bytes -= r->adapter->info.bytes;
                if (!cancelled)
                        log_warn("adapter %s: %s", r->adapter->info.name, l->error.text);
        }
        if (r->leaving) {
                void (*gone)(void *) = l->gone;
                void *ctx = l->ctx;

                mem_free(l);
                resident_leave(r, gone, ctx);
        } else {
                if (l->status != DYN_OK)
                        refuse(r, l->status, &l->error);
                mem_free(l);
        }
        trim_host(h);
        pump(h);
}

static void load(struct residence *r)
{
        struct resident *h = r->house;
        struct resident_load *l = mem_zalloc(sizeof *l);

        l->work.data = l;
        l->residence = r;
        l->next = h->loads;
        h->loads = r->load = l;
        r->on_device = true;
        h->n_loads++;
        h->totals.device_bytes += r->adapter->info.bytes;
        uv_queue_work(h->o.loop, &l->work, work, after);
}

// Making room
// -------------------------------------------------------------------------------------------------------------------

static bool fits(const struct resident *h, const struct residence *r)
{
        return h->totals.device_bytes + r->adapter->info.bytes <= h->o.device_bytes;
}

// Nobody leaves unless that makes room enough.
static bool make_room(struct resident *h, const struct residence *r)
{
        size_t kept = h->totals.device_bytes;

        for (struct residence *at = h->oldest; at != NULL; at = at->newer)
                kept -= can_leave(at) ? at->adapter->info.bytes : 0;
        if (kept + r->adapter->info.bytes > h->o.device_bytes)
                return false;
        for (struct residence *at = h->oldest; at != NULL && !fits(h, r); at = at->newer)
                if (can_leave(at))
                        leave_device(at);
        return fits(h, r);
}

// What those take that stay whatever happens.
static size_t pinned_bytes(const struct resident *h)
{
        size_t bytes = 0;

        for (const struct residence *r = h->oldest; r != NULL; r = r->newer)
                bytes += r->pinned && r->on_device ? r->adapter->info.bytes : 0;
        return bytes;
}

// The least recently used busy version takes no more requests, so that it can leave.
static void close_one(struct resident *h)
{
        for (struct residence *r = h->oldest; r != NULL && h->closing == NULL; r = r->newer)
                if (r->on_device && r->load == NULL && !r->pinned &&
                        (r->users > 0 || atomic_load(&r->adapter->running) > 0)) {
                        r->closing = true;
                        h->closing = r;
                        atomic_store(&r->adapter->in_the_way, true);
                        version_kick(r->adapter);
                        log_debug("adapter %s: drains to make room on the device", r->adapter->info.name);
                }
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

// The closed one leaves when it has drained, and opens again when its room is needed no more.
static void reopen(struct resident *h)
{
        struct residence *r = h->closing;

        if (r == NULL)
                return;
        bool drained = r->users == 0 && atomic_load(&r->adapter->running) == 0;
        bool needed = find_impatient(h) != NULL;

        if (needed && !drained)
                return;
        h->closing = NULL;
        r->closing = false;
        atomic_store(&r->adapter->in_the_way, false);
        if (needed && r->on_device && r->load == NULL && !r->pinned)
                leave_device(r);
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
        size_t bytes = r->adapter->info.bytes, pinned = pinned_bytes(h);
        struct dyn_error err;

        if (pinned + bytes <= h->o.device_bytes) {
                close_one(h);
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
                if (h->n_loads < MAX_LOADS && make_room(h, r)) {
                        touch(r);
                        load(r);
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

        reopen(h);
        for (struct residence *r = h->first_wanted; r != NULL; r = r->next_wanted) {
                if (r->on_device && r->load == NULL && !r->closing) {
                        h->again = true;
                        unlist(r);
                        touch(r);
                        grant(r, DYN_OK, NULL);
                        return;
                }
                if (r->on_device || blocked || h->n_loads >= MAX_LOADS)
                        continue;
                if (make_room(h, r)) {
                        touch(r);
                        load(r);
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
        for (struct resident_load *l = h->loads; l != NULL; l = l->next)
                uv_cancel((uv_req_t *)&l->work);
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
        link_newest(r);
        if (fits(h, r) && h->n_loads < MAX_LOADS && !h->stopping)
                load(r);
        trim_host(h);
        return DYN_OK;
}

void resident_leave(struct residence *r, void (*gone)(void *ctx), void *ctx)
{
        struct resident *h = r->house;

        assert(r->users == 0 && r->first_want == NULL);
        r->leaving = true;
        if (r->load != NULL) {
                r->load->gone = gone;
                r->load->ctx = ctx;
                return;
        }
        unlist(r);
        if (h->closing == r)
                h->closing = NULL;
        if (r->on_device)
                h->totals.device_bytes -= r->adapter->info.bytes;
        if (r->on_host)
                h->totals.host_bytes -= r->adapter->files_bytes;
        unlink_use(r);
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
