// The adapter store on disk, which is the registry that survives: DIR/NAME holds an adapter's two files, or, for a
// registration by path, dynlora.json alone; dynlora.json beside the files holds settings. Everything is put in place
// by one rename, so a kill at any moment leaves the old or the new, and at most hidden leftovers that store_tidy
// takes away. Processes on one or several hosts share a store without locks: the last writer of a name wins. Knows no
// registry and no HTTP. Any thread; blocks.
//
// A full disk or quota is DYN_NO_MEMORY, another refusal of the system DYN_IO.
#ifndef DYNLORA_ADAPT_STORE_H
#define DYNLORA_ADAPT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "dynlora/status.h"

#define STORE_SETTINGS "dynlora.json"

struct store;

enum store_mode { STORE_AUTO, STORE_MERGED, STORE_UNMERGED };

// "auto", "merged", "unmerged".
const char *store_mode_name(enum store_mode);

// Zero is the default.
struct store_settings {
        bool pin;
        enum store_mode mode;
};

// Fails if path is not a folder. Tidies nothing.
enum dyn_status store_open(struct store **, const char *path, struct dyn_error *);
void store_close(struct store *);
const char *store_path(const struct store *); // as it was given

// 1 to 128 of [A-Za-z0-9._-], not starting with '.'.
bool store_name_ok(const char *name);

// Takes a name out of the store at once, then deletes what it held; the target of a registration by path stays.
// DYN_NOT_FOUND.
enum dyn_status store_remove(struct store *, const char *name, struct dyn_error *);

// Writes the settings of a name; the registered path stays. DYN_NOT_FOUND; DYN_FORBIDDEN if the name is a link.
enum dyn_status store_set(struct store *, const char *name, const struct store_settings *, struct dyn_error *);

// Where a path leads once links are followed: to the store's folder of that name or into it, so that replacing the name
// would delete what is there, or elsewhere.
enum store_place { STORE_ELSEWHERE, STORE_ITSELF, STORE_WITHIN };
enum store_place store_place_of(const struct store *, const char *name, const char *path);

// Deletes what killed processes left: at once what a process of this host left that no longer lives, and after an hour
// what anybody else left. What was being replaced when its process died, where the file system cannot swap two folders,
// is put back. Never touches what a living process of this host stages. Once at start, then every few minutes.
void store_tidy(struct store *);

// One visible name of the store.
struct store_entry {
        char *name;
        char *target; // the folder of a registration by path, absolute; NULL if the files lie in the store
        struct store_settings settings;
        // Changes when anything does that an adapter is made of: the folder, the files in it, the settings, the folder
        // and files that a target or a link leads to. Take it before loading. Where fresh is set, something changed
        // within the last two seconds, and the clock of the file system may be too coarse to tell the next change:
        // look again before believing that an equal signature means equal content (not needed after one's own commit).
        uint64_t signature;
        bool fresh;
        // DYN_OK, or why it cannot be an adapter, whatever the files say: DYN_INVALID (the name, a bad dynlora.json, or
        // one with a path beside adapter files), DYN_FORBIDDEN (a link that leads out of the store; who allows further
        // roots may ask roots_check), DYN_NOT_FOUND (a link to nowhere).
        enum dyn_status status;
        char *error; // one sentence, NULL if DYN_OK
};

struct store_listing {
        struct store_entry *entries; // (n) by name, in byte order
        int n;
};

// Every visible folder, and every link that is not one to a file; the adapter files are looked at, not read. A name
// that is just being replaced may be missing where the file system cannot swap: see store_look. DYN_IO also if the
// store's path no longer leads to the folder that it was, or an empty one has taken its place.
enum dyn_status store_list(struct store *, struct store_listing *, struct dyn_error *);
void store_listing_free(struct store_listing *);

// The same for one name; waits up to a second for one that is just being replaced. DYN_NOT_FOUND: it is not there.
// Ask before unregistering what a listing no longer has.
enum dyn_status store_look(struct store *, const char *name, struct store_entry *, struct dyn_error *);
void store_entry_finish(struct store_entry *);

#endif
