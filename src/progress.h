// How far a load is, for people: one line that is written over on a terminal, a log line now and then elsewhere. One
// thread at a time.
#ifndef DYNLORA_PROGRESS_H
#define DYNLORA_PROGRESS_H

#include <stdint.h>

// Zero-initialised is ready.
struct progress {
        int64_t said_ns; // when the last line was
        int width;       // of the line that stands on the terminal
};

// done: 0 .. 1.
void progress_say(struct progress *, const char *what, double done);

// Wipes the line.
void progress_end(struct progress *);

#endif
