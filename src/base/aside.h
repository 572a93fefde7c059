// Work aside: what can wait a little, done while a team (threads.h) computes, in pieces so short that the team hardly
// notices. The scheduler of the system alone does not bring that about: what it gives to a thread of low priority it
// gives in ticks of up to 4 ms, which is as long as a step.
#ifndef DYNLORA_BASE_ASIDE_H
#define DYNLORA_BASE_ASIDE_H

#include <stdbool.h>

// Calls work(arg) on a thread of its own that is aside, and waits for it.
void aside_run(void (*work)(void *arg), void *arg);

// Whether the calling thread is aside, and makes it so until it ends: for threads that such work starts.
bool aside_is(void);
void aside_enter(void);

// To be called between pieces of work that take well under a millisecond: if a team worked during the last one, this
// thread pauses so long that it takes a tenth of a core in all. On a thread that is not aside nothing happens.
void aside_breathe(void);

#endif
