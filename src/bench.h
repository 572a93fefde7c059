// `dynlora bench`: what the engine does on this machine, without HTTP, as a share of what the machine could do.
#ifndef DYNLORA_BENCH_H
#define DYNLORA_BENCH_H

// argv: what follows "bench". The exit status: 0, 1 if it could not be measured, 2 for a bad option.
int bench_run(int argc, char **argv);

#endif
