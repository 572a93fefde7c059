// The option that somebody probably meant. For error messages alone.
#ifndef DYNLORA_CONF_NEAREST_H
#define DYNLORA_CONF_NEAREST_H

#include <stddef.h>

#include "conf/table.h"

// The name in the table that the fewest typing slips lead to name from; NULL if none is near.
const char *conf_nearest(const struct conf_table *, const char *name, size_t len);

#endif
