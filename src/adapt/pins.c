// Pins: which can be asked for, and which are met. A server alone refuses what does not fit beside the others; what
// several write into one store may not fit together.
#include <string.h>

#include "adapt/book.h"

// In the order of names, so that all replicas keep the same ones.
void pins_settle(struct registry *r)
{
        size_t room = r->device_bytes;

        for (int i = 0; i < r->n; i++) {
                const struct registered *e = r->entries[i];
                struct held *v = (struct held *)e->pub.current; // pub comes first

                if (v == NULL)
                        continue;
                size_t bytes = dyn_adapter_info(v->pub.adapter)->bytes;
                bool met = e->settings.pin && bytes <= room;

                room -= met ? bytes : 0;
                if (met == v->pin)
                        continue;
                v->pin = met;
                resident_pin(&v->residence, met || favour_keeps(r, v));
        }
}

const char *adapter_entry_unpinned_because(const struct adapter_entry *entry)
{
        const struct held *v = (const struct held *)entry->current; // pub comes first

        return v == NULL || v->pin || !entry->pinned
                       ? NULL
                       : "pinned adapters whose names come first leave no room on the device";
}

size_t book_pin_room(const struct registry *r, const char *name)
{
        size_t room = r->device_bytes;

        for (int i = 0; i < r->n; i++) {
                const struct registered *e = r->entries[i];

                if (!e->settings.pin || e->pub.current == NULL || strcmp(e->pub.name, name) == 0)
                        continue;
                size_t bytes = dyn_adapter_info(e->pub.current->adapter)->bytes;
                room -= bytes < room ? bytes : room;
        }
        return room;
}

enum dyn_status book_check_pin(
        const struct registry *r, const char *name, size_t bytes, size_t room, struct dyn_error *err)
{
        if (bytes <= room)
                return DYN_OK;
        return dyn_fail(err, DYN_NO_MEMORY,
                "adapter \"%s\" cannot be pinned: it takes %zu bytes on the device, and other pinned ones leave %zu of "
                "the %zu that --adapter-memory allows",
                name, bytes, room, r->device_bytes);
}
