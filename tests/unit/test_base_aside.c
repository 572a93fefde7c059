// Work aside: who pauses for a team, and who does not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

#include "base/aside.h"
#include "base/clock.h"
#include "base/threads.h"

static int64_t worked(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// What a thread does that works for 20 ms in pieces of 0.3 ms, in each of which a team works, too, if there is one.
struct told {
        bool team;
        int nice;
        int64_t took, worked;
        long pauses;
};

static void work(void *arg)
{
        struct told *t = arg;
        struct rusage before, after;
        int64_t began = clock_ns();

        t->nice = getpriority(PRIO_PROCESS, 0);
        getrusage(RUSAGE_THREAD, &before);
        for (int i = 0; i < 64; i++) {
                unsigned loops = team_loops();

                for (int64_t until = worked() + 300000; worked() < until || (t->team && team_loops() == loops);)
                        ;
                aside_breathe();
        }
        getrusage(RUSAGE_THREAD, &after);
        t->took = clock_ns() - began;
        t->worked = 64 * 300000;
        t->pauses = after.ru_nvcsw - before.ru_nvcsw;
}

static void nothing(void *arg, int i)
{
}

static void *keep_busy(void *arg)
{
        atomic_bool *stop = arg;
        struct team *team = team_create(1);

        while (!atomic_load(stop)) {
                team_run(team, nothing, NULL, 1);
                nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        }
        team_destroy(team);
        return NULL;
}

// Calls run(arg) while a team works.
static void beside_a_team(void (*run)(void *arg), void *arg)
{
        atomic_bool stop = false;
        pthread_t busy;

        assert_int_equal(pthread_create(&busy, NULL, keep_busy, &stop), 0);
        run(arg);
        atomic_store(&stop, true);
        pthread_join(busy, NULL);
}

static void work_aside(void *arg)
{
        aside_run(work, arg);
}

static void work_aside_pauses_while_a_team_works(void **state)
{
        struct told t = {.team = true};

        beside_a_team(work_aside, &t);
        assert_true(t.pauses >= 64);
        assert_true(t.took > 5 * t.worked);
}

static void and_not_while_none_does(void **state)
{
        struct told t = {0};

        work_aside(&t);
        assert_true(t.pauses < 5);
}

static void who_is_not_aside_does_not_pause(void **state)
{
        struct told t = {.team = true};

        beside_a_team(work, &t);
        assert_true(t.pauses < 5);
        assert_false(aside_is());
}

static void *enter(void *arg)
{
        aside_enter();
        assert_true(aside_is());
        work(arg);
        return NULL;
}

static void start_a_thread(void *arg)
{
        pthread_t child;

        assert_int_equal(pthread_create(&child, NULL, enter, arg), 0);
        pthread_join(child, NULL);
}

static void a_thread_can_join_those_aside(void **state)
{
        struct told t = {.team = true};

        beside_a_team(start_a_thread, &t);
        assert_true(t.pauses >= 64);
}

static void work_aside_is_nicer_and_so_is_what_it_starts(void **state)
{
        int before = getpriority(PRIO_PROCESS, 0);
        struct told own = {0}, child = {0};

        aside_run(work, &own);
        aside_run(start_a_thread, &child);
        assert_true(own.nice > before || (own.nice == 19 && before == 19));
        assert_int_equal(child.nice, own.nice);
        assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(work_aside_pauses_while_a_team_works),
                cmocka_unit_test(and_not_while_none_does),
                cmocka_unit_test(who_is_not_aside_does_not_pause),
                cmocka_unit_test(a_thread_can_join_those_aside),
                cmocka_unit_test(work_aside_is_nicer_and_so_is_what_it_starts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
