// A house of resident versions on a real loop and its pool, with a device that counts what is on it. A load can be made
// to wait at a gate. The oracle is a plain count of what is alive on the device, taken from outside.
#ifndef DYNLORA_TESTS_RESIDENT_WORLD_H
#define DYNLORA_TESTS_RESIDENT_WORLD_H

#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>

#include "adapt/resident.h"
#include "adapter_folder.h"

#define PATCHES 6 // of a version, on the device

extern pthread_mutex_t gate; // held: loads wait
extern atomic_int at_gate;
extern _Atomic uint64_t steps;
extern struct dyn_error err;
extern int n_granted;

// A house with room for some versions, all of one size. Version i is of folder i.
struct world {
        uv_loop_t loop;
        struct resident *house;
        char *store;
        struct residence places[16];
        char *paths[16];
        size_t bytes, files; // of a version, on the device and on the host
        int n, n_gone;
};

// Who wants a version. order counts what is granted.
struct asker {
        struct want want; // comes first
        struct residence *place;
        int calls, order;
        enum dyn_status status;
        char text[480];
};

void on_granted(struct want *w, enum dyn_status status, const struct dyn_error *error);

void ask(struct asker *a, struct residence *place);

struct dyn_adapter *open_version(const char *path);

int set_up(void **state);

void on_gone(void *ctx);

// Nobody may hold a version any more.
int tear_down(void **state);

void build(struct world *w, int device, int host);

struct residence *enter(struct world *w);

bool on_device(const struct residence *place);

// What is on the device is what the totals say, and never more than the budget.
void check_device(const struct world *w);

void check_host(const struct world *w);

// Lets the loop work until nothing is being loaded.
void settle(struct world *w);

void wait_for(struct world *w, const struct asker *a);

// Wanted, granted and ended.
void use(struct world *w, struct residence *place);

void leave(struct world *w, struct residence *place);

#endif
