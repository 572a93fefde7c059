// An answer of administration that waits for something to end, while its client may leave. Whoever begins the work owns
// it and passes it on as the ctx; the function that is called back answers, if anybody is left, and ends it with
// waiting_over. If nothing began, waiting_refuse ends it. Loop thread.
#ifndef DYNLORA_API_WAITING_H
#define DYNLORA_API_WAITING_H

#include <stdbool.h>

#include "api/problem.h"
#include "api/server.h"
#include "http/http.h"

struct waiting {
        struct http_exchange *exchange; // NULL once the client has left: nobody is answered then
        const struct api *api;
        char *name;          // the adapter's
        const char *param;   // the field that is at fault if the adapter is, NULL: none
        const char *replace; // the field that would have let it take the place of another, NULL: it may
        bool vllm;           // answers in vLLM's words
};

// ?wait=VALUE: true and false by name, 1 and 0 or with no value at all for true. Without it *wait stays.
enum dyn_status waiting_read(struct http_exchange *, bool *wait, struct problem *);

// The name is copied. param and replace are NULL, and may be set to strings that outlive it.
struct waiting *waiting_on(const struct api *, struct http_exchange *, const char *name, bool vllm);

// Frees it. The exchange is left as it is: answered, or its client has left.
void waiting_over(struct waiting *);

// That it went well, in vLLM's words: a sentence. what: what was done, such as "added". The exchange must not be NULL
// and is gone afterwards, here and in the next.
void waiting_answer_vllm(const struct waiting *, const char *what);

// That it did not: p->err says what is wrong with the adapter, param names the field at fault, NULL: none.
void waiting_answer_failure(const struct waiting *, struct problem *p, const char *param);

// Nothing has begun: the name is busy, the server is, or there is no room for a pin, as p->err says. Frees what would
// have waited (NULL: nothing) and answers.
void waiting_refuse(struct waiting *, struct http_exchange *, struct problem *p);

#endif
