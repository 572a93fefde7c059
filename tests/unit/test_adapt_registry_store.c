// src/adapt/registry.c, loads.c and chores.c: what is registered here is in the store, and what is unregistered is out
// of it. The oracles are the files and a second registry on the same folder.
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry_world.h"

static struct dyn_error err;

// The text of a file of the store's folder of that name, "" if there is none.
static const char *text_of(struct world *w, const char *name, const char *file)
{
        static char text[4096];
        char *path = mem_printf("%s/%s/%s", w->store, name, file);
        FILE *f = fopen(path, "rb");
        size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

        if (f != NULL)
                fclose(f);
        text[n] = 0;
        mem_free(path);
        return text;
}

static void expect_settings(struct world *w, const char *name, bool pin, const char *mode, const char *path)
{
        char *expected =
                path ? mem_printf("{\"path\":\"%s\",\"pin\":%s,\"mode\":\"%s\"}\n", path, pin ? "true" : "false", mode)
                     : mem_printf("{\"pin\":%s,\"mode\":\"%s\"}\n", pin ? "true" : "false", mode);
        const struct adapter_entry *e = registry_find(w->registry, name);

        assert_string_equal(text_of(w, name, "dynlora.json"), expected);
        assert_int_equal(e->pinned, pin);
        assert_string_equal(store_mode_name(e->mode), mode);
        mem_free(expected);
}

// A second registry finds the same version from the same place with the same settings.
static void expect_found_by_the_next(struct world *w, const char *name)
{
        const struct adapter_entry *here = registry_find(w->registry, name);
        struct world next = world_twin(w, 1 << 20);
        struct counts c = world_scan(&next);
        const struct adapter_entry *there = registry_find(next.registry, name);

        assert_true(c.ready > 0);
        assert_non_null(there);
        assert_int_equal(there->state, ADAPTER_READY);
        assert_string_equal(world_version(&next, name), world_version(w, name));
        assert_string_equal(there->source, here->source);
        assert_int_equal(there->pinned, here->pinned);
        assert_int_equal(there->mode, here->mode);
        world_close(&next);
}

static void expect_nothing(struct world *w, const char *name)
{
        assert_null(registry_find(w->registry, name));
        assert_false(world_stores(w, name));
        assert_int_equal(world_hidden(w), 0);
}

// Registering
// -----------------------------------------------------------------------------------------------------------------

static void a_registration_by_path_is_found_by_the_next_start(void **state)
{
        struct world *w = *state;

        assert_int_equal(world_load(w, "sql", w->one, false).outcome, REGISTRY_NEW);
        expect_settings(w, "sql", false, "auto", w->one);
        expect_found_by_the_next(w, "sql");
        assert_int_equal(world_load(w, "sql", w->other, true).outcome, REGISTRY_UPDATED);
        expect_settings(w, "sql", false, "auto", w->other);
        expect_found_by_the_next(w, "sql");
}

static void a_refused_registration_leaves_the_store_alone(void **state)
{
        struct world *w = *state;

        assert_int_equal(world_load(w, "sql", w->broken, false).status, DYN_INVALID);
        expect_nothing(w, "sql");
        world_load(w, "sql", w->one, false);
        assert_int_equal(world_load(w, "sql", w->broken, true).status, DYN_INVALID);
        assert_int_equal(world_load(w, "sql", w->other, false).status, DYN_CONFLICT);
        expect_settings(w, "sql", false, "auto", w->one);
}

static void a_name_that_somebody_else_has_just_put_there_needs_replace(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &(struct adapter_folder){.seed = 3});
        assert_int_equal(world_load(w, "sql", w->one, false).status, DYN_CONFLICT);
        assert_null(registry_find(w->registry, "sql"));
        assert_string_equal(text_of(w, "sql", "dynlora.json"), "");
        assert_int_equal(world_load(w, "sql", w->one, true).outcome, REGISTRY_NEW);
        expect_settings(w, "sql", false, "auto", w->one);
        assert_int_equal(world_hidden(w), 0);
}

static void one_too_large_for_the_device_is_not_stored(void **state)
{
        struct world *w = *state;
        struct world small = world_twin(w, 1535);
        char *expected = mem_printf("%s: it takes 1536 bytes, and --adapter-memory allows 1535 for all", w->one);
        struct ending e = world_load(&small, "sql", w->one, false);

        assert_int_equal(e.status, DYN_NO_MEMORY);
        assert_string_equal(e.text, expected);
        expect_nothing(&small, "sql");
        e = world_upload(&small, "sql", w->one);
        assert_int_equal(e.status, DYN_NO_MEMORY);
        assert_string_equal(e.text, strchr(expected, ':') + 2);
        expect_nothing(&small, "sql");
        world_close(&small);
        mem_free(expected);
}

static void the_stores_own_folder_is_registered_with_what_it_holds(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &(struct adapter_folder){0});
        struct ending e = world_load(w, "sql", NULL, false);
        assert_int_equal(e.outcome, REGISTRY_NEW);
        assert_int_equal(world_remove(w, "sql").status, DYN_OK);
        expect_nothing(w, "sql");

        const struct store_settings settings = {true, STORE_UNMERGED};
        world_put(w, "sql", &(struct adapter_folder){0});
        world_order(w, &(struct registry_order){"sql", NULL, false, &settings});
        expect_settings(w, "sql", true, "unmerged", NULL);
        expect_found_by_the_next(w, "sql");

        // One that is registered by path, as another replica did it.
        struct world other = world_twin(w, 1 << 20);
        world_order(&other, &(struct registry_order){"shout", w->other, false, &settings});
        world_close(&other);
        e = world_load(w, "shout", NULL, false);
        assert_int_equal(e.status, DYN_OK);
        assert_string_equal(e.entry->source, w->other);
        assert_true(e.entry->pinned);
}

// The folder of before may be gone the next day.
static void the_same_content_from_elsewhere_is_found_there_by_the_next_start(void **state)
{
        struct world *w = *state;
        struct adapter_folder content = {.seed = 7};
        char *here = world_path(w->root, "here"), *there = world_path(w->root, "there");
        char *own = world_path(w->store, "sql");

        adapter_folder_write_to(here, &content);
        adapter_folder_write_to(there, &content);
        world_load(w, "sql", here, false);
        const struct dyn_adapter *first = world_resolve(w, "sql")->adapter;
        assert_int_equal(world_load(w, "sql", there, false).outcome, REGISTRY_SAME);
        expect_settings(w, "sql", false, "auto", there);
        expect_found_by_the_next(w, "sql");

        assert_int_equal(world_upload(w, "sql", there).outcome, REGISTRY_SAME);
        assert_string_equal(registry_find(w->registry, "sql")->source, own);
        expect_found_by_the_next(w, "sql");
        assert_int_equal(world_load(w, "sql", here, true).outcome, REGISTRY_SAME); // the store's own is no worse
        assert_string_equal(registry_find(w->registry, "sql")->source, own);
        assert_ptr_equal(world_resolve(w, "sql")->adapter, first);
        mem_free(here);
        mem_free(there);
        mem_free(own);
}

static void a_folder_that_was_moved_is_registered_from_where_it_is_now(void **state)
{
        struct world *w = *state;
        char *here = world_path(w->root, "here"), *there = world_path(w->root, "there");

        adapter_folder_write_to(here, &(struct adapter_folder){.seed = 7});
        world_load(w, "sql", here, false);
        world_scan(w); // watched from now on
        assert_int_equal(rename(here, there), 0);
        world_until(w, registry_find(w->registry, "sql")->error != NULL);
        assert_int_equal(world_load(w, "sql", there, false).status, DYN_OK);
        assert_null(registry_find(w->registry, "sql")->error);
        expect_settings(w, "sql", false, "auto", there);
        mem_free(here);
        mem_free(there);
}

// However its path is spelt: the store must not come to point to itself.
static void registering_a_folder_of_the_store_by_its_path_leaves_its_files(void **state)
{
        struct world *w = *state;
        char *odd = mem_printf("%s/./sql/../sql", w->store), *link = world_path(w->root, "alias");
        char *within = world_path(w->store, "sql/inner"), *own = world_path(w->store, "sql");

        world_put(w, "sql", &(struct adapter_folder){.seed = 3});
        adapter_folder_write_to(within, &(struct adapter_folder){.seed = 4});
        assert_int_equal(symlink(own, link), 0);
        assert_int_equal(world_load(w, "sql", odd, false).outcome, REGISTRY_NEW);
        assert_int_equal(world_load(w, "sql", link, true).outcome, REGISTRY_SAME);
        world_swap(w, "sql", &(struct adapter_folder){.seed = 5});
        assert_int_equal(world_load(w, "sql", odd, true).outcome, REGISTRY_UPDATED);
        assert_string_not_equal(text_of(w, "sql", "adapter_config.json"), "");
        expect_found_by_the_next(w, "sql");

        adapter_folder_write_to(within, &(struct adapter_folder){.seed = 4});
        struct ending e = world_load(w, "sql", within, true);
        char *expected =
                mem_printf("%s: expected a folder outside %s, which this registration would replace: use another "
                           "name",
                        within, own);
        assert_int_equal(e.status, DYN_INVALID);
        assert_string_equal(e.text, expected);
        assert_string_not_equal(text_of(w, "sql/inner", "adapter_config.json"), "");
        mem_free(odd);
        mem_free(link);
        mem_free(within);
        mem_free(own);
        mem_free(expected);
}

// Where it leads: a link goes up from where it points to.
static void a_path_that_climbs_is_kept_as_where_it_leads(void **state)
{
        struct world *w = *state;
        char *link = world_path(w->root, "inner"), *deep = world_path(w->other, "deep");
        char *plain = mem_printf("%s/other/.././one", w->root),
             *odd = mem_printf("%s/../deep/../../..one/../one", link);
        char *dots = world_path(w->root, "..one");

        assert_int_equal(mkdir(deep, 0777), 0);
        assert_int_equal(mkdir(dots, 0777), 0);
        assert_int_equal(symlink(deep, link), 0);
        assert_int_equal(world_load(w, "sql", odd, false).outcome, REGISTRY_NEW);
        expect_settings(w, "sql", false, "auto", w->one);
        assert_string_equal(registry_find(w->registry, "sql")->source, w->one);
        assert_int_equal(world_load(w, "sql", odd, false).outcome, REGISTRY_SAME);
        expect_found_by_the_next(w, "sql");
        assert_int_equal(world_load(w, "dotted", plain, false).outcome, REGISTRY_NEW);
        char *settled = mem_printf("%s/./one", w->root);
        assert_string_equal(registry_find(w->registry, "dotted")->source, settled);
        rmdir(dots);
        rmdir(deep);
        mem_free(settled);
        mem_free(dots);
        mem_free(odd);
        mem_free(plain);
        mem_free(deep);
        mem_free(link);
}

// Whoever leads the link elsewhere updates the adapter.
static void a_registered_link_is_followed_when_it_leads_elsewhere(void **state)
{
        struct world *w = *state;
        char *link = world_path(w->root, "current"), *other = world_path(w->root, "next");

        assert_int_equal(symlink(w->one, link), 0);
        assert_int_equal(world_load(w, "sql", link, false).outcome, REGISTRY_NEW);
        expect_settings(w, "sql", false, "auto", link);
        world_scan(w);
        char *before = mem_strdup(world_version(w, "sql"));
        assert_int_equal(symlink(w->other, other), 0);
        assert_int_equal(rename(other, link), 0);
        world_until(w, strcmp(world_version(w, "sql"), before) != 0);
        mem_free(before);
        mem_free(link);
        mem_free(other);
}

static void a_folder_that_the_store_does_not_have_is_not_listed(void **state)
{
        struct world *w = *state;
        char *expected = mem_printf("%s/sql: no such adapter in the store", w->store);
        struct ending e = world_load(w, "sql", NULL, false);

        assert_int_equal(e.status, DYN_NOT_FOUND);
        assert_string_equal(e.text, expected);
        expect_nothing(w, "sql");
        mem_free(expected);
}

// Uploading
// -------------------------------------------------------------------------------------------------------------------

static void an_upload_registers_and_updates_and_knows_the_same_again(void **state)
{
        struct world *w = *state;
        char *source = world_path(w->store, "sql");
        struct ending e = world_upload(w, "sql", w->one);

        assert_int_equal(e.status, DYN_OK);
        assert_int_equal(e.outcome, REGISTRY_NEW);
        assert_string_equal(e.entry->source, source);
        assert_int_equal(world_hidden(w), 0);
        expect_found_by_the_next(w, "sql");
        struct dyn_adapter *first = world_resolve(w, "sql")->adapter;

        assert_int_equal(world_upload(w, "sql", w->one).outcome, REGISTRY_SAME);
        assert_int_equal(world_load(w, "sql", w->one, false).outcome, REGISTRY_SAME);
        assert_ptr_equal(world_resolve(w, "sql")->adapter, first);
        assert_int_equal(world_upload(w, "sql", w->other).outcome, REGISTRY_UPDATED);
        assert_int_equal(world_hidden(w), 0);
        assert_int_equal(test_host_alive, 6);
        expect_found_by_the_next(w, "sql");
        mem_free(source);
}

// An upload takes the place of a registration by path, and the other way round.
static void how_a_name_was_registered_may_change(void **state)
{
        struct world *w = *state;

        world_load(w, "sql", w->one, false);
        assert_int_equal(world_upload(w, "sql", w->other).outcome, REGISTRY_UPDATED);
        expect_settings(w, "sql", false, "auto", NULL);
        assert_string_not_equal(text_of(w, "sql", "adapter_config.json"), "");
        assert_int_equal(world_load(w, "sql", w->one, true).outcome, REGISTRY_UPDATED);
        expect_settings(w, "sql", false, "auto", w->one);
        assert_string_equal(text_of(w, "sql", "adapter_config.json"), "");
        expect_found_by_the_next(w, "sql");
}

static void a_refused_upload_changes_nothing(void **state)
{
        struct world *w = *state;
        struct ending e = world_upload(w, "sql", w->broken);

        assert_int_equal(e.status, DYN_INVALID);
        assert_string_equal(e.text, "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: expected a "
                                    "tensor, since adapter_config.json targets this module, found none");
        expect_nothing(w, "sql");
        world_upload(w, "sql", w->one);
        struct dyn_adapter *before = world_resolve(w, "sql")->adapter;
        assert_int_equal(world_upload(w, "sql", w->broken).status, DYN_INVALID);

        int cut = world_archive(w->other);
        struct ending ended = {0};
        assert_int_equal(ftruncate(cut, 3000), 0);
        assert_int_equal(registry_upload(w->registry, "sql", cut, world_on_done, &ended, &err), DYN_OK);
        world_until(w, ended.calls > 0);
        assert_int_equal(ended.status, DYN_INVALID);
        assert_int_equal(fcntl(cut, F_GETFD), -1);
        assert_ptr_equal(world_resolve(w, "sql")->adapter, before);
        assert_int_equal(world_hidden(w), 0);
        expect_found_by_the_next(w, "sql");
}

static void an_upload_that_cannot_begin_is_closed(void **state)
{
        struct world *w = *state;
        struct registry_options options = {
                .host = &test_host, .resident = {.loop = w->loop}, .loop = w->loop, .base = "b"};
        struct registry *r;
        int fd = world_archive(w->one);

        assert_int_equal(registry_create(&r, &options, &err), DYN_OK);
        assert_int_equal(registry_upload(r, "sql", fd, NULL, NULL, &err), DYN_UNSUPPORTED);
        assert_string_equal(err.text, "there is no adapter store: start the server with --adapters DIR");
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        fd = world_archive(w->one);
        assert_int_equal(registry_upload(w->registry, "a b", fd, NULL, NULL, &err), DYN_INVALID);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        registry_stop(r);
        world_settle(w);
        registry_destroy(r);
}

// Removing
// --------------------------------------------------------------------------------------------------------------------

static void removing_takes_it_out_of_the_store_and_leaves_its_target(void **state)
{
        struct world *w = *state;

        world_load(w, "sql", w->one, false);
        world_upload(w, "shout", w->other);
        assert_int_equal(world_remove(w, "sql").status, DYN_OK);
        assert_int_equal(world_remove(w, "shout").status, DYN_OK);
        expect_nothing(w, "sql");
        expect_nothing(w, "shout");
        assert_int_equal(access(w->one, F_OK), 0);
        assert_int_equal(registry_totals(w->registry).removals, 2);
}

// A load by path, an upload and the first reading of the store, each removed while it waits at the gate.
static void what_is_removed_while_it_loads_does_not_come_back(void **state)
{
        struct world *w = *state;

        for (int how = 0; how < 3; how++) {
                struct ending e = {0}, gone = {0};
                struct counts c = {0};

                world_at_gate = 0;
                pthread_mutex_lock(&world_gate);
                if (how == 0) {
                        world_begin(w, "sql", w->one, false, &e);
                } else if (how == 1) {
                        assert_int_equal(
                                registry_upload(w->registry, "sql", world_archive(w->one), world_on_done, &e, &err),
                                DYN_OK);
                } else {
                        world_put(w, "sql", &(struct adapter_folder){0});
                        assert_int_equal(registry_scan_store(w->registry, NULL, &c, &err), DYN_OK);
                        w->watched = true;
                        e.calls = 1;
                }
                while (world_at_gate < 1)
                        usleep(1000);
                world_unregister(w, "sql", true, &gone);
                pthread_mutex_unlock(&world_gate);
                world_until(w, gone.calls > 0 && e.calls > 0);
                assert_int_equal(gone.status, DYN_OK);
                expect_nothing(w, "sql");
        }
        // Several looks at the store later.
        for (int64_t began = clock_ns(); clock_ns() - began < 1200000000;)
                world_settle(w);
        expect_nothing(w, "sql");
}

static void on_set(void *ctx, enum dyn_status status, const struct adapter_entry *entry, const struct dyn_error *error)
{
        struct ending *e = ctx;

        e->calls++;
        e->status = status;
}

static void what_is_removed_while_its_settings_are_written_does_not_come_back(void **state)
{
        struct world *w = *state;

        for (int i = 0; i < 20; i++) {
                struct ending gone = {0};
                struct adapter_version *v;

                world_upload(w, "sql", w->one);
                assert_int_equal(registry_resolve(w->registry, "sql", &v, &err), DYN_OK);
                registry_begin(v);
                const struct store_settings settings = {true, STORE_AUTO};
                struct ending set = {0};
                assert_int_equal(registry_set(w->registry, "sql", &settings, on_set, &set, &err), DYN_OK);
                world_unregister(w, "sql", true, &gone);
                assert_int_equal(registry_set(w->registry, "sql", &settings, NULL, NULL, &err), DYN_NOT_FOUND);
                world_until(w, !world_stores(w, "sql"));
                registry_end(v, 0);
                world_until(w, gone.calls > 0);
                assert_int_equal(gone.status, DYN_OK);
                assert_int_equal(set.calls, 1);
                assert_int_equal(set.status, DYN_CONFLICT);
                expect_nothing(w, "sql");
        }
}

// Settings
// --------------------------------------------------------------------------------------------------------------------

static void settings_outlive_the_process_and_the_version(void **state)
{
        struct world *w = *state;
        const struct store_settings pinned = {true, STORE_UNMERGED};

        world_order(w, &(struct registry_order){"sql", w->one, false, &pinned});
        expect_settings(w, "sql", true, "unmerged", w->one);
        expect_found_by_the_next(w, "sql");
        world_load(w, "sql", w->other, true);
        expect_settings(w, "sql", true, "unmerged", w->other);
        world_upload(w, "sql", w->one);
        expect_settings(w, "sql", true, "unmerged", NULL);
        assert_int_equal(world_set(w, "sql", (struct store_settings){false, STORE_UNMERGED}).status, DYN_OK);
        expect_settings(w, "sql", false, "unmerged", NULL);
        expect_found_by_the_next(w, "sql");
        // They go with the name.
        world_remove(w, "sql");
        world_load(w, "sql", w->one, false);
        expect_settings(w, "sql", false, "auto", w->one);
}

static void settings_are_taken_also_with_the_same_content(void **state)
{
        struct world *w = *state;
        const struct store_settings pinned = {true, STORE_AUTO};

        world_load(w, "sql", w->one, false);
        struct ending e = world_order(w, &(struct registry_order){"sql", w->one, false, &pinned});
        assert_int_equal(e.outcome, REGISTRY_SAME);
        expect_settings(w, "sql", true, "auto", w->one);
}

// What was put there by somebody else before the upload.
static void an_upload_takes_over_the_settings_that_the_store_has(void **state)
{
        struct world *w = *state;
        struct world other = world_twin(w, 1 << 20);
        const struct store_settings pinned = {true, STORE_AUTO};

        world_order(&other, &(struct registry_order){"sql", w->one, false, &pinned});
        world_close(&other);
        world_upload(w, "sql", w->other);
        expect_settings(w, "sql", true, "auto", NULL);
}

static void settings_hold_without_a_store(void **state)
{
        struct world *w = *state;
        struct registry_options options = {.host = &test_host,
                .resident = {.loop = w->loop, .device_bytes = 1 << 20, .steps = &(_Atomic uint64_t){0}},
                .loop = w->loop,
                .base = "b",
                .roots = (const char *const *)&w->root,
                .n_roots = 1};
        const struct store_settings pinned = {true, STORE_AUTO};
        struct world bare = *w;

        assert_int_equal(registry_create(&bare.registry, &options, &err), DYN_OK);
        struct ending e = world_order(&bare, &(struct registry_order){"sql", w->one, false, &pinned});
        assert_true(e.entry->pinned);
        e = world_set(&bare, "sql", (struct store_settings){0});
        assert_int_equal(e.status, DYN_OK);
        assert_false(e.entry->pinned);
        assert_int_equal(registry_set(bare.registry, "shout", &pinned, NULL, NULL, &err), DYN_NOT_FOUND);
        assert_int_equal(world_remove(&bare, "sql").status, DYN_OK);
        registry_stop(bare.registry);
        world_settle(w);
        registry_destroy(bare.registry);
}

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(a_registration_by_path_is_found_by_the_next_start),
                test_in_world(a_refused_registration_leaves_the_store_alone),
                test_in_world(a_name_that_somebody_else_has_just_put_there_needs_replace),
                test_in_world(one_too_large_for_the_device_is_not_stored),
                test_in_world(the_stores_own_folder_is_registered_with_what_it_holds),
                test_in_world(the_same_content_from_elsewhere_is_found_there_by_the_next_start),
                test_in_world(a_folder_that_was_moved_is_registered_from_where_it_is_now),
                test_in_world(registering_a_folder_of_the_store_by_its_path_leaves_its_files),
                test_in_world(a_path_that_climbs_is_kept_as_where_it_leads),
                test_in_world(a_registered_link_is_followed_when_it_leads_elsewhere),
                test_in_world(a_folder_that_the_store_does_not_have_is_not_listed),
                test_in_world(an_upload_registers_and_updates_and_knows_the_same_again),
                test_in_world(how_a_name_was_registered_may_change),
                test_in_world(a_refused_upload_changes_nothing),
                test_in_world(an_upload_that_cannot_begin_is_closed),
                test_in_world(removing_takes_it_out_of_the_store_and_leaves_its_target),
                test_in_world(what_is_removed_while_it_loads_does_not_come_back),
                test_in_world(what_is_removed_while_its_settings_are_written_does_not_come_back),
                test_in_world(settings_outlive_the_process_and_the_version),
                test_in_world(settings_are_taken_also_with_the_same_content),
                test_in_world(an_upload_takes_over_the_settings_that_the_store_has),
                test_in_world(settings_hold_without_a_store),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
