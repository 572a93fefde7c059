// src/adapt/retries.c: who is called again, and how often. The oracle is a count of the calls.
#include "harness.h"

#include <unistd.h>

#include "base/clock.h"
#include "registry_world.h"

#define TIMES 3

struct again {
        struct retry retry; // comes first
        struct world *world;
        struct again *forgets; // while it is called, or NULL
        int calls, order;
        int asks_again; // so many times, while it is called
        bool refused;   // the last asking
};

static int n_called;

static void on_again(struct retry *retry)
{
        struct again *a = (struct again *)retry;

        a->calls++;
        a->order = n_called++;
        if (a->forgets != NULL)
                registry_retry_forget(&a->forgets->retry);
        if (a->asks_again > 0) {
                a->asks_again--;
                a->refused = !registry_retry(a->world->registry, &a->retry);
        }
}

static void ask(struct world *w, struct again *a)
{
        *a = (struct again){.retry.again = on_again, .world = w, .forgets = a->forgets, .asks_again = a->asks_again};
        assert_true(registry_retry(w->registry, &a->retry));
}

static void each_is_called_once_a_little_later_in_the_order_of_coming(void **state)
{
        struct world *w = *state;
        struct again a[5] = {0};

        n_called = 0;
        for (int i = 0; i < 5; i++)
                ask(w, &a[i]);
        assert_int_equal(n_called, 0);
        world_until(w, a[4].calls > 0);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(a[i].calls, 1);
                assert_int_equal(a[i].order, i);
        }
        world_settle(w); // nothing keeps the loop when nobody waits
        assert_int_equal(n_called, 5);
}

static void who_asks_again_while_called_waits_for_the_next_turn(void **state)
{
        struct world *w = *state;
        struct again a = {.asks_again = TIMES}, b = {0};

        n_called = 0;
        ask(w, &a);
        ask(w, &b);
        for (int turn = 1; turn <= TIMES; turn++) {
                world_until(w, a.calls >= turn);
                assert_int_equal(a.calls, turn);
                assert_int_equal(b.calls, 1); // not kept from its turn
        }
        world_settle(w);
        assert_int_equal(n_called, 2 + TIMES);
}

static void who_is_forgotten_is_not_called(void **state)
{
        struct world *w = *state;
        struct again a[3] = {0};

        n_called = 0;
        for (int i = 0; i < 3; i++)
                ask(w, &a[i]);
        registry_retry_forget(&a[1].retry);
        world_until(w, a[2].calls > 0);
        assert_int_equal(a[1].calls, 0);
        ask(w, &a[0]);
        registry_retry_forget(&a[0].retry);
        world_settle(w);
        assert_int_equal(a[0].calls, 0);
        ask(w, &a[1]); // the turns go on for who comes later
        world_until(w, a[1].calls == 1);
}

static void one_that_is_called_may_forget_another(void **state)
{
        struct world *w = *state;
        struct again a[3] = {0};

        n_called = 0;
        a[0].forgets = &a[1];
        for (int i = 0; i < 3; i++)
                ask(w, &a[i]);
        world_settle(w);
        assert_int_equal(a[0].calls, 1);
        assert_int_equal(a[1].calls, 0);
        assert_int_equal(a[2].calls, 1);
}

static void stopping_calls_all_who_wait_and_takes_nobody(void **state)
{
        struct world *w = *state;
        struct world twin = world_twin(w, 1 << 20);
        struct again a[3] = {0}, late = {.retry.again = on_again};

        n_called = 0;
        a[1].asks_again = 1;
        for (int i = 0; i < 3; i++)
                ask(&twin, &a[i]);
        registry_stop(twin.registry);
        for (int i = 0; i < 3; i++)
                assert_int_equal(a[i].calls, 1);
        assert_true(a[1].refused);
        assert_false(registry_retry(twin.registry, &late.retry));
        world_close(&twin);
        assert_int_equal(n_called, 3);
}

static void without_a_store_there_is_nothing_to_hope_for(void **state)
{
        struct world *w = *state, bare = {.loop = w->loop};
        struct again a = {.retry.again = on_again};
        struct dyn_error err;
        static _Atomic uint64_t steps;

        assert_int_equal(registry_create(&bare.registry,
                                 &(struct registry_options){.host = &test_host,
                                         .resident = {.loop = w->loop, .steps = &steps},
                                         .loop = w->loop,
                                         .base = "smollm2"},
                                 &err),
                DYN_OK);
        assert_false(registry_retry(bare.registry, &a.retry));
        world_close(&bare);
        assert_int_equal(a.calls, 0);
}

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(each_is_called_once_a_little_later_in_the_order_of_coming),
                test_in_world(who_asks_again_while_called_waits_for_the_next_turn),
                test_in_world(who_is_forgotten_is_not_called),
                test_in_world(one_that_is_called_may_forget_another),
                test_in_world(stopping_calls_all_who_wait_and_takes_nobody),
                test_in_world(without_a_store_there_is_nothing_to_hope_for),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
