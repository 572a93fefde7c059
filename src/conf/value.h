// One option's value between text and its field in struct conf. Called by conf.c; does not know where the text is from.
#ifndef DYNLORA_CONF_VALUE_H
#define DYNLORA_CONF_VALUE_H

#include "conf/conf.h"
#include "conf/table.h"

// Replaces the value, or adds to a list. The error says what was expected and found, not which option.
enum dyn_status conf_value_set(struct conf *, const struct conf_row *, const char *text, struct dyn_error *);

// Frees what the field holds and leaves it empty.
void conf_value_clear(struct conf *, const struct conf_row *);

#endif
