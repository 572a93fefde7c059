// An adapter folder as the archive that an upload takes: a tar of its two files. For the command line.
#ifndef DYNLORA_PACKING_H
#define DYNLORA_PACKING_H

#include <stdio.h>

#include "dynlora/status.h"

// *out: a file without a name, to be closed by the caller.
enum dyn_status packing_tar(FILE **out, const char *folder, struct dyn_error *);

#endif
