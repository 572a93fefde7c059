// Drives an engine from a test: requests in, whole results out.
#ifndef DYNLORA_TESTS_DRIVER_H
#define DYNLORA_TESTS_DRIVER_H

#include "dynlora/engine.h"

// What one request answered. Arrays are (n_prompt) and (n_tokens); freed by driver_free.
struct result {
        struct dyn_event *prompt, *tokens;
        int n_prompt, n_tokens;
        struct dyn_event end;
};

struct driver {
        struct dyn_engine *engine;
        int pipe[2]; // woken by the engine
};

// Opens an engine with these options (wake is set here); exits with a message if it cannot.
void driver_open(struct driver *, struct dyn_engine_options);
void driver_close(struct driver *);

// Submits a request whose owner is its result. Retries while the queue is full.
void driver_submit(struct driver *, struct dyn_request *, struct result *);

// Waits until n requests have ended.
void driver_wait(struct driver *, int n);

void driver_free(struct result *);

// The defaults of a test: greedy, everything off.
struct dyn_request driver_request(const int32_t *prompt, int n_prompt, int max_tokens);

#endif
