// The rows that everything about options is made from, a table for each command that has many. Only src/conf reads
// them; a new option of serve is a field in conf.h and a row in table.c, one of bench stands in bench.h and bench.c.
#ifndef DYNLORA_CONF_TABLE_H
#define DYNLORA_CONF_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum conf_type {
        CONF_STRING, // char *
        CONF_LIST,   // struct conf_list: may be given several times; in the environment, separated by ':'
        CONF_INT,    // int, min .. max
        CONF_SIZE,   // size_t, in bytes, with an optional K, M, G or T
        CONF_INTS,   // struct conf_ints: whole numbers, each min .. max, with commas between
        CONF_BOOL,   // bool, on or off
        CONF_SWITCH, // the same, and on when a flag has no value
        CONF_ENUM,   // an enum: one of the choices
};

struct conf_choice {
        const char *name; // NULL ends the choices
        int value;
};

struct conf_row {
        const char *name; // without dashes; the environment variable is DYNLORA_ and this in upper case, _ for -
        enum conf_type type;
        size_t offset;                     // of the field in the struct that the table fills
        const char *initial;               // the default as it would be written, NULL for none
        const char *argument;              // what help calls the value; NULL: it lists the choices
        const char *help;                  // sentences, wrapped where they are printed
        int64_t min, max;                  // of INT, INTS and SIZE
        const struct conf_choice *choices; // of ENUM; of STRING, if not NULL, the words allowed
        const char *group;                 // not NULL: a heading begins here
};

#define CONF_MAX_ROWS 64

struct conf_table {
        const struct conf_row *rows; // (n)
        int n;
};

// What several tables choose from.
extern const struct conf_choice conf_weights[], conf_backends[], conf_kv_dtypes[];

extern const struct conf_table conf_serve_table, conf_bench_table;

// The row of that name, -1 if there is none.
int conf_table_find(const struct conf_table *, const char *name, size_t len);

#endif
