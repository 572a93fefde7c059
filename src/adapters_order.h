// The words after `dynlora adapters`, read and checked before a server is asked anything.
#ifndef DYNLORA_ADAPTERS_ORDER_H
#define DYNLORA_ADAPTERS_ORDER_H

#include <stdbool.h>
#include <stdio.h>

#include "dynlora/status.h"

struct adapters_order {
        const char *action;           // list, add, update, remove, pin or unpin
        const char *name, *path;      // NULL where the action has none
        const char *url, *token_file; // NULL if not given
        bool json, upload;
};

// The strings are argv's. The error says which word was expected; there must be one.
enum dyn_status adapters_order_read(struct adapters_order *, int argc, char **argv, struct dyn_error *);

void adapters_order_print_usage(FILE *);

#endif
