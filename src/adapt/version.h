// One version of an adapter: the insides of struct dyn_adapter, for the scheduler that runs it and for those who move
// it between tiers. On the disk: nothing but what is known of it. On the host: its files in memory. On the device: its
// patches.
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

struct folder;

// info and id never change. files and patches come and go by version_* alone, one caller at a time.
struct dyn_adapter {
        struct dyn_adapter_info info; // strings owned
        uint64_t id;                  // unique in this process, never 0, never used again: the key of everything cached
        const struct adapter_host *host;
        struct folder *files;        // on the host; NULL otherwise
        size_t files_bytes;          // of both files
        struct dyn_lowrank *patches; // on the device: (sites->n), rank 0 where it leaves a site alone; NULL otherwise
        atomic_int refs;
        atomic_int running; // requests in the engine: while there are any, the patches stay
};

// Reads and checks a folder against the model: a version on the host. host must outlive it. Any thread; blocks.
enum dyn_status version_open(
        const struct adapter_host *, const char *name, const char *path, struct dyn_adapter **, struct dyn_error *);

// Puts it on the device, from the host or, if it is not there, from its folder once more. DYN_CONFLICT if that holds
// other content by now. Nothing happens if it is there. Any thread; blocks.
enum dyn_status version_to_device(struct dyn_adapter *, struct dyn_error *);

// Its folder is somewhere else from now on. Before anybody else knows the version.
void version_move(struct dyn_adapter *, const char *path);

// Takes it off the device; false if requests run on it.
bool version_leave_device(struct dyn_adapter *);
void version_leave_host(struct dyn_adapter *);

// dyn_adapter_load without the engine around it: on the device, and not on the host.
enum dyn_status adapter_load(
        const struct adapter_host *, const char *name, const char *path, struct dyn_adapter **, struct dyn_error *);

#endif
