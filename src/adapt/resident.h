// Which versions are on the device: a budget of bytes, the least recently used leave first, nobody leaves while
// requests run on it or while it is pinned. A request that wants a version that is not there waits for it; loading
// overlaps with the steps of others, and all who wait for one version go on together. Loop thread; loads run on the
// libuv pool.
//
// Nobody starves: if a request has waited for room longer than RESIDENT_PATIENCE steps of the engine, the least
// recently used version that is not pinned takes no new requests until it has drained and left; those that come for it
// meanwhile wait in turn.
#ifndef DYNLORA_ADAPT_RESIDENT_H
#define DYNLORA_ADAPT_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "adapt/version.h"

#define RESIDENT_PATIENCE 64

struct resident;
struct residence;

// A request's wish, owned by who wishes. granted is called once, from resident_want or later, with DYN_OK when the
// version is on the device and stays there until resident_done; with DYN_CONFLICT, DYN_IO, ... if it could not be
// brought there.
struct want {
        void (*granted)(struct want *, enum dyn_status, const struct dyn_error *);
        // The house's own.
        struct residence *residence; // NULL: not waiting
        struct want *next;
        uint64_t since;   // steps of the engine
        int64_t since_ns; // clock_ns
};

// A version's place in the house; embed it, fill with resident_enter.
struct residence {
        struct dyn_adapter *adapter; // borrowed
        struct resident *house;
        struct residence *older, *newer; // by last use, all that are on the device or the host
        struct residence *next_wanted;   // in the order of the oldest want
        struct want *first_want, **end_of_wants;
        int users; // granted and not done
        bool pinned, closing, leaving, wanted;
        bool refused;               // its last load failed: a pin alone does not try it again
        bool on_device, on_host;    // as the loop knows it; a load in flight counts as on the device
        struct resident_load *load; // running, or NULL
};

struct resident_options {
        uv_loop_t *loop;
        size_t device_bytes, host_bytes; // budgets
        const _Atomic uint64_t *steps;   // the engine's count
};

struct resident *resident_create(const struct resident_options *);

// No more loads: who waits is answered DYN_BUSY. Loads that have begun keep the loop alive until they end.
void resident_stop(struct resident *);

// After resident_stop, when the loop has nothing left to do and every residence has left.
void resident_destroy(struct resident *);

// A new version that version_open has put on the host. Goes to the device in the background if there is room without
// making anyone leave. DYN_NO_MEMORY if it is larger than the whole budget.
enum dyn_status resident_enter(struct resident *, struct residence *, struct dyn_adapter *, struct dyn_error *);

// No use of the version is left: no want, no user. gone is called when nothing works on it any more, perhaps at once;
// then the adapter can be unpinned and the residence freed.
void resident_leave(struct residence *, void (*gone)(void *ctx), void *ctx);

void resident_want(struct residence *, struct want *);

// Takes a wish back that was not granted yet.
void resident_forget(struct want *);

// A granted request has ended.
void resident_done(struct residence *);

// A pinned version is brought to the device, as soon as there is room, and stays.
void resident_pin(struct residence *, bool pinned);

struct resident_totals {
        uint64_t loads, evictions, host_evictions; // to the device, off it, off the host
        size_t device_bytes, host_bytes;           // in use
        size_t device_budget, host_budget;
        int waiting; // wants
};
struct resident_totals resident_totals(const struct resident *);

// "device", "host" or "disk".
const char *residence_tier(const struct residence *);

#endif
