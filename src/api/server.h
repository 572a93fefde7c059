// What the handlers of this room share: the parts of the running server, its state and its counters. Made by api.c, and
// seen by nobody outside this room. Loop thread.
#ifndef DYNLORA_API_SERVER_H
#define DYNLORA_API_SERVER_H

#include <stddef.h>

#include "adapt/registry.h"
#include "api/auth.h"
#include "api/counters.h"
#include "api/desk.h"
#include "api/problem.h"
#include "dynlora/engine.h"
#include "http/http.h"
#include "text/template.h"
#include "text/tokenizer.h"

enum api_state { API_STARTING, API_SERVING, API_DRAINING };

// The base, where an adapter's name would stand: in x-dynlora-adapter and as a metric label. No adapter can have it.
#define API_BASE_LABEL "base"

// All blends as a metric label, so that there are not as many as weights. No adapter's name has such letters.
#define API_BLEND_LABEL "(blend)"

struct api {
        const char *base;        // the base's id
        const char *model_path;  // its "root"
        const struct auth *auth; // who may
        int max_rows, max_queue; // of the engine
        enum api_state state;

        // From when the model is loaded on; NULL before.
        struct dyn_engine *engine;
        const struct dyn_model_info *model;
        const struct tokenizer *tokenizer;
        const struct chat_template *chat_template; // NULL if the model ships none
        struct registry *registry;
        char fingerprint[80]; // of base and backend
        uint64_t n_switched;  // answers during which the weights changed
        size_t longest_piece; // bytes of the longest token
        int64_t loaded_at;    // seconds since 1970

        struct desk *desk;
        struct generation *generations; // a list
        int n_calls;                    // of inference and tokenisation, from arrival until nothing is left of them
        void (*idle)(void *ctx);        // wanted when there are none, or NULL
        void *idle_ctx;
        struct counters counters;
        struct buf chunk; // scratch of stream.c
};

// DYN_OK if inference calls are taken, or if the model is there at all, which it is while draining, too; else DYN_BUSY,
// answered as 503. The query is checked with it.
enum dyn_status api_check_serving(const struct api *, const struct http_exchange *, struct problem *);
enum dyn_status api_check_loaded(const struct api *, const struct http_exchange *, struct problem *);

// DYN_INVALID if there is a parameter in it that the route does not take.
enum dyn_status api_check_query(const struct http_exchange *, struct problem *);

// A call that outlasts its handler; the engine, tokenizer and registry stay until it has ended.
void api_call_begins(struct api *);
void api_call_ends(struct api *);

// Takes a request's body, to be read at the desk. DYN_BUSY, answered as 429, if too many wait for that.
enum dyn_status api_take_body(struct api *, struct http_exchange *, struct buf *body, struct problem *);

// The adapter {name, version} of an answer or null, as API.md shows it; version NULL is the base.
struct writer;
void api_write_adapter(struct writer *, const struct adapter_version *);
const char *api_served_name(const struct api *, const struct adapter_version *);

// Handlers: completions.c, chat.c, tokenize.c, models.c, adapters.c, registration.c, probes.c, page.c.
void api_completions(struct http_exchange *, void *ctx);
void api_chat(struct http_exchange *, void *ctx);
void api_tokenize(struct http_exchange *, void *ctx);
void api_detokenize(struct http_exchange *, void *ctx);
void api_models(struct http_exchange *, void *ctx);
void api_model(struct http_exchange *, void *ctx);
void api_adapters(struct http_exchange *, void *ctx);
void api_adapter(struct http_exchange *, void *ctx);
void api_adapter_register(struct http_exchange *, void *ctx);
void api_adapter_upload(struct http_exchange *, void *ctx);
void api_adapter_set(struct http_exchange *, void *ctx);
void api_adapter_remove(struct http_exchange *, void *ctx);
void api_lora_load(struct http_exchange *, void *ctx);
void api_lora_unload(struct http_exchange *, void *ctx);
void api_health(struct http_exchange *, void *ctx);
void api_ready(struct http_exchange *, void *ctx);
void api_version(struct http_exchange *, void *ctx);
void api_metrics(struct http_exchange *, void *ctx);

#endif
