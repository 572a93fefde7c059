// The API over HTTP: the route table that http is handed, and what moves it. serve.c makes one before it listens, gives
// it the loaded parts, pumps the engine's events through it and has it drain. Loop thread.
#ifndef DYNLORA_API_API_H
#define DYNLORA_API_API_H

#include <stdbool.h>

#include "adapt/registry.h"
#include "api/auth.h"
#include "base/buf.h"
#include "dynlora/engine.h"
#include "http/http.h"
#include "text/template.h"
#include "text/tokenizer.h"

struct api;

struct api_options {
        const char *base;       // the base's id
        const char *model_path; // shown as its root
        int max_rows, max_queue;
        const struct auth *auth; // borrowed
        uv_loop_t *loop;
};

// The strings must outlive it. Until api_serve it answers probes; the rest is 503.
struct api *api_create(const struct api_options *);

// When no call is running: closes what it has in the loop, which must run once more before api_destroy.
void api_close(struct api *);
void api_destroy(struct api *);

// For struct http_options: the routes, whose ctx is the api, who may call them, the bodies of http's own errors, and
// the log.
const struct http_route *api_routes(int *n);
int api_admit(void *ctx, struct http_exchange *, int access, const char **why);
void api_error_body(int status, const char *message, struct buf *out);
void api_on_done(void *ctx, const char *method, const char *path, int status, const char *why, double seconds);

// The running server's parts. All are borrowed; chat_template may be NULL.
struct api_parts {
        struct dyn_engine *engine;
        const struct tokenizer *tokenizer;
        const struct chat_template *chat_template;
        struct registry *registry;
};

// From here on inference calls are taken.
void api_serve(struct api *, const struct api_parts *);

// From here on they are refused; running ones end.
void api_drain(struct api *);

// Ends those that still run: their clients are told, in the stream where one has begun.
void api_cut_off(struct http_server *);

// Handles the engine's events, so many at a time that connections are not kept waiting. True if some are left.
bool api_pump(struct api *);

// Calls of inference and tokenisation that still run.
int api_running(const struct api *);

// idle is called when none of these runs: at once, or after the last. For once.
void api_when_idle(struct api *, void (*idle)(void *ctx), void *ctx);

#endif
