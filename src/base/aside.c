#include "base/aside.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/threads.h"

#define GIVE_WAY 5      // steps of niceness
#define PIECE_NS 200000 // of work before a pause
#define PAUSES   9      // as long as the work before it

static _Thread_local struct {
        bool aside;
        int64_t worked; // nanoseconds of a processor, when this piece began
        unsigned loops; // of teams, then
} self;

static int64_t worked(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void begin_piece(void)
{
        self.worked = worked();
        self.loops = team_loops();
}

bool aside_is(void)
{
        return self.aside;
}

void aside_enter(void)
{
        self.aside = true;
        begin_piece();
}

void aside_breathe(void)
{
        int64_t piece = self.aside ? worked() - self.worked : 0;

        if (piece < PIECE_NS)
                return;
        if (team_loops() != self.loops)
                nanosleep(&(struct timespec){.tv_sec = PAUSES * piece / 1000000000,
                                  .tv_nsec = PAUSES * piece % 1000000000},
                        NULL);
        begin_piece();
}

struct call {
        void (*work)(void *arg);
        void *arg;
};

// To Linux, 0 is the calling thread. There is no way back, which is why it is a thread of its own.
static void *run(void *arg)
{
        const struct call *c = arg;

        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + GIVE_WAY);
        aside_enter();
        c->work(c->arg);
        return NULL;
}

void aside_run(void (*work)(void *arg), void *arg)
{
        struct call c = {work, arg};
        pthread_t thread;

        if (pthread_create(&thread, NULL, run, &c) == 0)
                pthread_join(thread, NULL);
        else
                work(arg); // the system allows no more threads
}
