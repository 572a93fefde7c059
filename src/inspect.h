// `dynlora inspect PATH`: says what a model or an adapter folder is, or why it would be refused.
#ifndef DYNLORA_INSPECT_H
#define DYNLORA_INSPECT_H

#include <stdio.h>

#include "dynlora/status.h"

// Writes what it is to out. A failure is what `serve` or a registration would answer, beginning with the path; part of
// the description may have been written by then.
enum dyn_status inspect_path(const char *path, FILE *out, struct dyn_error *);

// The command: to stdout and stderr. The exit status: 0, or 1 if it would be refused.
int inspect_run(const char *path);

#endif
