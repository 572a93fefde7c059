// The in-door of an inference call: from the bytes of its body to sequences that the engine can take. The first two are
// work for the desk (any thread) and say on failure what is wrong; what was read stays in *g then, too.
#ifndef DYNLORA_API_INTAKE_H
#define DYNLORA_API_INTAKE_H

#include "api/generation.h"

// Reads g->text into g->body and g->params (api and form are set, the rest is zero), and gives the text back.
enum dyn_status intake_parse(struct generation *g, struct problem *);

// The rest, once g->version is chosen: prompts, stops, limits, and one choice for each prompt and n. Of the body only
// what is small is left. Nothing is submitted.
enum dyn_status intake_encode(struct generation *g, struct problem *);

// Gives back what they took. Loop thread.
void intake_finish(struct generation *);

#endif
