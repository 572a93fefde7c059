// The running server: one struct that holds every part, for the three files that are its life. serve.c makes the parts
// that need no model and runs the loop, starting.c loads the rest, stopping.c ends it. Loop thread.
#ifndef DYNLORA_SERVING_H
#define DYNLORA_SERVING_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "adapt/registry.h"
#include "api/api.h"
#include "conf/conf.h"
#include "dynlora/engine.h"
#include "http/http.h"
#include "progress.h"
#include "text/template.h"
#include "text/tokenizer.h"

struct serve {
        const struct conf *conf;
        uv_loop_t loop;
        uv_async_t wake; // events of the engine wait
        uv_signal_t signals[2], reload;
        uv_timer_t drain_limit, merge_wait;
        uv_work_t load;
        bool loading, draining, closing;
        char *base;
        struct auth *auth;
        struct api *api;
        struct http_server *http;
        struct progress progress;

        // Made by starting.c.
        struct tokenizer *tokenizer;
        struct chat_template *chat_template;
        struct dyn_engine *engine;
        struct registry *registry;
        struct dyn_error error;

        int n_ready, n_failed; // adapters of the store
        int64_t started_ns;
        int signal; // the one that asked to stop
        int status;
        bool at_once;
};

#endif
