// Which loops over quantised weights there are for this processor. Compiled once; for the fast backends, whichever
// instructions the rest of them is made of, since all loops give the same bits.
#ifndef DYNLORA_KERNELS_CPU_QUANT_LOOPS_H
#define DYNLORA_KERNELS_CPU_QUANT_LOOPS_H

#include "cpu/quant_dots.h"

#define QUANT_LOOPS 3 // at most

// All that this processor can run, the best for many rows first; returns how many.
int quant_loops(quant_dots_of *loops[QUANT_LOOPS]);

// The best for few rows, which wait for memory, and for many.
void quant_loops_choose(quant_dots_of **few, quant_dots_of **many);

#endif
