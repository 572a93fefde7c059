// The insides of the registry, for the files that it is made of: registry.c has names, versions and counting, book.c
// entries, loads.h what runs on the pool. Nobody else includes this. Loop thread, but for what a load's worker reads:
// base, store, roots and host, which never change.
#ifndef DYNLORA_ADAPT_BOOK_H
#define DYNLORA_ADAPT_BOOK_H

#include "adapt/folder.h"
#include "adapt/registry.h"
#include "adapt/roots.h"
#include "adapt/store.h"

struct load;
struct scan;

struct held {
        struct adapter_version pub;
        struct residence residence;
        bool pin;          // by the settings, and met
        bool leaving;      // nobody uses it any more: it goes when the house lets go of it
        uint64_t sequence; // within its name, ascending from 1
        struct held *next; // the one before it
};

// Somebody who waits until the store has let go of the name and, with drained, no draining version up to a sequence is
// left.
struct waiter {
        uint64_t until;
        bool drained;
        registry_gone *gone;
        void *ctx;
        struct waiter *next;
};

struct registered {
        struct adapter_entry pub; // name is owned; the rest is set by book_settle
        struct registry *registry;
        struct held *versions; // newest first; current is one of them
        uint64_t last_sequence;
        struct load *load;   // running for this name, or NULL
        struct chore *chore; // a change of the store for this name, or NULL
        bool in_store;       // the store has the name
        uint64_t signature;  // of what the store held when it was last read, 0: never
        uint64_t changing;   // another one: it is read when it has held still
        int64_t changed;     // when that was first seen, clock_ns
        bool recheck;        // it was fresh: read it again once the clock can tell changes apart
        int missed;          // looks at the store that did not find it
        struct store_settings settings;
        struct dyn_error take_out; // why the store did not let go of it; DYN_OK if it did
        struct waiter *waiters;
        char *failure;       // of a folder of the store; NULL otherwise
        char *refusal;       // of the last order, if nobody waited for it; NULL otherwise
        char *failed_source; // of either
        bool settling;       // in book_settle
        bool removed;        // unregistered, and nothing was published since
};

struct retries {
        uv_timer_t timer;
        struct retry *first; // in the order of coming
        unsigned turn;
        bool stopped;
};

// Who shall lie merged because somebody said so.
struct favour {
        struct held *held; // NULL: nobody
        bool keep;         // always; else once
        bool wanting;      // on its way to the device
        struct want want;
};

// A blend, and the entry that stands for it where a request shows what serves it. One whose members have changed is
// found no more and goes with its last request.
struct blend {
        struct held held; // first
        struct adapter_entry entry;
        struct registry *registry;
        struct adapter_version *members[BLEND_MOST]; // (adapter->n_parts) held by its requests; dangling without them
                                                     // once it is retired
        bool retired;
        struct blend *next; // asked for longer ago
};

struct registry {
        const struct adapter_host *host;
        struct resident *resident;
        uv_loop_t *loop;
        char *base;
        struct store *store; // NULL: there is none
        size_t device_bytes; // the budget
        struct watch *watch; // of the store, or NULL
        struct roots roots;
        struct registered **entries; // (n), by name
        int n, cap;
        struct load *loads; // running
        struct retries retries;
        struct favour favour;
        struct blend *blends; // the last asked for first
        bool stopping;
        struct registry_totals totals;
};

struct registered *book_find(const struct registry *, const char *name, size_t len);

// A new entry without anything: give it a load or a failure before book_settle.
struct registered *book_add(struct registry *, const char *name);

// Takes over the pin. What was published before drains. DYN_NO_MEMORY if the device can never hold it: then nothing
// changes.
enum dyn_status book_publish(struct registered *, struct dyn_adapter *, struct dyn_error *);

// After any change to an entry: frees versions that have drained, brings its public face up to date, drops it if
// nothing is left, then calls those who waited. The entry may be gone afterwards.
void book_settle(struct registered *);

// Notes why what the store holds under the name is not served, and where that lies; NULL, NULL: it is.
void book_failure(struct registered *, const char *why, const char *source);

// The same for what somebody ordered without waiting for the answer.
void book_refusal(struct registered *, const char *why, const char *source);

// Keeps the settings; a pinned adapter is brought to the device.
void book_settings(struct registered *, const struct store_settings *);

// pins.c: after any change of what is published or pinned.
void pins_settle(struct registry *);

// Bytes of the device that the pins of all others leave; and whether so many suffice for one of that size, on any
// thread: DYN_NO_MEMORY.
size_t book_pin_room(const struct registry *, const char *name);
enum dyn_status book_check_pin(
        const struct registry *, const char *name, size_t bytes, size_t room, struct dyn_error *);

// No new request gets what is published. Settles nothing.
void book_unpublish(struct registered *);

const char *load_path(const struct load *);

// Whether it puts the name into the store.
bool load_is_kept(const struct load *);

// It goes on, but what comes of it is taken out of the store again.
void load_disown(struct load *);

// If what serves is just read once more because the store may have changed: whoever asks for a change goes before.
void load_yield(struct registered *);

// Reads what the store lists under a name. scan is NULL after the first reading.
void load_found(struct registry *, const struct store_entry *, struct scan *);
void load_stop_all(struct registry *);

// scan.c, the first reading of the store: one more of its folders is to be read, one was.
void scan_expect(struct scan *);
void scan_count(struct scan *, bool ready);

// chores.c: takes the name out of the store, on the pool. The entry stays until that is done.
void store_take_out(struct registered *);

// watch.c: holds a listing of the store against the book: reads what is new or has changed, forgets what is gone.
void watch_take(struct registry *, const struct store_listing *, struct scan *);
void watch_start(struct registry *);

// A name was just written or taken out here: what a look that had begun before still lists is not it.
void watch_bury(struct registry *, const char *name);
void watch_stop(struct registry *);
void watch_free(struct registry *); // after the loop has run out

// A request of a version has ended.
void book_let_go(struct adapter_version *);

// blends.c: what requests do to a blend and its members.
void blends_begin(struct adapter_version *);
void blends_end(struct adapter_version *);

// Those with a member that is published no more are retired; blends_settle lets them go.
void blends_retire(struct registry *, const struct adapter_version *member);
void blends_settle(struct registry *);
void blends_apply(struct registry *); // after a change of a member's mode
int blends_count(const struct registry *);
const struct dyn_adapter *blends_merged(const struct registry *); // the one that lies merged, or NULL
void blends_finish(struct registry *);

// favour.c: after any change of what is published or of a mode, before versions are let go.
void favour_settle(struct registry *);
bool favour_keeps(const struct registry *, const struct held *); // on the device

// retries.c. Stopping calls all who wait.
void retries_init(struct retries *, uv_loop_t *);
void retries_stop(struct retries *);

// Nobody wants the result any more.
void load_drop(struct load *);

#endif
