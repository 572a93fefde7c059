// Equality and order of values, as Python has them. Numbers of all kinds compare by value; texts by code points.
#ifndef DYNLORA_TEXT_JINJA_COMPARE_H
#define DYNLORA_TEXT_JINJA_COMPARE_H

#include "text/jinja/run.h"

bool compare_equal(struct run *, struct value a, struct value b);

// Below, at or above zero; values that have no order are a failure of the run.
int compare_order(struct run *, struct value a, struct value b);

// Whether `item` is in `container`.
bool compare_contains(struct run *, struct value container, struct value item);

// Whether the value can be the key of a dict.
bool compare_hashable(struct run *, struct value);

#endif
