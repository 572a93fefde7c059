// Stop strings: finds the first one to be completed in a growing text, however the text was cut into tokens, and says
// how much of the text's end might still become one and must be held back from a stream. Each byte is looked at once,
// whatever the strings (Knuth, Morris and Pratt, "Fast pattern matching in strings", 1977). Used by generation.c.
#ifndef DYNLORA_API_STOP_H
#define DYNLORA_API_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/problem.h"
#include "io/json.h"

struct stop_set {
        const char **strings; // (n), borrowed, none empty
        size_t *lens;         // (n)
        uint16_t **borders;   // (n) of lens + 1: how much of a string its first so many bytes end with, less than all
        int n;
};

// value: a string or an array of strings, borrowed from; NULL is none. On failure the set is empty.
enum dyn_status stop_read(struct stop_set *, const cJSON *value, struct problem *);
void stop_finish(struct stop_set *);

// How far a text was looked at. Zero-initialised is its beginning.
struct stop_scan {
        uint16_t *matched; // (set->n) how much of each string the text ends with
        size_t seen;
};

void stop_scan_finish(struct stop_scan *);

struct stop_match {
        int which;         // the index of the string
        size_t start, end; // in the text
};

// Looks at the text beyond what the scan has seen: the stop string that ends first there, the longest of those that end
// at that place. It must begin at `from` or later, which never goes back.
bool stop_find(
        const struct stop_set *, struct stop_scan *, const char *text, size_t len, size_t from, struct stop_match *);

// Length of the longest end of the text that stop_find saw, beginning at its `from` or later, that a stop string begins
// with.
size_t stop_held(const struct stop_set *, const struct stop_scan *);

#endif
