#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

static void wake(void *ctx)
{
        struct driver *d = ctx;

        if (write(d->pipe[1], "", 1) < 0)
                abort();
}

void driver_open(struct driver *d, struct dyn_engine_options o)
{
        struct dyn_error err;

        if (pipe(d->pipe) != 0)
                abort();
        o.wake = wake;
        o.ctx = d;
        if (dyn_engine_create(&d->engine, &o, &err) != DYN_OK) {
                fprintf(stderr, "%s\n", err.text);
                exit(1);
        }
}

void driver_close(struct driver *d)
{
        dyn_engine_destroy(d->engine);
        close(d->pipe[0]);
        close(d->pipe[1]);
}

void driver_submit(struct driver *d, struct dyn_request *r, struct result *result)
{
        struct dyn_error err;

        *result = (struct result){
                .prompt = mem_array((size_t)r->n_prompt, sizeof *result->prompt),
                .tokens = mem_array((size_t)r->max_tokens, sizeof *result->tokens),
        };
        r->owner = result;
        while (dyn_engine_submit(d->engine, r, &err) != DYN_OK) {
                if (err.status != DYN_BUSY) {
                        fprintf(stderr, "%s\n", err.text);
                        exit(1);
                }
                usleep(1000);
        }
}

void driver_wait(struct driver *d, int n)
{
        struct dyn_event event;
        char c;

        while (n > 0) {
                while (dyn_engine_poll(d->engine, &event)) {
                        struct result *r = event.request->owner;

                        if (event.kind == DYN_EVENT_PROMPT)
                                r->prompt[r->n_prompt++] = event;
                        if (event.kind == DYN_EVENT_TOKEN)
                                r->tokens[r->n_tokens++] = event;
                        if (event.kind == DYN_EVENT_END) {
                                r->end = event;
                                n--;
                        }
                }
                if (n > 0 && read(d->pipe[0], &c, 1) < 0)
                        abort();
        }
}

void driver_free(struct result *r)
{
        mem_free(r->prompt);
        mem_free(r->tokens);
}

struct dyn_request driver_request(const int32_t *prompt, int n_prompt, int max_tokens)
{
        return (struct dyn_request){
                .prompt = prompt,
                .n_prompt = n_prompt,
                .max_tokens = max_tokens,
                .n_logprobs = -1,
                .n_prompt_logprobs = -1,
                .sampling = {.top_p = 1, .repetition_penalty = 1},
        };
}
