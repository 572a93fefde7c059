// The folders that adapters may be read from, links followed. Written at start, then read by any thread.
#ifndef DYNLORA_ADAPT_ROOTS_H
#define DYNLORA_ADAPT_ROOTS_H

#include "dynlora/status.h"

struct roots {
        char **paths; // (n) absolute, without links
        int n;
};

// Zero-initialised is empty. DYN_NOT_FOUND or DYN_INVALID if path is not a folder.
enum dyn_status roots_add(struct roots *, const char *path, struct dyn_error *);
void roots_finish(struct roots *);

// Whether the folder, and the adapter files in it, lie in one of the roots once every link is followed. DYN_FORBIDDEN,
// also for what does not exist outside; DYN_NOT_FOUND for what does not exist inside.
enum dyn_status roots_check(const struct roots *, const char *path, struct dyn_error *);

// The path without "..": real up to the last of them, and from there as it was given, since a link may be led elsewhere
// later. Unchanged if it does not exist. The caller's.
char *roots_settle(const char *path);

#endif
