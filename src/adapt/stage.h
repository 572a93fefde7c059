// A folder of the store that is being filled, hidden until it is committed under a name in one step. Filled by
// stage_copy, stage_point or the caller (archive_unpack); may be loaded and checked from stage_path before it is
// committed. One thread at a time; blocks.
#ifndef DYNLORA_ADAPT_STAGE_H
#define DYNLORA_ADAPT_STAGE_H

#include "adapt/store.h"

struct stage;

// A fresh empty folder. The store must outlive it. DYN_NO_MEMORY (the disk is full), DYN_IO.
enum dyn_status stage_open(struct stage **, struct store *, struct dyn_error *);

// Deletes what was not committed. NULL is allowed.
void stage_close(struct stage *);

const char *stage_path(const struct stage *);
int stage_folder(const struct stage *); // a descriptor of it, for openat; the stage's own

// Copies the two adapter files of a folder. DYN_NOT_FOUND, DYN_INVALID (not a regular file), DYN_NO_MEMORY, DYN_IO.
enum dyn_status stage_copy(struct stage *, const char *folder, struct dyn_error *);

// Makes it a registration of the folder at that path, which is not looked at. DYN_INVALID if it is not absolute.
enum dyn_status stage_point(struct stage *, const char *path, struct dyn_error *);

// Syncs the files, puts the folder in place of the name, syncs the store, deletes what was there. settings NULL keeps
// those that the name has, or the default ones. DYN_INVALID: a bad name, or the stage holds neither the two files nor
// a path; DYN_CONFLICT: the name is there and replace is false; DYN_BUSY: others keep replacing it. After DYN_OK the
// stage can only be closed; after an error the store is as it was and the commit may be tried again, but for a store
// that cannot be synced (DYN_IO): the new one is in place then and may go with the power.
enum dyn_status stage_commit(
        struct stage *, const char *name, bool replace, const struct store_settings *settings, struct dyn_error *);

#endif
