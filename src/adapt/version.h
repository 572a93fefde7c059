// One loaded version of an adapter: the insides of struct dyn_adapter, for the scheduler that runs it.
#ifndef DYNLORA_ADAPT_VERSION_H
#define DYNLORA_ADAPT_VERSION_H

#include <stdatomic.h>
#include <stdint.h>

#include "dynlora/adapter.h"
#include "dynlora/backend.h"
#include "dynlora/engine.h"

// Where adapters are put: the model's sites and its device.
struct adapter_host {
        const struct dyn_backend_ops *ops;
        struct dyn_device *device;
        const struct dyn_sites *sites;
};

// Immutable after loading but for refs.
struct dyn_adapter {
        struct dyn_adapter_info info; // strings owned
        uint64_t id;                  // unique in this process, never 0, never used again: the key of everything cached
        struct dyn_lowrank *patches;  // (sites->n), rank 0 where it leaves a site alone
        const struct adapter_host *host;
        atomic_int refs;
};

// dyn_adapter_load without the engine around it. host must outlive the version.
enum dyn_status adapter_load(
        const struct adapter_host *, const char *name, const char *path, struct dyn_adapter **, struct dyn_error *);

#endif
