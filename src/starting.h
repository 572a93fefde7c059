// How the server becomes ready: model and tokenizer are loaded on the pool while probes are answered already, then the
// store is read, then the ready file says where it listens. Loop thread.
#ifndef DYNLORA_STARTING_H
#define DYNLORA_STARTING_H

#include "serving.h"

// Begins; the rest follows on the loop, and ends in requests being taken or in stopping_fail.
void starting_load(struct serve *);

#endif
