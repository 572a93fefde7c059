// The insides of the registry, shared by registry.c (names, versions, counting) and loads.c (what runs on the pool).
// Nobody else includes this. Loop thread, but for what a load's worker reads: base, store, roots and host, which
// never change.
#ifndef DYNLORA_ADAPT_BOOK_H
#define DYNLORA_ADAPT_BOOK_H

#include "adapt/folder.h"
#include "adapt/registry.h"
#include "adapt/roots.h"

struct load;

struct held {
        struct adapter_version pub;
        struct residence residence;
        bool leaving;      // nobody uses it any more: it goes when the house lets go of it
        uint64_t sequence; // within its name, ascending from 1
        struct held *next; // the one before it
};

// Somebody who waits until no draining version up to a sequence is left.
struct waiter {
        uint64_t until;
        void (*gone)(void *ctx);
        void *ctx;
        struct waiter *next;
};

struct registered {
        struct adapter_entry pub; // name is owned; the rest is set by book_settle
        struct registry *registry;
        struct held *versions; // newest first; current is one of them
        uint64_t last_sequence;
        struct load *load; // running for this name, or NULL
        struct waiter *waiters;
        char *failure, *failed_source; // of a folder of the store; NULL otherwise
        bool settling;                 // in book_settle
};

struct registry {
        const struct adapter_host *host;
        struct resident *resident;
        uv_loop_t *loop;
        char *base, *store;
        struct roots roots;
        struct registered **entries; // (n), by name
        int n, cap;
        struct load *loads; // running
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

const char *load_path(const struct load *);

// Nobody wants the result any more.
void load_drop(struct load *);

#endif
