// src/adapt/resident.c: versions that are pinned to the device. The oracle is a plain count of what is alive there.
#include "resident_world.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

static void a_pinned_one_is_brought_and_stays(void **state)
{
        struct world *w = *state;

        build(w, 2, 16);
        for (int i = 0; i < 4; i++)
                enter(w);
        settle(w);
        resident_pin(&w->places[3], true);
        settle(w);
        assert_true(on_device(&w->places[3]));
        for (int i = 0; i < 9; i++)
                use(w, &w->places[i % 3]);
        assert_true(on_device(&w->places[3]));
        resident_pin(&w->places[3], false);
        use(w, &w->places[0]);
        use(w, &w->places[1]);
        assert_false(on_device(&w->places[3]));
}

static void a_pin_without_room_is_kept_until_room_comes(void **state)
{
        struct world *w = *state;
        struct asker users[2];

        build(w, 2, 16);
        for (int i = 0; i < 4; i++)
                enter(w);
        for (int i = 0; i < 2; i++) {
                ask(&users[i], &w->places[i]);
                wait_for(w, &users[i]);
        }
        resident_pin(&w->places[3], true);
        settle(w);
        assert_false(on_device(&w->places[3]));
        resident_done(&w->places[1]);
        settle(w);
        assert_true(on_device(&w->places[0]) && on_device(&w->places[3]));
        resident_pin(&w->places[2], true);
        settle(w);
        assert_false(on_device(&w->places[2]));
        resident_pin(&w->places[3], false); // what it leaves room for comes at once, too
        settle(w);
        assert_true(on_device(&w->places[0]) && on_device(&w->places[2]));
        resident_done(&w->places[0]);
        check_device(w);
}

static void a_pin_comes_after_requests_that_wait(void **state)
{
        struct world *w = *state;
        struct asker user, waiter;

        build(w, 1, 16);
        for (int i = 0; i < 3; i++)
                enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        resident_pin(&w->places[1], true);
        ask(&waiter, &w->places[2]);
        resident_done(&w->places[0]);
        wait_for(w, &waiter);
        assert_true(on_device(&w->places[2]));
        resident_done(&w->places[2]);
        settle(w);
        assert_true(on_device(&w->places[1]));
}

static void pins_whose_folders_are_gone_are_tried_once(void **state)
{
        struct world *w = *state;
        struct asker user;

        build(w, 1, 1);
        for (int i = 0; i < 3; i++)
                enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        for (int i = 1; i < 3; i++) {
                adapter_folder_remove(mem_strdup(w->paths[i]));
                resident_pin(&w->places[i], true);
        }
        assert_string_equal(residence_tier(&w->places[1]), "disk");
        at_gate = 0;
        resident_done(&w->places[0]);
        settle(w);
        assert_int_equal(at_gate, 2);
        use(w, &w->places[0]);
        settle(w);
        assert_int_equal(at_gate, 3);
        assert_true(on_device(&w->places[0]));
}

static void who_can_never_fit_beside_the_pinned_is_told(void **state)
{
        struct world *w = *state;
        struct asker cold, other;
        char *expected;

        build(w, 2, 16);
        for (int i = 0; i < 3; i++)
                enter(w);
        settle(w);
        resident_pin(&w->places[0], true);
        resident_pin(&w->places[1], true);
        ask(&cold, &w->places[2]);
        ask(&other, &w->places[2]);
        atomic_fetch_add(&steps, RESIDENT_PATIENCE);
        wait_for(w, &cold);
        expected = mem_printf("adapter \"sql\" takes %zu bytes on the device, and pinned ones take %zu of the %zu that "
                              "--adapter-memory allows",
                w->bytes, 2 * w->bytes, 2 * w->bytes);
        assert_int_equal(cold.status, DYN_NO_MEMORY);
        assert_int_equal(other.status, DYN_NO_MEMORY);
        assert_string_equal(cold.text, expected);
        resident_pin(&w->places[1], false);
        use(w, &w->places[2]);
        mem_free(expected);
}

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(a_pinned_one_is_brought_and_stays),
                test_in_world(a_pin_without_room_is_kept_until_room_comes),
                test_in_world(a_pin_comes_after_requests_that_wait),
                test_in_world(pins_whose_folders_are_gone_are_tried_once),
                test_in_world(who_can_never_fit_beside_the_pinned_is_told),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
