// Who answers a request: the rules of "model" and "adapter" in its body. An unknown name is an error, never the base.
#ifndef DYNLORA_API_SERVED_H
#define DYNLORA_API_SERVED_H

#include "adapt/registry.h"
#include "api/fields.h"

// *version is NULL for the base. "adapter" comes before "model"; a null says the base outright; a list adds several up
// with weights, and one of weight 1 is that adapter itself. base is its id. DYN_NOT_FOUND (adapter_not_found),
// DYN_CONFLICT (adapter_version_gone), DYN_INVALID, DYN_NO_MEMORY (a blend that the device cannot hold), or DYN_BUSY
// while an adapter is still loading.
enum dyn_status served_by(
        struct registry *, const char *base, const struct params *, struct adapter_version **version, struct problem *);

// Whether "model" and "adapter" can name anything: their types, lengths and lists, without a look at what there is.
// What passes is small. Any thread.
enum dyn_status served_read(const struct params *, struct problem *);

// Whether it is so, for calls that no adapter makes a difference to.
enum dyn_status served_check(struct registry *, const char *base, const struct params *, struct problem *);

#endif
