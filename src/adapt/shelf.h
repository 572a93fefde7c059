// The insides of the store on disk, shared by store.c, stage.c, place.c, listing.c, tidy.c, hidden.c and settings.c.
// Nobody else includes this.
#ifndef DYNLORA_ADAPT_SHELF_H
#define DYNLORA_ADAPT_SHELF_H

#include <sys/types.h>

#include "adapt/store.h"

#define STORE_NAME_MAX 128

// A process, told apart from all others that ever shared the store.
struct owner {
        char host[40];            // no '-' in it; another one after a reboot and in another container
        long pid;                 // there
        unsigned long long start; // when it began, in ticks of that host's clock
};

struct store {
        char *path, *real; // as it was given; absolute, without links
        int dir;           // its descriptor
        struct owner self;
};

// Errors
// ---------------------------------------------------------------------------------------------------------------------

// "folder/name: reason" for an errno, or "folder: reason" if name is NULL.
enum dyn_status shelf_fail(struct dyn_error *, const char *folder, const char *name, int error);

// fsync of a folder, which some network file systems do not have: that is no error. errno on false.
bool shelf_sync_folder(int fd);

// Goes over to another folder that has come to lie at the store's path: one that was mounted anew or restored from a
// copy. An empty one is taken for the place of a volume that is not mounted: DYN_IO, and so is none.
enum dyn_status shelf_follow(struct store *, struct dyn_error *);

// All of it, or errno and false.
bool shelf_write(int fd, const void *data, size_t len);

// Whether the name is there; waits up to a second for one that somebody is just replacing in two steps.
bool shelf_has(const struct store *, const char *name);

// Hidden names
// ---------------------------------------------------------------------------------------------------------------

enum hidden_kind {
        HIDDEN_STAGE, // .stage-OWNER-N: being filled, or what was swapped out of a name
        HIDDEN_GONE,  // .gone-OWNER-N: to be deleted by anybody
        HIDDEN_OLD,   // .old-NAME-OWNER-N: aside while the new one is renamed in; put back if that never happened
};

struct hidden {
        enum hidden_kind kind;
        char name[STORE_NAME_MAX + 1]; // HIDDEN_OLD: what it was called; else ""
        struct owner owner;
};

struct owner owner_self(void);

// Whether a process of this host has ended. False for those of other hosts.
bool owner_is_dead(const struct store *, const struct owner *);
bool owner_is_here(const struct store *, const struct owner *);

// The next name of a kind that this process has not used; name is for HIDDEN_OLD. Written to out.
void hidden_next(const struct store *, enum hidden_kind, const char *name, char out[256]);

// Whether a folder entry is one of ours.
bool hidden_parse(const char *text, struct hidden *);

// Renames a hidden folder to a name: swaps the two, or in two steps where the file system cannot. What was there before
// has the hidden name in replaced then, "" if nothing was. DYN_CONFLICT if the name is there and replace is false;
// DYN_BUSY if others keep changing it. Syncs nothing.
enum dyn_status shelf_place(const struct store *, const char *hidden, const char *name, bool replace,
        char replaced[256], struct dyn_error *);

// Deletes a file, a link or a whole folder; links are never followed. What the system does not let go is logged and
// left to store_tidy as HIDDEN_GONE.
void hidden_delete(const struct store *, const char *name);

// Settings
// -------------------------------------------------------------------------------------------------------------------

// Reads dynlora.json of a folder. Where there is none, settings are the default ones and *target NULL: DYN_OK.
// *target, if not NULL, is the caller's to free. label begins the error. DYN_INVALID, DYN_IO.
enum dyn_status settings_read(
        int folder, const char *label, struct store_settings *, char **target, struct dyn_error *err);

// Writes a file of that name, new and synced.
enum dyn_status settings_write(int folder, const char *label, const char *file, const struct store_settings *,
        const char *target, struct dyn_error *err);

#endif
