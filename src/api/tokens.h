// A file of bearer tokens: one a line, with blanks around it, empty lines and lines that begin with # passed over. Read
// by the server for those that it takes and by the command line for the one that it sends. Any thread; blocks.
#ifndef DYNLORA_API_TOKENS_H
#define DYNLORA_API_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

#include "dynlora/status.h"

// Calls each token's `take`, in order. An error says the path and the line, never a token: DYN_NOT_FOUND or DYN_IO if
// it cannot be read, DYN_INVALID if it is no plain file, is too long, has no token, or one that no header can carry.
// What was taken before an error is the caller's to forget. *exposed: whether other users of this machine may read the
// file.
enum dyn_status tokens_read(const char *path, void (*take)(void *ctx, const char *token, size_t len), void *ctx,
        bool *exposed, struct dyn_error *);

#endif
