// What is wrong with a request, before it becomes an HTTP answer: the status and sentence of every room, and the field
// and the short code that OpenAI's error bodies carry. Filled by whoever finds it, answered by reply.c.
#ifndef DYNLORA_API_PROBLEM_H
#define DYNLORA_API_PROBLEM_H

#include "dynlora/status.h"

// The same status answers differently by what it is about: a bad request is 400, a bad adapter folder 422, and a
// server that is busy starting or draining 503 where a full queue is 429.
enum problem_about { ABOUT_REQUEST, ABOUT_ADAPTER, ABOUT_SERVER };

struct problem {
        enum problem_about about;
        struct dyn_error err;
        char param[80];   // the field of the body, "" if it is about none
        const char *code; // static; NULL: by the status
};

// Fills *p and returns status. param and code may be NULL.
enum dyn_status problem_set(struct problem *p, enum dyn_status status, const char *param, const char *code,
        const char *format, ...) __attribute__((format(printf, 5, 6)));

// Completes a problem whose err another room has filled; returns its status.
enum dyn_status problem_of(struct problem *p, const char *param, const char *code);

#endif
