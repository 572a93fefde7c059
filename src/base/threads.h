// A fixed team of worker threads for the CPU backend: one parallel loop at a time, started by one thread that takes
// part in it. Idle workers spin briefly, then sleep. How the work is split never decides a result: see the backend
// contract.
#ifndef DYNLORA_BASE_THREADS_H
#define DYNLORA_BASE_THREADS_H

struct team;

// n_threads members, the caller of team_run among them (1: no thread is made).
struct team *team_create(int n_threads);
void team_destroy(struct team *);
int team_size(const struct team *);

// Cores that this process may run on.
int team_cores(void);

// Calls work(arg, i) for every i in 0 .. n - 1, spread over the members, and returns when all are done.
void team_run(struct team *, void (*work)(void *arg, int i), void *arg, int n);

// A number that changes whenever a loop of any team begins or ends.
unsigned team_loops(void);

#endif
