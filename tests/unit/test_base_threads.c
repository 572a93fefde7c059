// The team of threads: every item once, whatever the sizes, whether members are awake, asleep or too many.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/threads.h"

#define MAX_ITEMS 1000

struct counts {
        int item[MAX_ITEMS]; // not atomic: team_run orders the members' writes before the caller's reads
};

static void count(void *arg, int i)
{
        struct counts *c = arg;

        c->item[i]++;
}

static void nap(int ms)
{
        nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static void every_item_runs_once_for_every_team_and_length(void **state)
{
        for (int n_threads = 1; n_threads <= 9; n_threads++) {
                struct team *t = team_create(n_threads);
                struct counts c = {0};
                int runs[MAX_ITEMS] = {0};

                assert_int_equal(team_size(t), n_threads);
                for (int n = 0, loops = 0; n <= MAX_ITEMS; n += n < 20 ? 1 : 97, loops++) {
                        team_run(t, count, &c, n);
                        for (int i = 0; i < MAX_ITEMS; i++) {
                                runs[i] += i < n;
                                assert_int_equal(c.item[i], runs[i]);
                        }
                        if (loops % 10 == 9)
                                nap(1); // members fall asleep
                }
                team_destroy(t);
        }
}

static void short_loops_in_a_row_lose_and_repeat_nothing(void **state)
{
        struct team *t = team_create(3);
        struct counts c = {0};

        for (int i = 0; i < 20000; i++)
                team_run(t, count, &c, 1 + i % 4);
        assert_int_equal(c.item[0], 20000);
        assert_int_equal(c.item[1], 15000);
        assert_int_equal(c.item[2], 10000);
        assert_int_equal(c.item[3], 5000);
        team_destroy(t);
}

static void meet(void *arg, int i)
{
        atomic_int *arrived = arg;
        int64_t until = clock_ns() + 5000000000;

        atomic_fetch_add(arrived, 1);
        while (atomic_load(arrived) < 3 && clock_ns() < until)
                nap(1);
}

static void members_work_at_the_same_time(void **state)
{
        struct team *t = team_create(3);
        atomic_int arrived = 0;
        int64_t start = clock_ns();

        nap(2); // asleep: they have to be woken
        team_run(t, meet, &arrived, 3);
        assert_true(clock_ns() - start < 4000000000);
        team_destroy(t);
}

static void idle_team_uses_no_processor(void **state)
{
        struct team *t = team_create(4);
        struct counts c = {0};

        team_run(t, count, &c, 100);
        clock_t before = clock();

        nap(200);
        assert_true(clock() - before < CLOCKS_PER_SEC / 50);
        team_destroy(t);
}

static void there_is_at_least_one_core(void **state)
{
        assert_true(team_cores() >= 1);
        team_destroy(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_item_runs_once_for_every_team_and_length),
                cmocka_unit_test(short_loops_in_a_row_lose_and_repeat_nothing),
                cmocka_unit_test(members_work_at_the_same_time),
                cmocka_unit_test(idle_team_uses_no_processor),
                cmocka_unit_test(there_is_at_least_one_core),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
