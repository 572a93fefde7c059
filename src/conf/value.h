// One option's value between text and its field in the struct that the row's table fills. Called by source.c; does not
// know where the text is from.
#ifndef DYNLORA_CONF_VALUE_H
#define DYNLORA_CONF_VALUE_H

#include "conf/table.h"
#include "dynlora/status.h"

// Replaces the value, or adds to a list. The error says what was expected and found, not which option.
enum dyn_status conf_value_set(void *fields, const struct conf_row *, const char *text, struct dyn_error *);

// Frees what the field holds and leaves it empty.
void conf_value_clear(void *fields, const struct conf_row *);

#endif
