// Stop strings: finds the first one to be completed in a growing text, however the text was cut into tokens, and says
// how much of the text's end might still become one and must be held back from a stream. Pure; used by generation.c.
#ifndef DYNLORA_API_STOP_H
#define DYNLORA_API_STOP_H

#include <stdbool.h>
#include <stddef.h>

#include "api/problem.h"
#include "io/json.h"

struct stop_set {
        const char **strings; // (n), borrowed, none empty
        size_t *lens;         // (n)
        int n;
        size_t longest;
};

// value: a string or an array of strings, borrowed from; NULL is none. On failure the set is empty.
enum dyn_status stop_read(struct stop_set *, const cJSON *value, struct problem *);
void stop_finish(struct stop_set *);

struct stop_match {
        int which;         // the index of the string
        size_t start, end; // in the text
};

// The stop string that ends first in text, the longest of those that end there. It must begin at `from` or later, and
// none may have ended within the first `seen` bytes, which earlier calls looked at.
bool stop_find(const struct stop_set *, const char *text, size_t len, size_t from, size_t seen, struct stop_match *);

// Length of the longest end of text, beginning at `from` or later, that a stop string begins with.
size_t stop_held(const struct stop_set *, const char *text, size_t len, size_t from);

#endif
