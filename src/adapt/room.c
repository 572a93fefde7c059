#include <assert.h>

#include "adapt/house.h"
#include "base/log.h"

void room_unlink(struct residence *r)
{
        struct resident *h = r->house;

        *(r->older ? &r->older->newer : &h->oldest) = r->newer;
        *(r->newer ? &r->newer->older : &h->newest) = r->older;
        r->older = r->newer = NULL;
}

void room_link(struct residence *r)
{
        struct resident *h = r->house;

        r->older = h->newest;
        *(h->newest ? &h->newest->newer : &h->oldest) = r;
        h->newest = r;
}

void room_touch(struct residence *r)
{
        room_unlink(r);
        room_link(r);
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

void room_trim_host(struct resident *h)
{
        for (struct residence *r = h->oldest; r != NULL && h->totals.host_bytes > h->o.host_bytes; r = r->newer)
                if (r->on_host && r->load == NULL) {
                        leave_host(r);
                        h->totals.host_evictions++;
                }
}

bool room_fits(const struct resident *h, const struct residence *r)
{
        return h->totals.device_bytes + r->adapter->info.bytes <= h->o.device_bytes;
}

bool room_make(struct resident *h, const struct residence *r)
{
        size_t kept = h->totals.device_bytes;

        for (struct residence *at = h->oldest; at != NULL; at = at->newer)
                kept -= can_leave(at) ? at->adapter->info.bytes : 0;
        if (kept + r->adapter->info.bytes > h->o.device_bytes)
                return false;
        for (struct residence *at = h->oldest; at != NULL && !room_fits(h, r); at = at->newer)
                if (can_leave(at))
                        leave_device(at);
        return room_fits(h, r);
}

size_t room_pinned_bytes(const struct resident *h)
{
        size_t bytes = 0;

        for (const struct residence *r = h->oldest; r != NULL; r = r->newer)
                bytes += r->pinned && r->on_device ? r->adapter->info.bytes : 0;
        return bytes;
}

void room_close_one(struct resident *h)
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

void room_reopen(struct resident *h, bool needed)
{
        struct residence *r = h->closing;

        if (r == NULL)
                return;
        bool drained = r->users == 0 && atomic_load(&r->adapter->running) == 0;

        if (needed && !drained)
                return;
        h->closing = NULL;
        r->closing = false;
        atomic_store(&r->adapter->in_the_way, false);
        if (needed && r->on_device && r->load == NULL && !r->pinned)
                leave_device(r);
}
