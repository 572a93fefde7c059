// The in-door of an inference call: from the bytes of its body to sequences that the engine can take.
#ifndef DYNLORA_API_INTAKE_H
#define DYNLORA_API_INTAKE_H

#include "api/generation.h"

// Reads the body into *g (whose api and form are set, the rest zero): who answers, prompts, stops, limits, and one
// choice for each prompt and n. Nothing is submitted or counted in. What was read stays in *g on failure, too.
enum dyn_status intake_read(struct generation *g, const char *body, size_t len, struct problem *);

// Gives back what intake_read took.
void intake_finish(struct generation *);

#endif
