// src/adapt/resident.c: who comes to the device, who waits, who leaves.
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "resident_world.h"

// Coming and staying
// ---------------------------------------------------------------------------------------------------------------

static void new_versions_come_by_themselves_while_there_is_room(void **state)
{
        struct world *w = *state;

        build(w, 2, 16);
        for (int i = 0; i < 4; i++)
                enter(w);
        settle(w);
        assert_true(on_device(&w->places[0]) && on_device(&w->places[1]));
        assert_string_equal(residence_tier(&w->places[2]), "host");
        assert_string_equal(residence_tier(&w->places[3]), "host");
        assert_int_equal(test_host_alive, 2 * PATCHES);
        assert_int_equal(resident_totals(w->house).evictions, 0);
        assert_int_equal(resident_totals(w->house).loads, 2);
}

static void one_larger_than_the_whole_budget_is_refused(void **state)
{
        struct world *w = *state;
        struct dyn_adapter *a = open_version(w->paths[0]);
        struct residence place;
        char *expected = mem_printf(
                "it takes %zu bytes on the device, and --adapter-memory allows %zu for all", w->bytes, w->bytes - 1);

        w->house = resident_create(&(struct resident_options){&w->loop, w->bytes - 1, w->files, &steps});
        assert_int_equal(resident_enter(w->house, &place, a, &err), DYN_NO_MEMORY);
        assert_string_equal(err.text, expected);
        assert_int_equal(resident_totals(w->house).host_bytes, 0);
        dyn_adapter_unpin(a);
        mem_free(expected);
}

static void the_least_recently_used_leaves_first(void **state)
{
        struct world *w = *state;

        build(w, 3, 16);
        for (int i = 0; i < 5; i++)
                enter(w);
        for (int i = 0; i < 3; i++)
                use(w, &w->places[i]);
        use(w, &w->places[0]); // 1 is the oldest now, then 2
        use(w, &w->places[3]);
        assert_false(on_device(&w->places[1]));
        assert_true(on_device(&w->places[0]) && on_device(&w->places[2]) && on_device(&w->places[3]));
        use(w, &w->places[4]);
        assert_false(on_device(&w->places[2]));
        assert_true(on_device(&w->places[0]));
        assert_int_equal(resident_totals(w->house).evictions, 2);
        assert_int_equal(test_host_alive, 3 * PATCHES);
}

static void one_in_use_stays_and_who_comes_meanwhile_waits(void **state)
{
        struct world *w = *state;
        struct asker user, waiter;

        build(w, 1, 16);
        enter(w);
        enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        ask(&waiter, &w->places[1]);
        for (int i = 0; i < 20; i++) {
                uv_run(&w->loop, UV_RUN_NOWAIT);
                assert_int_equal(waiter.calls, 0);
                assert_true(on_device(&w->places[0]));
        }
        assert_int_equal(resident_totals(w->house).waiting, 1);
        resident_done(&w->places[0]);
        wait_for(w, &waiter);
        assert_int_equal(waiter.status, DYN_OK);
        assert_false(on_device(&w->places[0]));
        resident_done(&w->places[1]);
}

// What the engine has not put away yet, after its last request has ended for the loop.
static void one_that_the_engine_still_runs_stays(void **state)
{
        struct world *w = *state;
        struct asker a;

        build(w, 1, 16);
        enter(w);
        enter(w);
        settle(w);
        atomic_fetch_add(&w->places[0].adapter->running, 1);
        ask(&a, &w->places[1]);
        for (int i = 0; i < 20; i++)
                uv_run(&w->loop, UV_RUN_NOWAIT);
        assert_int_equal(a.calls, 0);
        assert_int_equal(test_host_alive, PATCHES);
        atomic_fetch_sub(&w->places[0].adapter->running, 1);
        wait_for(w, &a);
        assert_int_equal(a.status, DYN_OK);
        resident_done(&w->places[1]);
}

static void nobody_leaves_when_that_would_not_make_room(void **state)
{
        struct world *w = *state;
        struct asker big, user;
        struct residence place;
        char *path = mem_printf("%s/big", w->store);

        build(w, 3, 16);
        adapter_folder_write_to(path, &(struct adapter_folder){.rank = 8, .find = "\"r\": 4", .replace = "\"r\": 8"});
        enter(w);
        enter(w);
        enter(w);
        settle(w);
        struct dyn_adapter *a = open_version(path);
        assert_int_equal(a->info.bytes, 2 * w->bytes);
        assert_int_equal(resident_enter(w->house, &place, a, &err), DYN_OK);
        ask(&user, &w->places[0]);
        struct asker second;
        ask(&second, &w->places[1]);
        ask(&big, &place); // 2 alone could leave
        for (int i = 0; i < 20; i++)
                uv_run(&w->loop, UV_RUN_NOWAIT);
        assert_true(on_device(&w->places[2]));
        assert_int_equal(big.calls, 0);
        resident_done(&w->places[1]);
        wait_for(w, &big);
        assert_true(on_device(&w->places[0]));
        assert_int_equal(test_host_alive, PATCHES * 2);
        resident_done(&w->places[0]);
        resident_done(&place);
        resident_leave(&place, on_gone, w);
        w->n_gone--;
        dyn_adapter_unpin(a);
        mem_free(path);
}

// Wants
// ---------------------------------------------------------------------------------------------------------------------

static void all_who_want_one_version_go_on_together_in_order(void **state)
{
        struct world *w = *state;
        struct asker first[3], second[3], user;

        build(w, 1, 16);
        for (int i = 0; i < 3; i++)
                enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        for (int i = 0; i < 3; i++) {
                ask(&first[i], &w->places[1]);
                ask(&second[i], &w->places[2]);
        }
        resident_done(&w->places[0]);
        wait_for(w, &first[2]);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(first[i].order, 1 + i);
                assert_int_equal(second[i].calls, 0);
        }
        for (int i = 0; i < 3; i++) {
                assert_int_equal(second[i].calls, 0);
                resident_done(&w->places[1]);
        }
        wait_for(w, &second[2]);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(second[i].order, 4 + i);
                resident_done(&w->places[2]);
        }
        assert_int_equal(resident_totals(w->house).loads, 3);
}

static void one_that_is_on_the_device_is_granted_at_once(void **state)
{
        struct world *w = *state;
        struct asker a;

        build(w, 1, 16);
        enter(w);
        settle(w);
        ask(&a, &w->places[0]);
        assert_int_equal(a.calls, 1);
        assert_null(a.want.residence);
        resident_done(&w->places[0]);
}

static void a_wish_that_was_taken_back_is_not_granted(void **state)
{
        struct world *w = *state;
        struct asker user, back, other;

        build(w, 1, 16);
        for (int i = 0; i < 3; i++)
                enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        ask(&back, &w->places[1]);
        ask(&other, &w->places[2]);
        resident_forget(&back.want);
        resident_forget(&back.want);
        assert_int_equal(resident_totals(w->house).waiting, 1);
        resident_done(&w->places[0]);
        wait_for(w, &other);
        assert_int_equal(back.calls, 0);
        assert_int_equal(w->places[1].users, 0);
        resident_done(&w->places[2]);
        assert_int_equal(resident_totals(w->house).waiting, 0);
}

// Its place in the queue goes with it.
static void who_comes_after_a_wish_was_taken_back_is_the_last(void **state)
{
        struct world *w = *state;
        struct asker user, back, other, late;

        build(w, 1, 16);
        for (int i = 0; i < 3; i++)
                enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        ask(&back, &w->places[1]);
        ask(&other, &w->places[2]);
        resident_forget(&back.want);
        ask(&late, &w->places[1]);
        resident_done(&w->places[0]);
        wait_for(w, &other);
        assert_int_equal(late.calls, 0);
        resident_done(&w->places[2]);
        wait_for(w, &late);
        resident_done(&w->places[1]);
}

static void a_wish_taken_back_in_the_midst_of_its_load_leaves_the_others(void **state)
{
        struct world *w = *state;
        struct asker a[3];

        build(w, 1, 16);
        at_gate = 0;
        pthread_mutex_lock(&gate);
        enter(w);
        for (int i = 0; i < 3; i++)
                ask(&a[i], &w->places[0]);
        while (at_gate < 1)
                usleep(1000);
        resident_forget(&a[2].want);
        ask(&a[2], &w->places[0]);
        resident_forget(&a[0].want);
        pthread_mutex_unlock(&gate);
        wait_for(w, &a[2]);
        assert_int_equal(a[0].calls, 0);
        assert_int_equal(a[1].order, 0);
        assert_int_equal(a[2].order, 1);
        resident_done(&w->places[0]);
        resident_done(&w->places[0]);
}

// Patience
// ---------------------------------------------------------------------------------------------------------------------

// Two askers hand the hot version to each other, so that it is in use at every moment.
static void a_cold_one_gets_in_although_a_hot_one_is_always_in_use(void **state)
{
        struct world *w = *state;
        struct asker hot[2], cold;
        int turn = 0;

        build(w, 1, 16);
        enter(w);
        enter(w);
        ask(&hot[0], &w->places[0]);
        wait_for(w, &hot[0]);
        ask(&cold, &w->places[1]);
        for (int step = 0; step < RESIDENT_PATIENCE - 1; step++) {
                ask(&hot[!turn], &w->places[0]);
                assert_int_equal(hot[!turn].calls, 1);
                resident_done(&w->places[0]);
                turn = !turn;
                atomic_fetch_add(&steps, 1);
        }
        assert_int_equal(cold.calls, 0);
        atomic_fetch_add(&steps, 1);
        ask(&hot[!turn], &w->places[0]); // patience ends with this round
        assert_int_equal(hot[!turn].calls, 0);
        resident_done(&w->places[0]);
        wait_for(w, &cold);
        assert_int_equal(cold.status, DYN_OK);
        assert_int_equal(hot[!turn].calls, 0);
        resident_done(&w->places[1]);
        wait_for(w, &hot[!turn]);
        resident_done(&w->places[0]);
}

// The younger one would fit; while somebody has lost patience, it does not take the room.
static void room_is_kept_for_who_has_lost_patience(void **state)
{
        struct world *w = *state;
        struct asker user[2], big, small;
        struct residence place;
        char *path = mem_printf("%s/big", w->store);

        build(w, 2, 16);
        adapter_folder_write_to(path, &(struct adapter_folder){.rank = 8, .find = "\"r\": 4", .replace = "\"r\": 8"});
        for (int i = 0; i < 3; i++)
                enter(w);
        struct dyn_adapter *a = open_version(path);
        assert_int_equal(resident_enter(w->house, &place, a, &err), DYN_OK);
        for (int i = 0; i < 2; i++) {
                ask(&user[i], &w->places[i]);
                wait_for(w, &user[i]);
        }
        ask(&big, &place);
        atomic_fetch_add(&steps, RESIDENT_PATIENCE);
        ask(&small, &w->places[2]);
        resident_done(&w->places[0]);
        settle(w);
        assert_int_equal(small.calls, 0);
        assert_int_equal(big.calls, 0);
        resident_done(&w->places[1]);
        wait_for(w, &big);
        assert_int_equal(small.calls, 0);
        resident_done(&place);
        wait_for(w, &small);
        resident_done(&w->places[2]);
        resident_leave(&place, on_gone, w);
        w->n_gone--;
        dyn_adapter_unpin(a);
        mem_free(path);
}

static void one_that_was_closed_opens_again_when_its_room_is_not_needed(void **state)
{
        struct world *w = *state;
        struct asker user, cold, next;

        build(w, 1, 16);
        enter(w);
        enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        ask(&cold, &w->places[1]);
        atomic_fetch_add(&steps, RESIDENT_PATIENCE);
        ask(&next, &w->places[0]);
        assert_int_equal(next.calls, 0);
        resident_forget(&cold.want);
        wait_for(w, &next);
        assert_int_equal(resident_totals(w->house).evictions, 0);
        resident_done(&w->places[0]);
        resident_done(&w->places[0]);
}

static void patience_ends_also_by_the_clock(void **state)
{
        struct world *w = *state;
        struct asker user, cold, next = {0};
        int64_t began = clock_ns();

        build(w, 1, 16);
        enter(w);
        enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        ask(&cold, &w->places[1]);
        while (!w->places[0].closing && clock_ns() - began < 20 * (int64_t)1000000000)
                uv_run(&w->loop, UV_RUN_ONCE);
        ask(&next, &w->places[0]);
        assert_int_equal(next.calls, 0);
        resident_done(&w->places[0]);
        wait_for(w, &cold);
        resident_done(&w->places[1]);
        wait_for(w, &next);
        resident_done(&w->places[0]);
}

// Leaving and failing
// ----------------------------------------------------------------------------------------------------------------

static void one_that_leaves_during_its_load_is_gone_with_it(void **state)
{
        struct world *w = *state;

        build(w, 2, 16);
        at_gate = 0;
        pthread_mutex_lock(&gate);
        struct residence *place = enter(w);
        while (at_gate < 1)
                usleep(1000);
        leave(w, place);
        assert_int_equal(w->n_gone, 0);
        pthread_mutex_unlock(&gate);
        while (w->n_gone == 0)
                uv_run(&w->loop, UV_RUN_ONCE);
        assert_int_equal(resident_totals(w->house).device_bytes, 0);
        struct residence *idle = enter(w);
        settle(w);
        leave(w, idle);
        assert_int_equal(w->n_gone, 2);
}

// No file on the host, no folder on the disk.
static void a_load_that_fails_tells_all_who_wait(void **state)
{
        struct world *w = *state;
        struct asker a[3];
        char *expected = mem_printf("%s: no such folder", w->paths[1]);

        build(w, 1, 0);
        enter(w);
        enter(w);
        use(w, &w->places[0]);
        assert_string_equal(residence_tier(&w->places[1]), "disk");
        adapter_folder_remove(mem_strdup(w->paths[1]));
        for (int i = 0; i < 3; i++)
                ask(&a[i], &w->places[1]);
        wait_for(w, &a[2]);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(a[i].status, DYN_NOT_FOUND);
                assert_int_equal(a[i].order, 1 + i);
                assert_string_equal(a[i].text, expected);
        }
        assert_int_equal(w->places[1].users, 0);
        assert_int_equal(resident_totals(w->house).device_bytes, 0);
        adapter_folder_write_to(w->paths[1], &(struct adapter_folder){.seed = 1});
        use(w, &w->places[1]);
        mem_free(expected);
}

static void a_device_that_is_full_is_no_end(void **state)
{
        struct world *w = *state;
        struct asker a;

        build(w, 2, 16);
        test_host_refuses = 3;
        enter(w);
        settle(w);
        test_host_refuses = -1;
        assert_int_equal(test_host_alive, 0);
        assert_int_equal(resident_totals(w->house).device_bytes, 0);
        assert_string_equal(residence_tier(&w->places[0]), "host");
        ask(&a, &w->places[0]);
        wait_for(w, &a);
        assert_int_equal(a.status, DYN_OK);
        resident_done(&w->places[0]);
}

static void a_folder_with_other_content_is_not_what_was_asked_for(void **state)
{
        struct world *w = *state;
        struct asker a;

        build(w, 1, 0);
        enter(w);
        enter(w);
        use(w, &w->places[0]);
        adapter_folder_write_to(w->paths[1], &(struct adapter_folder){.seed = 9});
        ask(&a, &w->places[1]);
        wait_for(w, &a);
        assert_int_equal(a.status, DYN_CONFLICT);
        assert_non_null(strstr(a.text, ": the folder has changed"));
        assert_int_equal(test_host_alive, 0);
        adapter_folder_write_to(w->paths[1], &(struct adapter_folder){.seed = 1});
        use(w, &w->places[1]);
}

// The host
// ---------------------------------------------------------------------------------------------------------------------

static void files_leave_the_host_when_its_budget_is_full(void **state)
{
        struct world *w = *state;

        build(w, 1, 2);
        for (int i = 0; i < 5; i++) {
                enter(w);
                settle(w);
                check_host(w);
        }
        assert_int_equal(resident_totals(w->house).host_evictions, 3);
        assert_string_equal(residence_tier(&w->places[1]), "disk");
        assert_string_equal(residence_tier(&w->places[4]), "host");
        for (int i = 0; i < 20; i++) {
                use(w, &w->places[(i * 7) % 5]);
                check_host(w);
        }
}

// Many
// ---------------------------------------------------------------------------------------------------------------------

static void stopping_answers_all_who_wait(void **state)
{
        struct world *w = *state;
        struct asker user, a[8], late;

        build(w, 1, 16);
        for (int i = 0; i < 5; i++)
                enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        for (int i = 0; i < 8; i++)
                ask(&a[i], &w->places[1 + i % 4]);
        resident_stop(w->house);
        for (int i = 0; i < 8; i++) {
                assert_int_equal(a[i].calls, 1);
                assert_int_equal(a[i].status, DYN_BUSY);
        }
        ask(&late, &w->places[1]);
        assert_int_equal(late.status, DYN_BUSY);
        ask(&late, &w->places[0]);
        assert_int_equal(late.status, DYN_BUSY);
        resident_done(&w->places[0]);
}

// As a request does that waited for a version which is no longer published: the last one to be told takes it away.
struct leaver {
        struct want want; // comes first
        struct world *world;
        struct residence *place;
        enum dyn_status told;
};

static void on_told(struct want *want, enum dyn_status status, const struct dyn_error *error)
{
        struct leaver *l = (struct leaver *)want;

        l->told = status;
        leave(l->world, l->place);
        l->place->next_wanted = (struct residence *)(uintptr_t)-8; // nobody may look at it any more
        l->place->house = (struct resident *)(uintptr_t)-8;
}

static void who_is_told_of_the_stop_may_leave_at_once(void **state)
{
        struct world *w = *state;
        struct asker user;
        struct leaver l[3];

        build(w, 1, 16);
        for (int i = 0; i < 4; i++)
                enter(w);
        ask(&user, &w->places[0]);
        wait_for(w, &user);
        for (int i = 0; i < 3; i++) {
                l[i] = (struct leaver){{.granted = on_told}, w, &w->places[1 + i]};
                resident_want(&w->places[1 + i], &l[i].want);
        }
        resident_stop(w->house);
        assert_int_equal(w->n_gone, 3);
        for (int i = 0; i < 3; i++)
                assert_int_equal(l[i].told, DYN_BUSY);
        resident_done(&w->places[0]);
}

static void who_is_told_of_a_failed_load_may_leave_at_once(void **state)
{
        struct world *w = *state;
        struct leaver l = {{.granted = on_told}, w, &w->places[0]};

        build(w, 1, 16);
        test_host_refuses = 3;
        enter(w);
        resident_want(&w->places[0], &l.want);
        while (w->n_gone == 0)
                uv_run(&w->loop, UV_RUN_ONCE);
        test_host_refuses = -1;
        assert_int_equal(l.told, DYN_NO_MEMORY);
        assert_int_equal(resident_totals(w->house).device_bytes, 0);
}

static void stopping_during_loads_ends_them(void **state)
{
        struct world *w = *state;
        struct asker a[12];

        build(w, 12, 16);
        at_gate = 0;
        pthread_mutex_lock(&gate);
        for (int i = 0; i < 12; i++) {
                enter(w);
                ask(&a[i], &w->places[i]);
        }
        while (at_gate < 1)
                usleep(1000);
        resident_stop(w->house);
        pthread_mutex_unlock(&gate);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        for (int i = 0; i < 12; i++) {
                assert_int_equal(a[i].calls, 1);
                assert_int_equal(a[i].status, DYN_BUSY);
        }
}

#define CROWD 1000
#define SLOTS 64

// Random requests for 1,000 versions with a budget for 64 of them, up to 96 at once, on a clock that is the number of
// rounds. Each round a step passes and every request that runs may end.
static void a_thousand_versions_take_turns_on_a_device_for_64(void **state)
{
        static struct asker askers[96];
        static int64_t asked[96];
        static bool busy[96];
        struct world *w = *state;
        struct residence *places = mem_array(CROWD, sizeof *places);
        int64_t longest = 0;
        int n_requests = 0, n_done = 0;

        build(w, SLOTS, 100);
        for (int i = 0; i < CROWD; i++)
                assert_int_equal(resident_enter(w->house, &places[i], open_version(w->paths[i % 16]), &err), DYN_OK);
        srand(11);
        for (int64_t round = 0; n_done < 4000; round++) {
                for (int k = 0; k < 96; k++) {
                        struct asker *a = &askers[k];

                        if (!busy[k] && n_requests < 4000 && rand() % 4 == 0) {
                                asked[k] = round;
                                busy[k] = true;
                                n_requests++;
                                ask(a, &places[rand() % (rand() % 2 ? CROWD : 80)]);
                        } else if (busy[k] && a->calls == 0 && rand() % 200 == 0) {
                                resident_forget(&a->want);
                                busy[k] = false;
                                n_done++;
                        } else if (busy[k] && a->calls == 1 && rand() % 8 == 0) {
                                assert_int_equal(a->status, DYN_OK);
                                assert_true(on_device(a->place));
                                resident_done(a->place);
                                busy[k] = false;
                                n_done++;
                        } else if (busy[k] && a->calls == 0) {
                                longest = round - asked[k] > longest ? round - asked[k] : longest;
                        }
                }
                atomic_fetch_add(&steps, 1);
                // A step takes as long as some loads.
                uint64_t loads = resident_totals(w->house).loads;
                for (int i = 0; i < 40 && resident_totals(w->house).loads < loads + 8; i++) {
                        uv_run(&w->loop, UV_RUN_NOWAIT);
                        check_device(w);
                        usleep(20);
                }
                assert_true(round < 20000);
        }
        struct resident_totals t = resident_totals(w->house);
        assert_int_equal(t.waiting, 0);
        assert_true(t.evictions > 500);
        assert_true(t.loads - t.evictions <= SLOTS);
        assert_true(longest < 6 * RESIDENT_PATIENCE);
        resident_stop(w->house);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        for (int i = 0; i < CROWD; i++) {
                resident_leave(&places[i], on_gone, w);
                dyn_adapter_unpin(places[i].adapter);
        }
        w->n_gone -= CROWD;
        mem_free(places);
}

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(new_versions_come_by_themselves_while_there_is_room),
                test_in_world(one_larger_than_the_whole_budget_is_refused),
                test_in_world(the_least_recently_used_leaves_first),
                test_in_world(one_in_use_stays_and_who_comes_meanwhile_waits),
                test_in_world(one_that_the_engine_still_runs_stays),
                test_in_world(nobody_leaves_when_that_would_not_make_room),
                test_in_world(all_who_want_one_version_go_on_together_in_order),
                test_in_world(one_that_is_on_the_device_is_granted_at_once),
                test_in_world(a_wish_that_was_taken_back_is_not_granted),
                test_in_world(who_comes_after_a_wish_was_taken_back_is_the_last),
                test_in_world(a_wish_taken_back_in_the_midst_of_its_load_leaves_the_others),
                test_in_world(a_cold_one_gets_in_although_a_hot_one_is_always_in_use),
                test_in_world(room_is_kept_for_who_has_lost_patience),
                test_in_world(one_that_was_closed_opens_again_when_its_room_is_not_needed),
                test_in_world(patience_ends_also_by_the_clock),
                test_in_world(one_that_leaves_during_its_load_is_gone_with_it),
                test_in_world(a_load_that_fails_tells_all_who_wait),
                test_in_world(a_device_that_is_full_is_no_end),
                test_in_world(a_folder_with_other_content_is_not_what_was_asked_for),
                test_in_world(files_leave_the_host_when_its_budget_is_full),
                test_in_world(stopping_answers_all_who_wait),
                test_in_world(who_is_told_of_the_stop_may_leave_at_once),
                test_in_world(who_is_told_of_a_failed_load_may_leave_at_once),
                test_in_world(stopping_during_loads_ends_them),
                test_in_world(a_thousand_versions_take_turns_on_a_device_for_64),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
