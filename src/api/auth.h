// Who may: bearer tokens for inference and for administration, and the rule for administration without them. Made by
// serve.c before it listens; api.c asks it about each request whose head is complete. Tokens are kept as their SHA-256
// only. It knows no HTTP. Loop thread.
#ifndef DYNLORA_API_AUTH_H
#define DYNLORA_API_AUTH_H

#include <stdbool.h>

#include "dynlora/status.h"

// What a route asks of those who call it.
enum auth_access {
        AUTH_OPEN,      // nothing
        AUTH_INFERENCE, // an API key or an admin token, if there is a file of API keys
        AUTH_ADMIN,     // an admin token if there is a file of them, else to be on this machine
};

struct auth;

// Reads the files; NULL for one that was not asked for. The error begins with the option that names the file; a file
// that other users may read is a warning in the log.
enum dyn_status auth_create(
        struct auth **, const char *api_key_file, const char *admin_token_file, struct dyn_error *err);
void auth_destroy(struct auth *);

// Reads the files again. One with an error leaves its tokens as they were, and the log says so.
void auth_reload(struct auth *);

// 0, or 401 or 403 and in *why a sentence. authorization: the header of that name, or NULL; local: whether it is asked
// from this machine.
int auth_check(const struct auth *, enum auth_access, const char *authorization, bool local, const char **why);

#endif
