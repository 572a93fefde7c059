// Answers to an inference call as they come: server-sent events in OpenAI's chunks, [DONE] at the end, and an `error`
// event where a stream that has begun cannot go on. A reader that falls behind makes its sequences rest. Each call may
// find that the peer has left: then the generation's exchange is NULL and nothing is written.
#ifndef DYNLORA_API_STREAM_H
#define DYNLORA_API_STREAM_H

#include "api/generation.h"

void stream_begin(struct generation *);

// Text of this choice has been settled, or not: what can be said is said.
void stream_progress(struct choice *);

// The choice has ended: the rest and its finish_reason.
void stream_finish(struct choice *);

// All choices have ended.
void stream_end(struct generation *);

#endif
