// src/adapt/watch.c: the book follows the store, whoever changes it. The oracle is what was put there.
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry_world.h"

#define SECOND ((int64_t)1000000000)

static struct dyn_error err;

static pthread_mutex_t look_gate = PTHREAD_MUTEX_INITIALIZER; // held: looks that have seen the store wait with it
static atomic_int looks;

// Linked in place of store_list.
enum dyn_status __real_store_list(struct store *, struct store_listing *, struct dyn_error *);
enum dyn_status __wrap_store_list(struct store *, struct store_listing *, struct dyn_error *);

enum dyn_status __wrap_store_list(struct store *s, struct store_listing *l, struct dyn_error *error)
{
        enum dyn_status st = __real_store_list(s, l, error);

        atomic_fetch_add(&looks, 1);
        pthread_mutex_lock(&look_gate);
        pthread_mutex_unlock(&look_gate);
        return st;
}

static const struct adapter_folder first = {0}, second = {.seed = 1};

static const struct adapter_entry *find(struct world *w, const char *name)
{
        return registry_find(w->registry, name);
}

static bool is_in_state(struct world *w, const char *name, enum adapter_state state)
{
        const struct adapter_entry *e = find(w, name);

        return e != NULL && e->state == state;
}

static bool serves(struct world *w, const char *name, const char *version)
{
        return strcmp(world_version(w, name), version) == 0;
}

// The version that a folder's content makes.
static char *version_of(const struct adapter_folder *folder)
{
        char *path = adapter_folder_write(folder);
        struct dyn_adapter *a;

        if (version_open(&test_host, "x", path, &a, &err))
                fail_msg("%s", err.text);
        char *version = mem_strdup(dyn_adapter_info(a)->version);

        dyn_adapter_unpin(a);
        adapter_folder_remove(path);
        return version;
}

static char *versions[2];

static int set_up(void **state)
{
        versions[0] = version_of(&first);
        versions[1] = version_of(&second);
        return world_set_up(state);
}

static int tear_down(void **state)
{
        mem_free(versions[0]);
        mem_free(versions[1]);
        return world_tear_down(state);
}

static void watch_for(struct world *w, int64_t ns)
{
        for (int64_t began = clock_ns(); clock_ns() - began < ns;)
                world_settle(w);
}

static char *in_store(struct world *w, const char *name, const char *file)
{
        return mem_printf("%s/%s/%s", w->store, name, file);
}

// One folder
// --------------------------------------------------------------------------------------------------------------------

static void a_folder_that_is_dropped_in_is_registered(void **state)
{
        struct world *w = *state;

        world_scan(w);
        world_put(w, "sql", &first);
        world_until(w, serves(w, "sql", versions[0]));
        char *staged = world_path(w->store, ".coming"), *path = world_path(w->store, "shout");
        adapter_folder_write_to(staged, &second);
        assert_int_equal(rename(staged, path), 0);
        world_until(w, serves(w, "shout", versions[1]));
        assert_int_equal(registry_count(w->registry), 2);
        mem_free(staged);
        mem_free(path);
}

// A volume that is not mounted, or gone, or mounted anew.
static void another_folder_at_the_stores_path_is_followed_unless_it_is_empty(void **state)
{
        struct world *w = *state;
        char *aside = mem_printf("%s.aside", w->store), *other = mem_printf("%s.other", w->store);

        world_put(w, "sql", &first);
        world_scan(w);
        assert_int_equal(mkdir(other, 0777), 0);
        assert_int_equal(rename(w->store, aside), 0);
        watch_for(w, 2 * SECOND);
        assert_true(serves(w, "sql", versions[0]));
        assert_null(find(w, "sql")->error);
        assert_int_equal(rename(other, w->store), 0);
        watch_for(w, 2 * SECOND);
        assert_true(serves(w, "sql", versions[0]));

        world_put(w, "shout", &second);
        world_until(w, serves(w, "shout", versions[1]) && find(w, "sql") == NULL);
        assert_int_equal(world_upload(w, "sql", w->one).status, DYN_OK);
        assert_true(world_stores(w, "sql"));
        assert_int_equal(rename(w->store, other), 0);
        assert_int_equal(rename(aside, w->store), 0);
        world_until(w, find(w, "shout") == NULL && serves(w, "sql", versions[0]));
        adapter_folder_remove(other);
        mem_free(aside);
}

static void a_folder_that_is_swapped_updates(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &first);
        world_scan(w);
        struct adapter_version *old = world_resolve(w, "sql");
        registry_begin(old);
        world_swap(w, "sql", &second);
        world_until(w, serves(w, "sql", versions[1]));
        assert_string_equal(dyn_adapter_info(old->adapter)->version, versions[0]);
        registry_end(old, 1);
        world_swap(w, "sql", &first);
        world_until(w, serves(w, "sql", versions[0]));
        assert_int_equal(registry_totals(w->registry).loads, 3);
}

// A writer that takes its time: what is there in between, new weights with the old configuration, is whole by itself
// and must not be served.
static void a_folder_that_is_written_file_by_file_updates_when_it_holds_still(void **state)
{
        static const struct adapter_folder mixed = {
                .seed = 1, .find = "\"lora_alpha\": 8", .replace = "\"lora_alpha\": 8 "};
        static const struct adapter_folder half = {.find = "\"lora_alpha\": 8", .replace = "\"lora_alpha\": 8 "};
        struct world *w = *state;
        char *whole = version_of(&mixed), *never = version_of(&half);

        for (int round = 0; round < 4; round++) {
                if (round == 0) {
                        world_put(w, "sql", &first);
                        world_scan(w);
                } else {
                        world_put(w, "sql", &first);
                }
                world_until(w, serves(w, "sql", versions[0]));
                // The files are written within the time that a writer takes; events on other names hurry the looks.
                int64_t began = clock_ns();
                world_put(w, "sql", &half);
                for (int i = 0; i < 6; i++) {
                        char *path = world_path(w->store, "noise");

                        mkdir(path, 0755);
                        rmdir(path);
                        mem_free(path);
                        for (int k = 0; k < 10; k++) {
                                uv_run(w->loop, UV_RUN_NOWAIT);
                                usleep(1000);
                        }
                }
                bool slow = clock_ns() - began > SECOND / 4; // then it did hold still
                assert_true(slow || !serves(w, "sql", never));
                world_put(w, "sql", &mixed);
                slow = clock_ns() - began > SECOND / 4;
                world_until(w, !serves(w, "sql", versions[0]));
                assert_true(slow || serves(w, "sql", whole));
                world_until(w, serves(w, "sql", whole));
        }
        mem_free(whole);
        mem_free(never);
}

static void a_folder_that_is_removed_is_unregistered(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &first);
        world_put(w, "shout", &second);
        world_put(w, "broken", &world_broken);
        world_scan(w);
        struct adapter_version *busy = world_resolve(w, "sql");
        registry_begin(busy);
        world_drop(w, "sql");
        world_drop(w, "broken");
        world_until(w, is_in_state(w, "sql", ADAPTER_DRAINING));
        world_until(w, find(w, "broken") == NULL);
        registry_end(busy, 1);
        assert_null(find(w, "sql"));
        assert_true(is_in_state(w, "shout", ADAPTER_READY));
        // And back.
        world_put(w, "sql", &second);
        world_until(w, serves(w, "sql", versions[1]));
}

static void settings_that_change_in_the_store_change_here(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &first);
        world_scan(w);
        struct dyn_adapter *before = world_resolve(w, "sql")->adapter;
        char *path = in_store(w, "sql", "dynlora.json");
        FILE *f = fopen(path, "w");

        fputs("{\"pin\": true, \"mode\": \"unmerged\"}", f);
        fclose(f);
        world_until(w, find(w, "sql")->pinned);
        assert_int_equal(find(w, "sql")->mode, STORE_UNMERGED);
        unlink(path);
        world_until(w, !find(w, "sql")->pinned);
        assert_ptr_equal(world_resolve(w, "sql")->adapter, before);
        mem_free(path);
}

// What a registration by path leads to is watched like the store.
static void a_target_that_changes_updates(void **state)
{
        struct world *w = *state;

        world_scan(w);
        world_load(w, "sql", w->one, false);
        adapter_folder_write_to(w->one, &second);
        world_until(w, serves(w, "sql", versions[1]));
        assert_string_equal(find(w, "sql")->source, w->one);
}

// Broken ones
// -------------------------------------------------------------------------------------------------------------------

static void a_broken_folder_is_listed_with_its_reason_and_read_again_when_it_changes(void **state)
{
        struct world *w = *state;
        char *expected = mem_printf("%s/sql: adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: "
                                    "expected a tensor, since adapter_config.json targets this module, found none",
                w->store);

        world_scan(w);
        world_put(w, "sql", &world_broken);
        world_until(w, is_in_state(w, "sql", ADAPTER_FAILED) && strcmp(find(w, "sql")->error, expected) == 0);
        // Left as it is, it is not read again and again; once more at most, since the clock is coarse.
        uint64_t failures = registry_totals(w->registry).failures;
        watch_for(w, 5 * SECOND);
        assert_true(registry_totals(w->registry).failures <= failures + 1);
        world_put(w, "sql", &first);
        world_until(w, serves(w, "sql", versions[0]));
        assert_null(find(w, "sql")->error);
        mem_free(expected);
}

static void one_that_serves_goes_on_when_its_folder_breaks_and_shows_why(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &first);
        world_scan(w);
        struct dyn_adapter *before = world_resolve(w, "sql")->adapter;
        world_swap(w, "sql", &world_broken);
        world_until(w, find(w, "sql")->error != NULL);
        assert_int_equal(find(w, "sql")->state, ADAPTER_READY);
        assert_ptr_equal(world_resolve(w, "sql")->adapter, before);
        assert_non_null(strstr(find(w, "sql")->error, "self_attn.q_proj.lora_B: expected a tensor"));
        world_swap(w, "sql", &first);
        world_until(w, find(w, "sql")->error == NULL);
        assert_int_equal(find(w, "sql")->state, ADAPTER_READY);

        // Settings that nobody understands.
        char *path = in_store(w, "sql", "dynlora.json");
        FILE *f = fopen(path, "w");

        fputs("{\"pin\": 1}", f);
        fclose(f);
        world_until(w, find(w, "sql")->error != NULL);
        assert_non_null(strstr(find(w, "sql")->error, "dynlora.json: \"pin\": "));
        assert_true(serves(w, "sql", versions[0]));
        unlink(path);
        world_until(w, find(w, "sql")->error == NULL);
        mem_free(path);
}

// The content that is served, once more: it is what was asked for, but not what the store holds.
static void the_same_content_repairs_a_broken_folder(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &first);
        world_scan(w);
        world_swap(w, "sql", &world_broken);
        world_until(w, find(w, "sql")->error != NULL);
        struct ending e = world_upload(w, "sql", w->one);
        assert_int_equal(e.status, DYN_OK);
        assert_null(e.entry->error);
        struct world next = world_twin(w, 1 << 20);
        assert_int_equal(world_scan(&next).ready, 1);
        assert_true(serves(&next, "sql", versions[0]));
        world_close(&next);
}

static int n_complaints;

static void names_that_can_be_no_adapters_are_told_of_once(void **state)
{
        struct world *w = *state;
        char *log = world_path(w->root, "log"), line[600];
        int kept = dup(2), file = open(log, O_RDWR | O_CREAT, 0600);

        log_configure(LOG_WARN, false);
        dup2(file, 2);
        world_put(w, "two words", &first);
        world_scan(w);
        world_put(w, "smollm2", &first);
        watch_for(w, 2 * SECOND);
        dup2(kept, 2);
        close(kept);
        close(file);
        log_configure(LOG_ERROR, false);
        FILE *f = fopen(log, "r");
        n_complaints = 0;
        while (fgets(line, sizeof line, f) != NULL)
                n_complaints += strstr(line, "is passed over") != NULL;
        fclose(f);
        assert_int_equal(n_complaints, 2);
        assert_int_equal(registry_count(w->registry), 0);
        mem_free(log);
}

// Two at once
// -------------------------------------------------------------------------------------------------------------------

// Nanoseconds until it holds.
#define took(w, condition)                                                                                             \
        ({                                                                                                             \
                int64_t took_began = clock_ns();                                                                       \
                world_until(w, condition);                                                                             \
                clock_ns() - took_began;                                                                               \
        })

static void two_registries_on_one_store_converge_within_two_seconds(void **state)
{
        struct world *w = *state;

        world_scan(w);
        struct world next = world_twin(w, 1 << 20);
        world_scan(&next);
        for (int round = 0; round < 2; round++) {
                struct world *here = round ? &next : w, *there = round ? w : &next;

                assert_int_equal(world_load(here, "sql", here->one, false).status, DYN_OK);
                assert_true(took(w, serves(there, "sql", versions[0])) < 2 * SECOND);
                assert_int_equal(world_upload(here, "sql", here->other).outcome, REGISTRY_UPDATED);
                assert_true(took(w, serves(there, "sql", versions[1])) < 2 * SECOND);
                assert_int_equal(world_set(here, "sql", (struct store_settings){.pin = true}).status, DYN_OK);
                assert_true(took(w, find(there, "sql")->pinned) < 2 * SECOND);
                assert_int_equal(world_remove(here, "sql").status, DYN_OK);
                assert_true(took(w, find(there, "sql") == NULL) < 2 * SECOND);
        }
        assert_int_equal(registry_totals(next.registry).loads, 4);
        assert_int_equal(registry_totals(w->registry).loads, 4);
        world_close(&next);
}

// Both change the same names at random. When they rest, they agree with the store and with each other.
static void two_that_change_the_same_names_agree_in_the_end(void **state)
{
        static struct ending endings[400];
        struct world *w = *state;

        world_scan(w);
        struct world next = world_twin(w, 1 << 20);
        world_scan(&next);
        srand(5);
        memset(endings, 0, sizeof endings);
        for (int i = 0; i < 400; i++) {
                struct world *at = rand() % 2 ? w : &next;
                char name[8];

                snprintf(name, sizeof name, "n%d", rand() % 4);
                if (rand() % 3 == 0)
                        registry_remove(at->registry, name, false, NULL, NULL, &err);
                else
                        registry_upload(
                                at->registry, name, world_archive(rand() % 2 ? w->one : w->other), NULL, NULL, &err);
                for (int k = rand() % 6; k > 0; k--) {
                        uv_run(w->loop, UV_RUN_NOWAIT);
                        usleep(1000);
                }
        }
        watch_for(w, 3 * SECOND);
        assert_int_equal(registry_count(w->registry), registry_count(next.registry));
        for (int i = 0; i < 4; i++) {
                char name[8];

                snprintf(name, sizeof name, "n%d", i);
                assert_int_equal(world_stores(w, name), find(w, name) != NULL);
                assert_string_equal(world_version(w, name), world_version(&next, name));
                if (!world_stores(w, name))
                        continue;
                struct world third = world_twin(w, 1 << 20);
                world_scan(&third);
                assert_string_equal(world_version(w, name), world_version(&third, name));
                world_close(&third);
        }
        world_close(&next);
}

// The look has seen the name, and comes back with it when the name is gone.
static void a_look_that_began_before_a_removal_brings_nothing_back(void **state)
{
        struct world *w = *state;

        world_scan(w);
        for (int how = 0; how < 2; how++) {
                if (how == 0)
                        world_upload(w, "sql", w->one);
                else
                        world_load(w, "sql", w->one, false);
                watch_for(w, SECOND);
                pthread_mutex_lock(&look_gate);
                int before = looks;
                world_until(w, looks > before);
                assert_int_equal(world_remove(w, "sql").status, DYN_OK);
                uint64_t failures = registry_totals(w->registry).failures;
                pthread_mutex_unlock(&look_gate);
                for (int64_t began = clock_ns(); clock_ns() - began < SECOND;) {
                        uv_run(w->loop, UV_RUN_NOWAIT);
                        assert_null(find(w, "sql"));
                        usleep(200);
                }
                assert_int_equal(registry_totals(w->registry).failures, failures);
        }
}

// Looks run all the time, since every change is told of: none of them may bring back what it saw before a removal.
static void what_was_removed_here_never_comes_back_from_an_older_look(void **state)
{
        struct world *w = *state;

        world_scan(w);
        for (int i = 0; i < 150; i++) {
                assert_int_equal(registry_upload(w->registry, "sql", world_archive(w->one), NULL, NULL, &err), DYN_OK);
                world_until(w, is_in_state(w, "sql", ADAPTER_READY) && !find(w, "sql")->updating);
                // Many folders make a look long.
                if (i < 40) {
                        char name[16];

                        snprintf(name, sizeof name, "n%d", i);
                        world_put(w, name, &first);
                }
                assert_int_equal(world_remove(w, "sql").status, DYN_OK);
                for (int k = 0; k < 10; k++) {
                        uv_run(w->loop, UV_RUN_NOWAIT);
                        assert_null(find(w, "sql"));
                        usleep(300);
                }
        }
        watch_for(w, SECOND);
        assert_null(find(w, "sql"));
        assert_int_equal(registry_count(w->registry), 40);
}

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(a_folder_that_is_dropped_in_is_registered),
                test_in_world(another_folder_at_the_stores_path_is_followed_unless_it_is_empty),
                test_in_world(a_folder_that_is_swapped_updates),
                test_in_world(a_folder_that_is_written_file_by_file_updates_when_it_holds_still),
                test_in_world(a_folder_that_is_removed_is_unregistered),
                test_in_world(settings_that_change_in_the_store_change_here),
                test_in_world(a_target_that_changes_updates),
                test_in_world(a_broken_folder_is_listed_with_its_reason_and_read_again_when_it_changes),
                test_in_world(one_that_serves_goes_on_when_its_folder_breaks_and_shows_why),
                test_in_world(the_same_content_repairs_a_broken_folder),
                test_in_world(names_that_can_be_no_adapters_are_told_of_once),
                test_in_world(two_registries_on_one_store_converge_within_two_seconds),
                test_in_world(two_that_change_the_same_names_agree_in_the_end),
                test_in_world(a_look_that_began_before_a_removal_brings_nothing_back),
                test_in_world(what_was_removed_here_never_comes_back_from_an_older_look),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
