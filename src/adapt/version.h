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

// Where adapters are put: the model's sites, its device, and the engine that runs them.
struct adapter_host {
        const struct dyn_backend_ops *ops;
        struct dyn_device *device;
        const struct dyn_sites *sites;
        const char *base; // the model's folder or file, for messages; NULL: it has no name
        // Who runs them, and what it is told (dyn_engine_prefer_merged, dyn_engine_kick); NULL where versions are only
        // checked.
        struct dyn_engine *engine;
        void (*prefer_merged)(struct dyn_engine *, struct dyn_adapter *, bool keep);
        void (*kick)(struct dyn_engine *);
};

struct folder;
struct blend_part;

// What a version has at one of the sites that it patches.
struct outline {
        int site, rank;
        enum dyn_dtype dtype;
        float scale;
};

// info, id, outline and parts never change, but for info.path (version_move). files and patches come and go by
// version_* alone, one caller at a time.
struct dyn_adapter {
        struct dyn_adapter_info info; // strings owned
        uint64_t id;                  // unique in this process, never 0, never used again: the key of everything cached
        const struct adapter_host *host;
        struct folder *files;     // on the host; NULL otherwise
        size_t files_bytes;       // of both files
        struct outline *outline;  // (info.n_sites), each site once
        struct blend_part *parts; // (n_parts) what it is made of (adapt/blend.h); NULL if it has files of its own
        int n_parts;
        struct dyn_lowrank *patches; // on the device: (sites->n), rank 0 where it leaves a site alone; NULL otherwise
        size_t touched_bytes;        // the engine's: of the weights that a merge of it writes, 0: not asked yet
        atomic_bool refused;         // set by the engine: it can never be merged
        atomic_int refs;
        atomic_int running; // uses in the engine, requests and merging: while there are any, the patches stay
        // Between those who keep adapters and the engine, which looks between steps; after a change of the first three,
        // dyn_engine_kick.
        atomic_bool unmergeable;                // mode unmerged
        atomic_bool retired;                    // takes no new requests: it must not stay merged
        atomic_bool in_the_way;                 // its room on the device is needed
        atomic_llong merged_since;              // clock_unix, 0: not merged, or not whole
        _Atomic(const char *) unmerged_because; // static text: why it could not be merged, or NULL
};

// The engine looks at the flags above.
static inline void version_kick(const struct dyn_adapter *a)
{
        if (a->host->engine != NULL)
                a->host->kick(a->host->engine);
}

// Whether an adapter that says it was made for base_model (may be NULL) means another one, as far as names tell: the
// same model may lie in a folder of any name.
bool version_other_base(const struct adapter_host *, const char *base_model);

// Reads and checks a folder against the model: a version on the host. host must outlive it. Any thread; blocks.
enum dyn_status version_open(
        const struct adapter_host *, const char *name, const char *path, struct dyn_adapter **, struct dyn_error *);

// A version of that name and content (64 hex digits) that has nothing yet; pinned once for the caller.
struct dyn_adapter *version_create(const struct adapter_host *, const char *name, const char *path, const char *sha256);

// Puts it on the device, from the host or, if it is not there, from its folder once more. DYN_CONFLICT if that holds
// other content by now. Nothing happens if it is there. Any thread; blocks.
enum dyn_status version_to_device(struct dyn_adapter *, struct dyn_error *);

// What a version would put on the device, for who puts something made of it there. From the host or the folder, as
// above; which tier it is on neither matters nor changes. Any thread, beside the other calls too; blocks.
struct loan {
        struct folder *folder;
        struct dyn_lowered lowered;
};
enum dyn_status version_lend(struct dyn_adapter *, struct loan *, struct dyn_error *);
void version_take_back(struct loan *);

// The same content lies at another path from now on. Nobody may hold on to info.path across this but by a copy.
void version_move(struct dyn_adapter *, const char *path);

// Takes it off the device; false if requests run on it.
bool version_leave_device(struct dyn_adapter *);
void version_leave_host(struct dyn_adapter *);

// dyn_adapter_load without the engine around it: on the device, and not on the host.
enum dyn_status adapter_load(
        const struct adapter_host *, const char *name, const char *path, struct dyn_adapter **, struct dyn_error *);

#endif
