// Operators on values with Python's results: integers stay integers of 64 bits, / makes floats, // and % round down.
#ifndef DYNLORA_TEXT_JINJA_ARITH_H
#define DYNLORA_TEXT_JINJA_ARITH_H

#include "text/jinja/run.h"

struct value arith_binary(struct run *, enum op, struct value a, struct value b);
bool arith_compare(struct run *, enum op, struct value a, struct value b);
struct value arith_sign(struct run *, struct value, bool negative);

// Python's "%": the format with a value, or the values of a tuple or dict, put in.
struct value arith_format(struct run *, struct str format, struct value args);

#endif
