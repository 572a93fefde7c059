// Who answers a request: the rules of "model" and "adapter" in its body. An unknown name is an error, never the base.
#ifndef DYNLORA_API_SERVED_H
#define DYNLORA_API_SERVED_H

#include "adapt/registry.h"
#include "api/fields.h"

// *version is NULL for the base. "adapter" comes before "model"; a null says the base outright. base is its id.
// DYN_NOT_FOUND (adapter_not_found), DYN_CONFLICT (adapter_version_gone), DYN_INVALID, DYN_UNSUPPORTED, or DYN_BUSY
// while the adapter is still loading.
enum dyn_status served_by(
        struct registry *, const char *base, const struct params *, struct adapter_version **version, struct problem *);

#endif
