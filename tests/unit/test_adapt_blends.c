// src/adapt/blends.c: which blends there are, and when they go.
#include "harness.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry_world.h"

static enum dyn_status try_blend(struct registry *r, const char *a, double x, const char *b, double y,
        struct adapter_version **v, struct dyn_error *err)
{
        struct registry_share shares[2] = {{.weight = x}, {.weight = y}};

        assert_int_equal(registry_resolve(r, a, &shares[0].version, err), DYN_OK);
        assert_int_equal(registry_resolve(r, b, &shares[1].version, err), DYN_OK);
        return registry_blend(r, shares, 2, v, err);
}

static struct adapter_version *blend(struct world *w, double x, double y)
{
        struct adapter_version *v;
        struct dyn_error err;

        if (try_blend(w->registry, "a", x, "b", y, &v, &err))
                fail_msg("%s", err.text);
        return v;
}

static void load_two(struct world *w)
{
        world_load(w, "a", w->one, false);
        world_load(w, "b", w->other, false);
}

static int in_flight(struct world *w, const char *name)
{
        return registry_find(w->registry, name)->in_flight;
}

static void one_list_is_one_version(void **state)
{
        struct world *w = *state;
        struct adapter_version *v, *swapped;
        struct dyn_error err;

        load_two(w);
        v = blend(w, 0.7, 0.3);
        assert_string_equal(v->entry->name, "a*0.7+b*0.3");
        assert_true(v->entry->blend);
        assert_ptr_equal(blend(w, 0.7, 0.3), v);
        assert_ptr_not_equal(blend(w, 0.7, 0.2), v);
        assert_int_equal(try_blend(w->registry, "b", 0.3, "a", 0.7, &swapped, &err), DYN_OK);
        assert_string_equal(swapped->entry->name, "b*0.3+a*0.7");
        assert_int_equal(registry_totals(w->registry).blends, 3);
        assert_int_equal(registry_count(w->registry), 2);
        assert_null(registry_find(w->registry, "a*0.7+b*0.3"));
        world_settle(w);
        assert_int_equal(test_host_alive, 6 * 5);
}

static void a_request_of_a_blend_counts_on_its_members_and_is_theirs_no_other_way(void **state)
{
        struct world *w = *state;

        load_two(w);
        struct adapter_version *v = blend(w, 0.7, 0.3);
        registry_begin(v);
        assert_int_equal(in_flight(w, "a"), 1);
        assert_int_equal(in_flight(w, "b"), 1);
        assert_true(registry_uses(v, registry_find(w->registry, "b")));
        assert_false(registry_uses(world_resolve(w, "a"), registry_find(w->registry, "b")));
        registry_end(v, 100);
        assert_int_equal(in_flight(w, "a"), 0);
        assert_int_equal(registry_find(w->registry, "a")->requests, 0);
        assert_int_equal(registry_find(w->registry, "a")->tokens, 0);
}

static void an_update_of_a_member_makes_another_and_the_old_one_ends_with_its_requests(void **state)
{
        struct world *w = *state;
        char *third = world_path(w->root, "third");

        adapter_folder_write_to(third, &(struct adapter_folder){.seed = 2});
        load_two(w);
        struct adapter_version *old = blend(w, 0.7, 0.3), *idle = blend(w, 1, 1);
        struct dyn_adapter *adapter = dyn_adapter_pin(old->adapter);

        assert_ptr_not_equal(old, idle);
        registry_begin(old);
        world_settle(w);
        assert_int_equal(test_host_alive, 6 * 4);
        world_load(w, "b", third, true);
        assert_true(atomic_load(&adapter->retired));
        assert_int_equal(registry_totals(w->registry).blends, 1); // the idle one has gone
        assert_int_equal(test_host_alive, 6 * 4);                 // a, both of b, the old blend
        struct adapter_version *new = blend(w, 0.7, 0.3);
        assert_ptr_not_equal(new, old);
        assert_string_equal(new->entry->name, old->entry->name);
        assert_string_not_equal(new->adapter->info.version, adapter->info.version);
        assert_true(new->adapter->id != adapter->id);
        registry_end(old, 1);
        dyn_adapter_unpin(adapter);
        world_settle(w);
        assert_int_equal(registry_totals(w->registry).blends, 1);
        assert_int_equal(test_host_alive, 6 * 3);
        mem_free(third);
}

static void a_member_is_not_gone_before_the_last_request_of_a_blend_with_it(void **state)
{
        struct world *w = *state;
        struct ending gone = {0};

        load_two(w);
        struct adapter_version *v = blend(w, 0.7, 0.3);
        registry_begin(v);
        world_unregister(w, "a", true, &gone);
        world_settle(w);
        assert_int_equal(gone.calls, 0);
        assert_int_equal(registry_find(w->registry, "a")->state, ADAPTER_DRAINING);
        world_unresolved(w, "a", DYN_NOT_FOUND, "no adapter \"a\"");
        registry_end(v, 1);
        world_until(w, gone.calls > 0);
        assert_null(registry_find(w->registry, "a"));
        assert_int_equal(registry_totals(w->registry).blends, 0);
        assert_int_equal(test_host_alive, 6);
}

static void the_blends_asked_for_the_longest_ago_make_room_for_more(void **state)
{
        struct world *w = *state;

        load_two(w);
        struct adapter_version *busy = blend(w, 0.5, -1), *used = blend(w, 0.5, 0);

        registry_begin(busy);
        for (int i = 1; i < 200; i++) {
                blend(w, 0.5, i);
                assert_ptr_equal(blend(w, 0.5, 0), used);
                world_settle(w);
                assert_true(registry_totals(w->registry).blends <= REGISTRY_BLENDS);
        }
        assert_int_equal(registry_totals(w->registry).blends, REGISTRY_BLENDS);
        assert_int_equal(test_host_alive, 6 * (REGISTRY_BLENDS + 2));
        assert_ptr_equal(blend(w, 0.5, -1), busy);
        registry_end(busy, 0);
}

static void more_than_that_are_only_those_with_requests(void **state)
{
        struct world *w = *state;
        struct adapter_version *v[REGISTRY_BLENDS + 10];

        load_two(w);
        for (int i = 0; i < REGISTRY_BLENDS + 10; i++) {
                v[i] = blend(w, 0.5, i);
                registry_begin(v[i]);
        }
        assert_int_equal(registry_totals(w->registry).blends, REGISTRY_BLENDS + 10);
        world_settle(w);
        for (int i = 0; i < REGISTRY_BLENDS + 10; i++)
                registry_end(v[i], 0);
        assert_int_equal(registry_totals(w->registry).blends, REGISTRY_BLENDS);
}

static void a_member_that_must_not_be_merged_keeps_its_blends_from_it(void **state)
{
        struct world *w = *state;

        load_two(w);
        struct adapter_version *v = blend(w, 0.7, 0.3), *nothing = blend(w, 0, 0);

        assert_false(atomic_load(&v->adapter->unmergeable));
        assert_true(atomic_load(&nothing->adapter->unmergeable));
        assert_int_equal(world_set(w, "b", (struct store_settings){.mode = STORE_UNMERGED}).status, DYN_OK);
        assert_true(atomic_load(&v->adapter->unmergeable));
        assert_true(atomic_load(&blend(w, 1, 2)->adapter->unmergeable));
        assert_int_equal(world_set(w, "b", (struct store_settings){.mode = STORE_AUTO}).status, DYN_OK);
        assert_false(atomic_load(&v->adapter->unmergeable));
}

static void a_blend_that_is_too_large_is_refused_and_not_kept(void **state)
{
        struct world *w = *state;
        // Each adapter takes 1536 bytes.
        struct world small = world_twin(w, 3000);
        struct adapter_version *v;
        struct dyn_error err;

        world_load(&small, "a", w->one, false);
        world_load(&small, "b", w->other, false);
        assert_int_equal(try_blend(small.registry, "a", 0.7, "b", 0.3, &v, &err), DYN_NO_MEMORY);
        assert_string_equal(
                err.text, "a*0.7+b*0.3: it takes 3072 bytes on the device, and --adapter-memory allows 3000 for all");
        assert_null(v);
        assert_int_equal(registry_totals(small.registry).blends, 0);
        world_close(&small);
}

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(one_list_is_one_version),
                test_in_world(a_request_of_a_blend_counts_on_its_members_and_is_theirs_no_other_way),
                test_in_world(an_update_of_a_member_makes_another_and_the_old_one_ends_with_its_requests),
                test_in_world(a_member_is_not_gone_before_the_last_request_of_a_blend_with_it),
                test_in_world(the_blends_asked_for_the_longest_ago_make_room_for_more),
                test_in_world(more_than_that_are_only_those_with_requests),
                test_in_world(a_member_that_must_not_be_merged_keeps_its_blends_from_it),
                test_in_world(a_blend_that_is_too_large_is_refused_and_not_kept),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
