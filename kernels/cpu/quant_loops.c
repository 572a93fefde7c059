#include "cpu/quant_loops.h"

#ifdef __x86_64__
#include <cpuid.h>

// AVX-VNNI is bit 4 of EAX in leaf 7, subleaf 1. The system must keep the upper halves of registers, as for AVX2, which
// was asked for already.
int quant_loops(quant_dots_of *loops[QUANT_LOOPS])
{
        unsigned a, b, c, d;
        int n = 0;

        if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"))
                loops[n++] = quant_dots_avx512;
        if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1)
                loops[n++] = quant_dots_vnni;
        loops[n++] = quant_dots_avx2;
        return n;
}

// AVX-512 reads sixteen rows of w at a time, which memory answers more slowly than eight.
void quant_loops_choose(quant_dots_of **few, quant_dots_of **many)
{
        quant_dots_of *loops[QUANT_LOOPS];

        quant_loops(loops);
        *many = loops[0];
        *few = loops[0] == quant_dots_avx512 ? loops[1] : loops[0];
}
#else
#include <sys/auxv.h>

int quant_loops(quant_dots_of *loops[QUANT_LOOPS])
{
        int n = 0;

        if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)
                loops[n++] = quant_dots_dotprod;
        loops[n++] = quant_dots_neon;
        return n;
}

void quant_loops_choose(quant_dots_of **few, quant_dots_of **many)
{
        quant_dots_of *loops[QUANT_LOOPS];

        quant_loops(loops);
        *few = *many = loops[0];
}
#endif
