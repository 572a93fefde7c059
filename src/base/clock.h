// Time that never goes back, and the calendar's.
#ifndef DYNLORA_BASE_CLOCK_H
#define DYNLORA_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

// Nanoseconds since some fixed moment.
static inline int64_t clock_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Seconds since 1970.
static inline int64_t clock_unix(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return t.tv_sec;
}

#endif
