// The grammar of JSON (RFC 8259) as a check over bytes, run before cJSON builds a tree, because cJSON accepts more than
// JSON and cuts some texts short. Called by json.c alone; it builds nothing.
#ifndef DYNLORA_IO_JSONTEXT_H
#define DYNLORA_IO_JSONTEXT_H

#include <stddef.h>

#include "dynlora/status.h"

// One value that fills the text: valid UTF-8 without NUL, strict grammar, paired surrogates, no \u0000, at most
// max_depth arrays and objects inside one another. The error says line, column (in bytes), what was expected and found.
enum dyn_status jsontext_check(const char *text, size_t len, int max_depth, struct dyn_error *);

#endif
