// The names in an uploaded archive: which are allowed, and where among them the adapter lies. Called by archive.c;
// touches no file.
#ifndef DYNLORA_ADAPT_ENTRIES_H
#define DYNLORA_ADAPT_ENTRIES_H

#include <stdbool.h>

#include "dynlora/status.h"

// Zero-initialised is empty.
struct entries {
        struct entry {
                char *name; // without "./", "//" and a '/' at the end
                bool folder;
        } * list; // (n)
        int n;
};

void entries_finish(struct entries *);

// A name as it can be shown: printable ASCII, cut. Written to buf, returned.
const char *entries_show(const char *raw, char buf[128]);

// Checks a name and adds it; *name is what it is called here, borrowed, "" for the top of the archive itself.
// DYN_INVALID: absolute, "..", bytes that do not belong in a name, over 255 bytes, there already (also in other case),
// more than max names; DYN_UNSUPPORTED: a pickle.
enum dyn_status entries_add(
        struct entries *, const char *raw, bool folder, int max, const char **name, struct dyn_error *);

// The folder in which the adapter lies: "" for the top, or the single folder there. DYN_INVALID if neither holds both
// files.
enum dyn_status entries_root(const struct entries *, char root[256], struct dyn_error *);

// Which file of the adapter a name is: 0 the configuration, 1 the weights, -1 neither.
int entries_file_of(const char *name, const char *root);

extern const char *const entries_files[2];

#endif
