// Stable sorting of values, as Python's sorted().
#ifndef DYNLORA_TEXT_JINJA_SORT_H
#define DYNLORA_TEXT_JINJA_SORT_H

#include "text/jinja/run.h"

// Sorts pairs by their keys, in place.
void sort_by_key(struct run *, struct pair *, size_t n, bool reverse);

// The pairs of a dict, sorted by key (by_value false) or by value; never NULL while the run is ok and the dict is not
// empty. `fold`: letter case does not count.
const struct pair *sort_pairs(struct run *, const struct dict *, bool by_value, bool fold, bool reverse);

// A string in lower case; every other value as it is.
struct value sort_fold(struct run *, struct value);

#endif
