// The patches of a version on the device, one for each site: rank 0 where it has none. Any thread.
#ifndef DYNLORA_ADAPT_PATCHES_H
#define DYNLORA_ADAPT_PATCHES_H

#include "adapt/version.h"

// patches: (sites), zeros. After a failure they are to be freed as well.
enum dyn_status patches_load(
        const struct adapter_host *, struct dyn_lowrank *patches, const struct dyn_lowered *, struct dyn_error *);

void patches_free(const struct adapter_host *, struct dyn_lowrank *patches);

#endif
