// Which adapters there are by name: each name has at most one published version, and a state for people. A thin book
// over dyn_adapter (dynlora/engine.h). Reading, checking and hashing run on the libuv pool and come back here;
// publishing is one pointer swap; a running request keeps the version that it began with, and a version that is no
// longer published goes with its last request. What is registered here is written to the store, if there is one. Loop
// thread, all of it, unless a function says otherwise.
#ifndef DYNLORA_ADAPT_REGISTRY_H
#define DYNLORA_ADAPT_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "adapt/blend.h"
#include "adapt/resident.h"
#include "adapt/store.h"
#include "dynlora/engine.h"

struct registry;

enum adapter_state { ADAPTER_LOADING, ADAPTER_READY, ADAPTER_DRAINING, ADAPTER_FAILED };

// "loading", ...
const char *adapter_state_name(enum adapter_state);

// A version of a name, published or draining. It stays while in_flight is not 0.
struct adapter_version {
        struct adapter_entry *entry;
        struct dyn_adapter *adapter;
        int in_flight; // requests running on it
};

// One name. Listed from the moment its first load begins until it is removed and its last request has ended. Pointers
// to it are good until control returns to the loop, or while a request of it runs.
struct adapter_entry {
        const char *name;
        const char *source; // the folder it was loaded from, or is being loaded from
        // LOADING: no version yet. READY: published; a replacement may be on its way. DRAINING: removed, but requests
        // still run. FAILED: a folder of the store that was refused, or an order that nobody waited for.
        enum adapter_state state;
        // FAILED: why. READY: why what the store holds now, or what was last ordered without waiting, is not served, or
        // NULL.
        const char *error;
        struct adapter_version *current; // READY: the published version; else NULL
        bool updating;                   // READY: a load for this name is running
        bool pinned;                     // stays on the device
        enum store_mode mode;
        bool blend;                // of several adapters, made for the requests that ask for it: listed nowhere
        int in_flight;             // requests running now, on all its versions and on blends with them
        uint64_t requests, tokens; // since it was registered; an update does not start them anew
};

// What the entry's version is: the published one, or the newest draining one; NULL if it has none.
const struct dyn_adapter_info *adapter_entry_info(const struct adapter_entry *);

struct registry_options {
        const struct adapter_host *host; // where adapters are put; outlives the registry
        struct resident_options resident;
        uv_loop_t *loop;
        const char *base;         // the base's id in the API: no adapter may take it
        const char *store;        // the store's folder; NULL: there is none
        const char *const *roots; // (n_roots) further folders that a registration may point into
        int n_roots;
};

// Fails if the store or a root is not a folder. The strings are copied.
enum dyn_status registry_create(struct registry **, const struct registry_options *, struct dyn_error *);

// No more loads: those that have not begun are cancelled, and the done of each is called with DYN_BUSY as the loop runs
// on. Loads that have begun keep the loop alive until they end.
void registry_stop(struct registry *);

// After registry_stop and when the loop has nothing left to do; no request may be running. Before the engine goes.
void registry_destroy(struct registry *);

// Loads what the store holds, several at a time, as adapters of their names. A folder that is refused stays listed as
// FAILED with its reason, and is read again when it changes. done (may be NULL) is called once, when the last one has
// been read, or before this returns if there is none; progress and refusals are logged. From then on the store is
// watched: what others put in, replace and take out is registered, updated and unregistered here. DYN_IO if the store
// cannot be read.
enum dyn_status registry_scan_store(
        struct registry *, void (*done)(void *ctx, int n_ready, int n_failed), void *ctx, struct dyn_error *err);

enum registry_outcome { REGISTRY_NEW, REGISTRY_UPDATED, REGISTRY_SAME };

// How a load ended. Called on the loop, exactly once, never from within registry_load. DYN_OK: entry is READY and
// outcome says what happened: 201, 200 (updated), 200 (the content that was there already). Otherwise entry is NULL and
// nothing has changed: DYN_CONFLICT (the name holds other content and replace was false, or it was removed meanwhile),
// DYN_FORBIDDEN (the path leads out of the roots), DYN_NOT_FOUND (no such folder), DYN_INVALID and DYN_UNSUPPORTED (a
// bad adapter), DYN_NO_MEMORY, DYN_BUSY (stopping), DYN_IO.
typedef void registry_done(void *ctx, enum dyn_status, enum registry_outcome, const struct adapter_entry *entry,
        const struct dyn_error *error);

// A folder to register under a name. It is entered into the store, if there is one, before it is published: a restart
// finds it. Its path is kept absolute and without "..", its links unresolved; the same content from another path is
// read from there from then on, unless the store has files of its own.
struct registry_order {
        const char *name;
        const char *path;                      // NULL: the store's folder of that name
        bool replace;                          // else a name that holds other content is DYN_CONFLICT
        const struct store_settings *settings; // NULL: those that the name has
};

// DYN_OK: it has begun and done (may be NULL) will be called. Otherwise done is not called: DYN_INVALID (the name),
// DYN_CONFLICT (the name is being loaded or changed), DYN_BUSY (stopping). Until it ends, a new name is listed as
// LOADING and a published one keeps serving.
enum dyn_status registry_load(
        struct registry *, const struct registry_order *, registry_done *done, void *ctx, struct dyn_error *);

// The same with an uploaded archive (adapt/archive.h), which replaces what the name holds. The descriptor is closed,
// always. DYN_UNSUPPORTED without a store.
enum dyn_status registry_upload(
        struct registry *, const char *name, int archive, registry_done *done, void *ctx, struct dyn_error *);

// How unregistering ended: DYN_OK, or why the store did not let go of the name: then the next start finds it again.
typedef void registry_gone(void *ctx, enum dyn_status, const struct dyn_error *);

// Unpublishes at once: no new request gets it, running ones end on their version; and takes it out of the store. A load
// of this name that is running is dropped. gone (may be NULL) is called once, when the store has let go of it and, with
// drained, when its last request has ended; before this returns if that is so already. DYN_NOT_FOUND if there is no
// such name.
enum dyn_status registry_remove(
        struct registry *, const char *name, bool drained, registry_gone *gone, void *ctx, struct dyn_error *err);

// The same for a name that the store has lost.
void registry_forget(struct registry *, const char *name);

// Has an adapter merged once, as soon as it is on the device (dyn_engine_prefer_merged). DYN_NOT_FOUND, DYN_INVALID.
enum dyn_status registry_merge_at_start(struct registry *, const char *name, struct dyn_error *);

// Whether that is still to come: the version is neither merged nor known not to be, and was not replaced, removed or
// given another mode meanwhile.
bool registry_merge_awaited(const struct registry *, const char *name);

// The name whose mode is merged, or NULL. At most one should have it: who sets modes asks here.
const char *registry_marked_merged(const struct registry *);

// Changes the settings of a name, here at once and in the store; if the store does not take them, here they are taken
// back. done is called once unless this fails: DYN_NOT_FOUND, DYN_CONFLICT (being loaded or changed), DYN_BUSY,
// DYN_NO_MEMORY (a pin that other pins leave no room for).
typedef void registry_set_done(void *ctx, enum dyn_status, const struct adapter_entry *, const struct dyn_error *);
enum dyn_status registry_set(struct registry *, const char *name, const struct store_settings *,
        registry_set_done *done, void *ctx, struct dyn_error *);

// A name that can be a path segment and a metric label: 1 to 128 of [A-Za-z0-9._-], not starting with '.'; not the
// base's. DYN_INVALID says which.
enum dyn_status registry_check_name(const struct registry *, const char *name, struct dyn_error *);

// Whether the folder, and the adapter files in it, lie under the store or a root once every link is followed.
// DYN_NOT_FOUND, DYN_FORBIDDEN. Touches the disk; any thread.
enum dyn_status registry_check_path(const struct registry *, const char *path, struct dyn_error *);

// The version that a request asks for with "name" or "name@VERSION" (the version, or the whole SHA-256). DYN_NOT_FOUND:
// no such adapter (one that failed or drains is none); DYN_BUSY: it is still loading for the first time; DYN_CONFLICT:
// that version is not the published one. Call registry_begin before control returns to the loop.
enum dyn_status registry_resolve(struct registry *, const char *name, struct adapter_version **, struct dyn_error *);

// The version that adds up others with weights (adapt/blend.h): 1 to BLEND_MOST published ones, of different names and
// none a blend. Made when it is first asked for and kept while it is used; the registry knows REGISTRY_BLENDS at a
// time, and more only while requests run on them. DYN_NO_MEMORY if the device can never hold it. Call registry_begin
// before control returns to the loop.
#define REGISTRY_BLENDS 64
struct registry_share {
        struct adapter_version *version;
        double weight;
};
enum dyn_status registry_blend(
        struct registry *, const struct registry_share *, int n, struct adapter_version **, struct dyn_error *);

// Whether a version is one of the entry's, or a blend with one.
bool registry_uses(const struct adapter_version *, const struct adapter_entry *);

// Counts a request in, and out with the tokens that it used. Between the two the version stays. It can run once the
// version is on the device: registry_want grants that, perhaps at once; registry_release gives it back when it was
// granted.
void registry_want(struct adapter_version *, struct want *);
void registry_release(struct adapter_version *);
void registry_begin(struct adapter_version *);
void registry_end(struct adapter_version *, uint64_t tokens);

// A wish that failed because the version's folder is gone or holds something else means that the name has been removed
// or updated, here a moment ago or by somebody else on the store: the book will know soon. again is called once, a
// little later, for who wants to resolve the name once more. False if there is nothing to hope for: no store, or
// stopping.
struct retry {
        void (*again)(struct retry *);
        // The registry's own.
        struct retries *all;
        struct retry *next;
        unsigned turn;
};
bool registry_retry(struct registry *, struct retry *);
void registry_retry_forget(struct retry *); // only while it waits

// The entry of that name in any state, or NULL.
const struct adapter_entry *registry_find(const struct registry *, const char *name);

// All entries, by name in byte order.
int registry_count(const struct registry *);
const struct adapter_entry *registry_at(const struct registry *, int i);

// "device", "host" or "disk": where the entry's version is.
const char *adapter_entry_tier(const struct adapter_entry *);

// Seconds since 1970 from when on the published version lies merged in the base, 0: it does not; and why it cannot, or
// NULL.
int64_t adapter_entry_merged_since(const struct adapter_entry *);
// What lies merged, which can be a weighted list that no entry is of; NULL: nothing does.
const struct dyn_adapter *registry_merged(const struct registry *);
const char *adapter_entry_unmerged_because(const struct adapter_entry *);

// Why a pin is not met, or NULL.
const char *adapter_entry_unpinned_because(const struct adapter_entry *);

// Since the start, for the metrics page.
struct registry_totals {
        struct resident_totals resident;
        uint64_t loads;    // that were published
        uint64_t failures; // that were refused
        uint64_t removals; // names unregistered
        int blends;        // known now
};
struct registry_totals registry_totals(const struct registry *);

#endif
