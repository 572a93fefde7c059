// What the server says of its adapters, as a table for people: at most 100 columns, a line each. For the command line.
#ifndef DYNLORA_ADAPTERS_TABLE_H
#define DYNLORA_ADAPTERS_TABLE_H

#include <stdio.h>

#include <cjson/cJSON.h>

// An array of adapters as GET /v1/adapters answers them; after the table, why those that failed did.
void adapters_table_print(FILE *, const cJSON *adapters);

#endif
