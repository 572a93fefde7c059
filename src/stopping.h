// How the server ends: a first signal lets running requests end, a second one or a time limit does not. All of it ends
// with the loop running out, save where it must go at once. Loop thread.
#ifndef DYNLORA_STOPPING_H
#define DYNLORA_STOPPING_H

#include "serving.h"

// SIGTERM or SIGINT came; the signal's data is the struct serve.
void stopping_on_signal(uv_signal_t *, int number);

// It could not start: logs s->error, and ends with status 1.
void stopping_fail(struct serve *);

#endif
