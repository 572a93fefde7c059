// A file mapped for reading. The mapping is private, so that pages made writable later (mprotect, for a merge) become
// ours and never the file's. A file that is cut short while it is mapped faults when read (SIGBUS): replace files, do
// not rewrite them.
#ifndef DYNLORA_IO_MAPFILE_H
#define DYNLORA_IO_MAPFILE_H

#include <stddef.h>

#include "dynlora/status.h"

struct mapfile {
        void *data;
        size_t size;
};

// Regular files only. An empty file maps to size 0. The error names the path.
enum dyn_status mapfile_open(struct mapfile *, const char *path, struct dyn_error *);
void mapfile_close(struct mapfile *);

// The whole file as a NUL-terminated string (mem_free), at most max_bytes long: for configuration files.
enum dyn_status mapfile_read_text(const char *path, size_t max_bytes, char **text, size_t *len, struct dyn_error *);

#endif
