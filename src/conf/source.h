// One source of options (the flags, the environment, the file): which rows of a table it gave. A source replaces what
// the ones before it gave, also lists, and gives each option once. For conf.c and bench.c alone.
#ifndef DYNLORA_CONF_SOURCE_H
#define DYNLORA_CONF_SOURCE_H

#include <stdbool.h>

#include "conf/table.h"
#include "dynlora/status.h"

#define SOURCE_MAX_NAME 64 // letters of an option's name in an error

struct source {
        void *fields; // the struct that the table fills
        const struct conf_table *table;
        struct dyn_error *err;
        bool given[CONF_MAX_ROWS];
};

// where: how the error names the option, e.g. "flag --threads".
enum dyn_status source_take(struct source *, int row, const char *text, const char *where);
enum dyn_status source_fail_unknown(struct source *, const char *where, const char *name, size_t len);

// "--name value", "--name=value", and "--name" for a switch.
enum dyn_status source_take_flags(const struct conf_table *, void *fields, int argc, char **argv, struct dyn_error *);

// fields are zero before.
void source_set_defaults(const struct conf_table *, void *fields);
void source_clear(const struct conf_table *, void *fields);

#endif
