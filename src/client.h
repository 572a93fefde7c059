// One client of a dynlora server's API, for the command line: a call and its whole answer, over TCP or a Unix socket.
// libcurl speaks HTTP. It follows no redirect and uses no proxy, so that a token goes where it was meant to. One
// thread.
#ifndef DYNLORA_CLIENT_H
#define DYNLORA_CLIENT_H

#include <stdio.h>

#include "base/buf.h"
#include "dynlora/status.h"

struct client;

// url: "http://HOST:PORT", "HOST:PORT" or "unix:PATH". token: sent with each call; NULL: none.
enum dyn_status client_create(struct client **, const char *url, const char *token, struct dyn_error *);
void client_destroy(struct client *);

struct client_call {
        const char *method;
        const char *path; // "/v1/adapters"
        const char *name; // a segment after it, escaped here; may be NULL
        const char *json; // the body, or NULL
        FILE *file;       // the body if not NULL: all of it
};

// The answer's body is appended to *body. DYN_IO if there was none: the error begins with the URL.
enum dyn_status client_send(
        struct client *, const struct client_call *, int *status, struct buf *body, struct dyn_error *);

#endif
