// Conversions between numbers and text with Python's rules.
#ifndef DYNLORA_TEXT_JINJA_NUMBERS_H
#define DYNLORA_TEXT_JINJA_NUMBERS_H

#include "text/jinja/value.h"

// int(v) and float(v); the text of a float makes an int too. Absent if v is no number.
struct value numbers_int(struct value);
struct value numbers_float(struct value);

// To a number of decimal places (0 to 15), ties to even; an int stays one.
struct value numbers_round(struct value, int places);

// The same, always up or always down.
struct value numbers_round_to(struct value, int places, bool up);

#endif
