// src/adapt/favour.c: whom an operator wants merged, and when the wait at start for that ends. The engine is one that
// only notes what it is told; what it would find out is written into the version by the test.
#include "harness.h"

#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry_world.h"

static struct adapter_host host;
static struct dyn_adapter *preferred; // what the engine was last told
static int engine;

static void on_prefer(struct dyn_engine *e, struct dyn_adapter *a, bool keep)
{
        preferred = a;
}

static void on_kick(struct dyn_engine *e)
{
}

// Two adapters, a and b, of the auto mode.
static int set_up(void **state)
{
        host = test_host;
        host.engine = (struct dyn_engine *)&engine;
        host.prefer_merged = on_prefer;
        host.kick = on_kick;
        world_host = &host;
        preferred = NULL;
        world_set_up(state);
        world_load(*state, "a", ((struct world *)*state)->one, false);
        world_load(*state, "b", ((struct world *)*state)->other, false);
        return 0;
}

static struct dyn_adapter *version(struct world *w, const char *name)
{
        return world_resolve(w, name)->adapter;
}

static void begin_with(struct world *w, const char *name)
{
        assert_int_equal(registry_merge_at_start(w->registry, name, NULL), DYN_OK);
        assert_true(registry_merge_awaited(w->registry, name));
        world_settle(w);
        assert_ptr_equal(preferred, version(w, name));
        assert_true(registry_merge_awaited(w->registry, name));
}

static void the_wait_ends_when_it_is_merged(void **state)
{
        struct world *w = *state;

        begin_with(w, "a");
        assert_false(registry_merge_awaited(w->registry, "b"));
        atomic_store(&version(w, "a")->merged_since, 1);
        assert_false(registry_merge_awaited(w->registry, "a"));
}

static void the_wait_ends_when_it_cannot_be_merged(void **state)
{
        struct world *w = *state;

        begin_with(w, "a");
        atomic_store(&version(w, "a")->unmerged_because, "there is no memory");
        assert_false(registry_merge_awaited(w->registry, "a"));
}

static void the_wait_ends_when_it_is_replaced(void **state)
{
        struct world *w = *state;

        begin_with(w, "a");
        assert_int_equal(world_load(w, "a", w->other, true).outcome, REGISTRY_UPDATED);
        assert_false(registry_merge_awaited(w->registry, "a"));
}

static void the_wait_ends_when_it_is_removed(void **state)
{
        struct world *w = *state;

        begin_with(w, "a");
        world_remove(w, "a");
        assert_false(registry_merge_awaited(w->registry, "a"));
}

static void the_wait_ends_when_its_mode_becomes_unmerged(void **state)
{
        struct world *w = *state;

        begin_with(w, "a");
        world_set(w, "a", (struct store_settings){.mode = STORE_UNMERGED});
        assert_false(registry_merge_awaited(w->registry, "a"));
}

static void the_wait_ends_when_another_shall_be_merged(void **state)
{
        struct world *w = *state;

        begin_with(w, "a");
        world_set(w, "b", (struct store_settings){.mode = STORE_MERGED});
        assert_ptr_equal(preferred, version(w, "b"));
        assert_false(registry_merge_awaited(w->registry, "a"));
}

static void who_is_to_be_merged_anyway_is_awaited_too(void **state)
{
        struct world *w = *state;

        world_set(w, "a", (struct store_settings){.mode = STORE_MERGED});
        begin_with(w, "a");
        atomic_store(&version(w, "a")->merged_since, 1);
        assert_false(registry_merge_awaited(w->registry, "a"));
}

static const char *why_not(struct world *w, const char *name)
{
        return adapter_entry_unmerged_because(registry_find(w->registry, name));
}

static void why_it_is_not_merged_is_forgotten_when_the_mode_changes(void **state)
{
        struct world *w = *state;
        static const enum store_mode modes[] = {STORE_MERGED, STORE_AUTO, STORE_UNMERGED, STORE_AUTO};

        for (int i = 0; i < 4; i++) {
                atomic_store(&version(w, "a")->unmerged_because, "there is no memory");
                world_set(w, "a", (struct store_settings){.mode = modes[i]});
                assert_null(why_not(w, "a"));
        }
        atomic_store(&version(w, "a")->unmerged_because, "there is no memory");
        world_set(w, "a", (struct store_settings){.pin = true});
        assert_string_equal(why_not(w, "a"), "there is no memory");
}

static void that_it_never_can_be_merged_is_said_under_any_mode(void **state)
{
        struct world *w = *state;

        atomic_store(&version(w, "a")->refused, true);
        atomic_store(&version(w, "a")->unmerged_because, "it is not finite");
        world_set(w, "a", (struct store_settings){.mode = STORE_MERGED});
        world_set(w, "a", (struct store_settings){.mode = STORE_AUTO});
        assert_string_equal(why_not(w, "a"), "it is not finite");
}

#define test_in_world(test) cmocka_unit_test_setup_teardown(test, set_up, world_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(the_wait_ends_when_it_is_merged),
                test_in_world(the_wait_ends_when_it_cannot_be_merged),
                test_in_world(the_wait_ends_when_it_is_replaced),
                test_in_world(the_wait_ends_when_it_is_removed),
                test_in_world(the_wait_ends_when_its_mode_becomes_unmerged),
                test_in_world(the_wait_ends_when_another_shall_be_merged),
                test_in_world(who_is_to_be_merged_anyway_is_awaited_too),
                test_in_world(why_it_is_not_merged_is_forgotten_when_the_mode_changes),
                test_in_world(that_it_never_can_be_merged_is_said_under_any_mode),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
