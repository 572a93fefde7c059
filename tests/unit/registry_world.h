// A registry over a new store, on a real loop and its pool, with a device that is host memory and folders to register.
// Opening a version can be made to wait at a gate: link with -Wl,--wrap=version_open.
#ifndef DYNLORA_TESTS_REGISTRY_WORLD_H
#define DYNLORA_TESTS_REGISTRY_WORLD_H

#include <pthread.h>

#include "adapt/registry.h"
#include "adapter_folder.h"

struct world {
        uv_loop_t *loop;
        struct registry *registry;
        bool watched; // the store is: the loop never runs out
        char *store, *root, *outside;
        char *one, *other, *broken, *link; // folders in the root: good, of other content, bad; link is not there yet
};

extern const struct adapter_folder world_broken; // what is in broken
extern pthread_mutex_t world_gate;               // held: loads wait
extern atomic_int world_at_gate;
extern const struct adapter_host *world_host; // of registries that are opened from now on; test_host

// For cmocka. At the end the device must be empty and the store without anything hidden.
int world_set_up(void **state);
int world_tear_down(void **state);

// Another registry on the same loop, store and root, as after a restart or on another host; close ends it.
struct world world_twin(const struct world *, size_t device_bytes);
void world_close(struct world *);

// folder/name, the caller's.
char *world_path(const char *folder, const char *name);

// Writes a folder of that name into the store, file by file.
void world_put(struct world *, const char *name, const struct adapter_folder *);
// By one rename instead of what is there.
void world_swap(struct world *, const char *name, const struct adapter_folder *);
void world_drop(struct world *, const char *name);
bool world_stores(const struct world *, const char *name);
int world_hidden(const struct world *); // folders that are being put in place or taken away

// Lets the loop run until nothing is left to do or, when the store is watched, for a while.
void world_settle(struct world *);
// Until the condition holds; fails after some 20 seconds.
#define world_until(w, condition)                                                                                      \
        do {                                                                                                           \
                int64_t until_began = clock_ns();                                                                      \
                while (!(condition)) {                                                                                 \
                        uv_run((w)->loop, UV_RUN_NOWAIT);                                                              \
                        usleep(500);                                                                                   \
                        if (clock_ns() - until_began > 20 * (int64_t)1000000000)                                       \
                                fail_msg("%s:%d: not within 20 seconds: %s", __FILE__, __LINE__, #condition);          \
                }                                                                                                      \
        } while (0)

// How something ended.
struct ending {
        int calls;
        enum dyn_status status;
        enum registry_outcome outcome;
        const struct adapter_entry *entry;
        char text[480];
};

registry_done world_on_done;

void world_begin(struct world *, const char *name, const char *path, bool replace, struct ending *);
struct ending world_order(struct world *, const struct registry_order *);
struct ending world_load(struct world *, const char *name, const char *path, bool replace);

// A tar of a folder's files in memory.
int world_archive(const char *folder);
struct ending world_upload(struct world *, const char *name, const char *folder);

struct ending world_set(struct world *, const char *name, struct store_settings);

// e may be NULL. The second form waits until it is gone.
void world_unregister(struct world *, const char *name, bool drained, struct ending *e);
struct ending world_remove(struct world *, const char *name);

struct adapter_version *world_resolve(struct world *, const char *name);
void world_unresolved(struct world *, const char *name, enum dyn_status, const char *text);

// The version that a name has now, "" if none.
const char *world_version(struct world *, const char *name);

struct counts {
        int calls, ready, failed;
};
struct counts world_scan(struct world *);

#endif
