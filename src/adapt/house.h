// What the files behind resident.h share: room.c keeps the order of use and finds out who leaves, bring.c loads,
// resident.c grants. Loop thread.
#ifndef DYNLORA_ADAPT_HOUSE_H
#define DYNLORA_ADAPT_HOUSE_H

#include "adapt/resident.h"

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

// The order of use.
void room_link(struct residence *); // as the newest
void room_unlink(struct residence *);
void room_touch(struct residence *);

bool room_fits(const struct resident *, const struct residence *);

// Others leave the device until it fits. Nobody does unless that makes room enough.
bool room_make(struct resident *, const struct residence *);

// Files of the least recently used leave the host until its budget holds; those being read stay.
void room_trim_host(struct resident *);

// What those take that stay whatever happens.
size_t room_pinned_bytes(const struct resident *);

// The least recently used busy version takes no more requests, so that it can leave.
void room_close_one(struct resident *);

// The closed one leaves when it has drained, and opens again when its room is needed no more.
void room_reopen(struct resident *, bool needed);

bool bring_possible(const struct resident *);

// Begins to bring it to the device, which must have room; resident_brought follows unless it leaves meanwhile.
void bring_load(struct residence *);

// It leaves while it is being brought: gone is called when that has ended.
void bring_leave(struct residence *, void (*gone)(void *ctx), void *ctx);

void bring_cancel_all(struct resident *);

void resident_brought(struct residence *, enum dyn_status, const struct dyn_error *);

#endif
