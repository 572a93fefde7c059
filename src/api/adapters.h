// An adapter as the administration routes show it, for the two files that answer them.
#ifndef DYNLORA_API_ADAPTERS_H
#define DYNLORA_API_ADAPTERS_H

#include "adapt/registry.h"
#include "http/http.h"

// outcome: what a registration came to, "new", "updated" or "unchanged"; NULL: this answers something else.
void adapters_answer(struct http_exchange *, int status, const struct adapter_entry *, const char *outcome);
void adapters_answer_unknown(struct http_exchange *, const char *name);

#endif
