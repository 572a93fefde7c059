// src/adapt/registry.c, loads.c and roots.c: names and versions. What is written to the store is
// test_adapt_registry_store.c's.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "registry_world.h"

// Loading
// ---------------------------------------------------------------------------------------------------------------------

static void a_load_is_listed_while_it_runs_and_serves_afterwards(void **state)
{
        struct world *w = *state;
        struct ending e;

        world_begin(w, "sql", w->one, false, &e);
        const struct adapter_entry *entry = registry_find(w->registry, "sql");
        assert_int_equal(entry->state, ADAPTER_LOADING);
        assert_string_equal(entry->source, w->one);
        assert_null(entry->current);
        assert_null(adapter_entry_info(entry));
        world_unresolved(w, "sql", DYN_BUSY, "adapter \"sql\" is still loading");

        world_settle(w);
        assert_int_equal(e.calls, 1);
        assert_int_equal(e.status, DYN_OK);
        assert_int_equal(e.outcome, REGISTRY_NEW);
        assert_ptr_equal(e.entry, registry_find(w->registry, "sql"));
        assert_int_equal(e.entry->state, ADAPTER_READY);
        assert_string_equal(e.entry->source, w->one);
        assert_string_equal(adapter_entry_info(e.entry)->name, "sql");
        assert_ptr_equal(world_resolve(w, "sql"), e.entry->current);
        assert_int_equal(registry_totals(w->registry).loads, 1);
}

static void the_same_content_again_is_the_same_version(void **state)
{
        struct world *w = *state;
        struct dyn_adapter *before = world_load(w, "sql", w->one, false).entry->current->adapter;
        char *copy = world_path(w->root, "copy");

        adapter_folder_write_to(copy, &(struct adapter_folder){0});
        for (int replace = 0; replace < 2; replace++) {
                struct ending e = world_load(w, "sql", copy, replace);

                assert_int_equal(e.status, DYN_OK);
                assert_int_equal(e.outcome, REGISTRY_SAME);
                assert_ptr_equal(e.entry->current->adapter, before);
                assert_string_equal(e.entry->source, copy);
                assert_false(e.entry->updating);
        }
        assert_int_equal(registry_totals(w->registry).loads, 1);
        mem_free(copy);
}

static void other_content_needs_replace(void **state)
{
        struct world *w = *state;
        struct dyn_adapter *before = world_load(w, "sql", w->one, false).entry->current->adapter;
        struct ending e = world_load(w, "sql", w->other, false);
        char *expected = mem_printf(
                "adapter \"sql\" is in use with other content (version %s)", dyn_adapter_info(before)->version);

        assert_int_equal(e.status, DYN_CONFLICT);
        assert_string_equal(e.text, expected);
        assert_ptr_equal(world_resolve(w, "sql")->adapter, before);
        assert_string_equal(registry_find(w->registry, "sql")->source, w->one);
        mem_free(expected);
}

static void an_update_swaps_at_once_and_the_old_version_ends_with_its_requests(void **state)
{
        struct world *w = *state;
        struct ending e;

        world_load(w, "sql", w->one, false);
        struct adapter_version *old = world_resolve(w, "sql");
        struct dyn_adapter *adapter = old->adapter;

        registry_begin(old);
        registry_begin(old);
        world_begin(w, "sql", w->other, true, &e);
        assert_true(registry_find(w->registry, "sql")->updating);
        assert_ptr_equal(world_resolve(w, "sql"), old);
        world_settle(w);
        assert_int_equal(e.outcome, REGISTRY_UPDATED);
        struct adapter_version *new = world_resolve(w, "sql");
        assert_ptr_not_equal(new, old);
        assert_ptr_equal(old->adapter, adapter);
        assert_string_equal(e.entry->source, w->other);
        assert_ptr_equal(adapter_entry_info(e.entry), dyn_adapter_info(new->adapter));
        assert_int_equal(test_host_alive, 12);

        registry_begin(new);
        assert_int_equal(e.entry->in_flight, 3);
        registry_end(old, 10);
        assert_int_equal(test_host_alive, 12);
        registry_end(old, 20);
        assert_int_equal(test_host_alive, 6);
        registry_end(new, 1);
        assert_int_equal(e.entry->in_flight, 0);
        assert_int_equal(e.entry->requests, 3);
        assert_int_equal(e.entry->tokens, 31);
        assert_int_equal(e.entry->state, ADAPTER_READY);
}

static void a_version_can_be_asked_for_by_name(void **state)
{
        struct world *w = *state;

        world_load(w, "sql", w->one, false);
        const struct dyn_adapter_info *info = dyn_adapter_info(world_resolve(w, "sql")->adapter);
        char *by_version = mem_printf("sql@%s", info->version), *by_hash = mem_printf("sql@%s", info->sha256);
        char *old = mem_strdup(info->version);

        assert_ptr_equal(world_resolve(w, by_version), world_resolve(w, "sql"));
        assert_ptr_equal(world_resolve(w, by_hash), world_resolve(w, "sql"));
        world_unresolved(w, "sq", DYN_NOT_FOUND, "no adapter \"sq\"");
        world_unresolved(w, "sql2@1", DYN_NOT_FOUND, "no adapter \"sql2\"");
        world_unresolved(w, "", DYN_NOT_FOUND, "no adapter \"\"");
        world_load(w, "sql", w->other, true);
        char *expected = mem_printf("adapter \"sql\": expected version %s, found %s loaded", old,
                dyn_adapter_info(world_resolve(w, "sql")->adapter)->version);
        world_unresolved(w, by_version, DYN_CONFLICT, expected);
        mem_free(expected);
        mem_free(by_version);
        mem_free(by_hash);
        mem_free(old);
}

static void a_failed_registration_leaves_nothing(void **state)
{
        struct world *w = *state;
        struct ending e = world_load(w, "sql", w->broken, false);
        char *expected = mem_printf("%s: adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: expected a "
                                    "tensor, since adapter_config.json targets this module, found none",
                w->broken);

        assert_int_equal(e.status, DYN_INVALID);
        assert_string_equal(e.text, expected);
        assert_int_equal(registry_count(w->registry), 0);
        assert_null(registry_find(w->registry, "sql"));
        assert_int_equal(registry_totals(w->registry).failures, 1);
        mem_free(expected);
}

static void a_failed_update_leaves_the_version_before_it_serving(void **state)
{
        struct world *w = *state;
        struct dyn_adapter *before = world_load(w, "sql", w->one, false).entry->current->adapter;

        assert_int_equal(world_load(w, "sql", w->broken, true).status, DYN_INVALID);
        assert_ptr_equal(world_resolve(w, "sql")->adapter, before);
        assert_int_equal(registry_find(w->registry, "sql")->state, ADAPTER_READY);
        assert_false(registry_find(w->registry, "sql")->updating);
}

static void a_name_is_loaded_once_at_a_time(void **state)
{
        struct world *w = *state;
        struct ending first;
        struct dyn_error err;

        world_begin(w, "sql", w->one, false, &first);
        assert_int_equal(
                registry_load(w->registry, &(struct registry_order){"sql", w->other, true, NULL}, NULL, NULL, &err),
                DYN_CONFLICT);
        assert_string_equal(err.text, "adapter \"sql\" is being loaded already");
        world_settle(w);
        assert_int_equal(first.status, DYN_OK);
}

// Removing
// ---------------------------------------------------------------------------------------------------------------------

static void an_idle_adapter_is_gone_when_the_store_has_let_go_of_it(void **state)
{
        struct world *w = *state;
        struct ending gone = {0};
        struct dyn_error err;

        world_load(w, "sql", w->one, false);
        world_unregister(w, "sql", false, &gone);
        assert_int_equal(gone.calls, 0);
        world_unresolved(w, "sql", DYN_NOT_FOUND, "no adapter \"sql\"");
        assert_int_equal(test_host_alive, 0);
        world_until(w, gone.calls > 0);
        assert_int_equal(gone.status, DYN_OK);
        assert_null(registry_find(w->registry, "sql"));
        assert_int_equal(registry_remove(w->registry, "sql", false, NULL, NULL, &err), DYN_NOT_FOUND);
        assert_string_equal(err.text, "no adapter \"sql\"");
}

static void a_busy_adapter_drains_and_is_gone_with_its_last_request(void **state)
{
        struct world *w = *state;
        struct ending unlisted = {0}, drained[2] = {0};

        world_load(w, "sql", w->one, false);
        struct adapter_version *v = world_resolve(w, "sql");
        registry_begin(v);
        registry_begin(v);
        world_unregister(w, "sql", true, &drained[0]);
        world_unregister(w, "sql", true, &drained[1]);
        world_unregister(w, "sql", false, &unlisted);
        const struct adapter_entry *entry = registry_find(w->registry, "sql");
        assert_int_equal(entry->state, ADAPTER_DRAINING);
        assert_int_equal(entry->in_flight, 2);
        assert_string_equal(adapter_entry_info(entry)->name, "sql");
        assert_int_equal(registry_totals(w->registry).removals, 1);
        world_unresolved(w, "sql", DYN_NOT_FOUND, "no adapter \"sql\"");
        world_settle(w);
        assert_int_equal(unlisted.calls, 1);
        registry_end(v, 0);
        assert_int_equal(drained[0].calls + drained[1].calls, 0);
        registry_end(v, 0);
        assert_int_equal(drained[0].calls, 1);
        assert_int_equal(drained[1].calls, 1);
        assert_int_equal(drained[0].status, DYN_OK);
        assert_null(registry_find(w->registry, "sql"));
        assert_int_equal(test_host_alive, 0);
}

static void a_draining_name_can_be_registered_again(void **state)
{
        struct world *w = *state;
        struct ending gone = {0};

        world_load(w, "sql", w->one, false);
        struct adapter_version *old = world_resolve(w, "sql");
        registry_begin(old);
        world_unregister(w, "sql", true, &gone);
        world_settle(w);
        struct ending e = world_load(w, "sql", w->one, false);
        assert_int_equal(e.status, DYN_OK);
        assert_int_equal(e.outcome, REGISTRY_NEW);
        assert_ptr_not_equal(world_resolve(w, "sql"), old);
        assert_int_equal(e.entry->state, ADAPTER_READY);
        registry_begin(world_resolve(w, "sql"));
        assert_int_equal(gone.calls, 0);
        registry_end(old, 0);
        assert_int_equal(gone.calls, 1);
        assert_int_equal(test_host_alive, 6);
        registry_end(world_resolve(w, "sql"), 0);
}

// While its load still waits at the gate.
static void a_load_that_nobody_wants_any_more_publishes_nothing(void **state)
{
        struct world *w = *state;
        struct ending first, gone = {0};
        struct dyn_error err;

        world_at_gate = 0;
        pthread_mutex_lock(&world_gate);
        world_begin(w, "sql", w->one, false, &first);
        while (world_at_gate < 1)
                usleep(1000);
        world_unregister(w, "sql", false, &gone);
        assert_int_equal(gone.calls, 0);
        assert_int_equal(registry_find(w->registry, "sql")->state, ADAPTER_DRAINING);
        assert_int_equal(
                registry_load(w->registry, &(struct registry_order){"sql", w->other, true, NULL}, NULL, NULL, &err),
                DYN_CONFLICT);
        pthread_mutex_unlock(&world_gate);
        world_settle(w);
        assert_int_equal(gone.calls, 1);
        assert_int_equal(gone.status, DYN_OK);
        assert_int_equal(first.status, DYN_CONFLICT);
        assert_string_equal(first.text, "adapter \"sql\" was unregistered while it was loading");
        assert_int_equal(registry_count(w->registry), 0);
        assert_int_equal(test_host_alive, 0);
        assert_int_equal(world_load(w, "sql", w->other, false).outcome, REGISTRY_NEW);
}

static void an_update_that_nobody_wants_any_more_publishes_nothing(void **state)
{
        struct world *w = *state;
        struct ending e;

        world_load(w, "sql", w->one, false);
        struct adapter_version *old = world_resolve(w, "sql");
        registry_begin(old);
        world_begin(w, "sql", w->other, true, &e);
        world_unregister(w, "sql", true, NULL);
        world_settle(w);
        assert_int_equal(e.status, DYN_CONFLICT);
        assert_int_equal(registry_find(w->registry, "sql")->state, ADAPTER_DRAINING);
        registry_end(old, 0);
        assert_int_equal(registry_count(w->registry), 0);
}

// The store
// --------------------------------------------------------------------------------------------------------------------

static void link_in(const char *folder, const char *name, const char *to)
{
        char *path = world_path(folder, name);

        assert_int_equal(symlink(to, path), 0);
        mem_free(path);
}

static void expect_failed(struct world *w, const char *name, const char *reason)
{
        const struct adapter_entry *e = registry_find(w->registry, name);
        char *source = world_path(w->store, name), *text = mem_printf("%s%s", source, reason);
        char *unresolved = mem_printf("adapter \"%s\" could not be loaded: %s", name, text);

        assert_non_null(e);
        assert_int_equal(e->state, ADAPTER_FAILED);
        assert_string_equal(e->error, text);
        assert_string_equal(e->source, source);
        assert_null(adapter_entry_info(e));
        world_unresolved(w, name, DYN_NOT_FOUND, unresolved);
        mem_free(source);
        mem_free(text);
        mem_free(unresolved);
}

static void every_folder_of_the_store_is_listed_as_ready_or_with_its_reason(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &(struct adapter_folder){0});
        world_put(w, "Pirate-2", &(struct adapter_folder){.seed = 2});
        world_put(w, "broken", &world_broken);
        world_put(w, ".upload-7", &(struct adapter_folder){0});
        world_put(w, "two words", &(struct adapter_folder){0});
        world_put(w, "smollm2", &(struct adapter_folder){0});
        link_in(w->store, "inside", "sql");
        link_in(w->store, "outside", w->outside);
        link_in(w->store, "dangling", "nowhere");
        char *readme = world_path(w->store, "README.md");
        fclose(fopen(readme, "w"));
        mem_free(readme);
        struct counts c = world_scan(w);
        char *elsewhere = mem_printf(": expected a link within the store, found that it leads to %s", w->outside);

        assert_int_equal(c.ready, 3);
        assert_int_equal(c.failed, 3);
        assert_int_equal(registry_count(w->registry), 6);
        static const char *const names[] = {"Pirate-2", "broken", "dangling", "inside", "outside", "sql"};
        for (int i = 0; i < 6; i++)
                assert_string_equal(registry_at(w->registry, i)->name, names[i]);
        world_resolve(w, "sql");
        world_resolve(w, "inside");
        world_resolve(w, "Pirate-2");
        expect_failed(w, "outside", elsewhere);
        expect_failed(w, "dangling", ": the link leads nowhere: No such file or directory");
        expect_failed(w, "broken",
                ": adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: expected a tensor, since "
                "adapter_config.json targets this module, found none");
        mem_free(elsewhere);
}

static void on_scanned(void *ctx, int ready, int failed)
{
        struct counts *c = ctx;

        *c = (struct counts){c->calls + 1, ready, failed};
}

static void an_empty_store_is_read_at_once(void **state)
{
        struct world *w = *state;
        struct counts c = {0};
        struct dyn_error err;

        assert_int_equal(registry_scan_store(w->registry, on_scanned, &c, &err), DYN_OK);
        assert_int_equal(c.calls, 1);
        assert_int_equal(c.ready + c.failed, 0);
}

static void a_failed_folder_can_be_registered_over_or_removed(void **state)
{
        struct world *w = *state;

        world_put(w, "sql", &world_broken);
        world_put(w, "shout", &world_broken);
        assert_int_equal(world_scan(w).failed, 2);
        assert_int_equal(world_load(w, "sql", w->broken, false).status, DYN_INVALID);
        assert_int_equal(world_load(w, "sql", w->one, false).status, DYN_CONFLICT);
        assert_int_equal(registry_find(w->registry, "sql")->state, ADAPTER_FAILED);
        struct ending e = world_load(w, "sql", w->one, true);
        assert_int_equal(e.outcome, REGISTRY_NEW);
        assert_int_equal(e.entry->state, ADAPTER_READY);
        assert_null(e.entry->error);
        assert_int_equal(world_remove(w, "shout").status, DYN_OK);
        assert_false(world_stores(w, "shout"));
        assert_int_equal(registry_count(w->registry), 1);
}

// Rules
// ---------------------------------------------------------------------------------------------------------------------

static void a_path_outside_the_roots_is_forbidden(void **state)
{
        struct world *w = *state;
        char *climbing = mem_printf("%s/../../etc", w->root), *missing = world_path(w->root, "missing");
        char *file = world_path(w->link, "adapter_config.json"), *to = world_path(w->outside, "adapter_config.json");
        char *absent = mem_printf("%s/../dynlora-nowhere/x", w->root), *sibling = mem_printf("%s-x", w->root);
        char *returning = mem_printf("%s/missing/../../x", w->root);
        const char *const forbidden[] = {"/etc", "/", "/nonexistent/x", ".", "nonexistent", w->outside, climbing,
                absent, sibling, returning, "", "..", "../x"};
        struct dyn_error err;

        adapter_folder_write_to(sibling, &(struct adapter_folder){0});
        for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
                if (registry_check_path(w->registry, forbidden[i], &err) != DYN_FORBIDDEN)
                        fail_msg("%s: not forbidden", forbidden[i]);
                assert_int_equal(err.status, DYN_FORBIDDEN);
        }
        assert_int_equal(registry_check_path(w->registry, w->one, &err), DYN_OK);
        assert_int_equal(registry_check_path(w->registry, missing, &err), DYN_NOT_FOUND);
        assert_int_equal(world_load(w, "x", "/etc", false).status, DYN_FORBIDDEN);
        assert_int_equal(world_load(w, "x", missing, false).status, DYN_NOT_FOUND);

        // A folder inside whose file is a link to the outside.
        adapter_folder_write_to(w->link, &(struct adapter_folder){0});
        assert_int_equal(registry_check_path(w->registry, w->link, &err), DYN_OK);
        unlink(file);
        assert_int_equal(symlink(to, file), 0);
        assert_int_equal(registry_check_path(w->registry, w->link, &err), DYN_FORBIDDEN);
        assert_int_equal(world_load(w, "x", w->link, false).status, DYN_FORBIDDEN);
        mem_free(climbing);
        mem_free(missing);
        mem_free(file);
        mem_free(to);
        mem_free(absent);
        mem_free(returning);
        adapter_folder_remove(sibling);
}

static void a_name_must_be_fit_for_a_path_and_a_label(void **state)
{
        static const char *const bad[] = {
                "", ".", "..", ".hidden", "a b", "a/b", "a@b", "a\"b", "\xc3\xa4", "a\n", "smollm2"};
        static const char *const good[] = {"a", "A-1_b.c", "-", "0", "smollm", "smollm2.1"};
        struct world *w = *state;
        char *longest = mem_printf("%0128d", 1), *longer = mem_printf("%0129d", 1);
        struct dyn_error err;

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_int_equal(registry_check_name(w->registry, bad[i], &err), DYN_INVALID);
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
                assert_int_equal(registry_check_name(w->registry, good[i], &err), DYN_OK);
        assert_int_equal(registry_check_name(w->registry, longest, &err), DYN_OK);
        assert_int_equal(registry_check_name(w->registry, longer, &err), DYN_INVALID);
        assert_int_equal(
                registry_load(w->registry, &(struct registry_order){"a/b", w->one, false, NULL}, NULL, NULL, &err),
                DYN_INVALID);
        assert_int_equal(registry_count(w->registry), 0);
        mem_free(longest);
        mem_free(longer);
}

static void a_store_that_is_no_folder_is_refused(void **state)
{
        struct world *w = *state;
        struct registry_options options = {.loop = w->loop, .base = "b", .store = "/nonexistent"};
        struct registry *r;
        struct dyn_error err;

        assert_int_equal(registry_create(&r, &options, &err), DYN_NOT_FOUND);
        assert_string_equal(err.text, "/nonexistent: expected a folder, found nothing");
        options.store = "/etc/passwd";
        assert_int_equal(registry_create(&r, &options, &err), DYN_INVALID);
        assert_string_equal(err.text, "/etc/passwd: expected a folder, found a file");
        assert_null(r);
}

static void without_a_store_a_load_needs_a_path_under_a_root(void **state)
{
        struct world *w = *state;
        struct registry_options options = {.host = &test_host,
                .resident = {.loop = w->loop, .device_bytes = 1 << 20, .steps = &(_Atomic uint64_t){0}},
                .loop = w->loop,
                .base = "b"};
        struct registry *r;
        struct counts c = {0};
        struct dyn_error err;

        assert_int_equal(registry_create(&r, &options, &err), DYN_OK);
        assert_int_equal(
                registry_load(r, &(struct registry_order){"sql", NULL, false, NULL}, NULL, NULL, &err), DYN_INVALID);
        assert_string_equal(err.text, "expected a path, since there is no adapter store");
        assert_int_equal(registry_check_path(r, w->one, &err), DYN_FORBIDDEN);
        assert_int_equal(registry_scan_store(r, on_scanned, &c, &err), DYN_OK);
        assert_int_equal(c.calls, 1);
        registry_stop(r);
        world_settle(w);
        registry_destroy(r);
}

// Stopping, and many at once
// --------------------------------------------------------------------------------------------------

// Loads that wait at the gate, and more behind them that have not begun.
static void stopping_ends_every_load_and_publishes_none(void **state)
{
        struct world *w = *state;
        struct ending endings[12], late;
        char name[16];
        struct dyn_error err;

        world_at_gate = 0;
        pthread_mutex_lock(&world_gate);
        for (int i = 0; i < 12; i++) {
                snprintf(name, sizeof name, "a%d", i);
                world_begin(w, name, w->one, false, &endings[i]);
        }
        while (world_at_gate < 1)
                usleep(1000);
        registry_stop(w->registry);
        assert_int_equal(registry_load(w->registry, &(struct registry_order){"late", w->one, false, NULL},
                                 world_on_done, &late, &err),
                DYN_BUSY);
        pthread_mutex_unlock(&world_gate);
        world_settle(w);
        for (int i = 0; i < 12; i++) {
                assert_int_equal(endings[i].calls, 1);
                assert_int_equal(endings[i].status, DYN_BUSY);
        }
        assert_int_equal(registry_count(w->registry), 0);
        assert_int_equal(test_host_alive, 0);
}

static void on_gone(void *ctx, enum dyn_status status, const struct dyn_error *error)
{
        assert_int_equal(status, DYN_OK);
        ++*(int *)ctx;
}

// Random acts on a few names, with requests that come and go: nothing is lost, freed twice or left behind. On a busy
// machine loads take long, and it takes more acts until enough of each kind has happened.
#define MAX_ACTS 50000

static void a_thousand_random_acts_leave_the_books_right(void **state)
{
        struct world *w = *state;
        struct adapter_version *running[16] = {0};
        static struct ending endings[MAX_ACTS];
        int gone = 0, removed = 0, begun = 0, ended = 0;
        struct dyn_error err;

        srand(7);
        memset(endings, 0, sizeof endings);
        for (int i = 0; i < MAX_ACTS && (i < 1000 || begun <= 50 || removed <= 10 || ended <= 50); i++) {
                char name[8];
                int slot = rand() % 16, act = rand() % 4;

                snprintf(name, sizeof name, "n%d", rand() % 5);
                if (act == 0) {
                        const char *const paths[] = {w->one, w->other, w->broken, NULL};
                        const struct store_settings settings = {.pin = rand() % 2};
                        const struct registry_order order = {
                                name, paths[rand() % 4], rand() % 2, rand() % 4 ? NULL : &settings};

                        begun += registry_load(w->registry, &order, world_on_done, &endings[i], &err) == DYN_OK;
                } else if (act == 1 && rand() % 3 == 0) {
                        removed += registry_remove(w->registry, name, rand() % 2, on_gone, &gone, &err) == DYN_OK;
                } else if (act == 1 && rand() % 3 == 0) {
                        begun += registry_upload(w->registry, name, world_archive(rand() % 2 ? w->one : w->broken),
                                         world_on_done, &endings[i], &err) == DYN_OK;
                } else if (running[slot] != NULL) {
                        registry_end(running[slot], 1);
                        running[slot] = NULL;
                        ended++;
                } else if (registry_resolve(w->registry, name, &running[slot], &err) == DYN_OK) {
                        registry_begin(running[slot]);
                }
                uv_run(w->loop, rand() % 8 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        }
        for (int slot = 0; slot < 16; slot++) {
                if (running[slot] != NULL)
                        registry_end(running[slot], 1);
        }
        world_settle(w);
        assert_int_equal(gone, removed);
        assert_true(begun > 50 && removed > 10 && ended > 50);
        int patches = 0, calls = 0;
        for (int i = 0; i < MAX_ACTS; i++)
                calls += endings[i].calls;
        assert_int_equal(calls, begun);
        for (int i = 0; i < registry_count(w->registry); i++) {
                assert_int_equal(registry_at(w->registry, i)->state, ADAPTER_READY);
                assert_int_equal(registry_at(w->registry, i)->in_flight, 0);
                assert_true(world_stores(w, registry_at(w->registry, i)->name));
                patches += 6;
        }
        for (int i = 0; i < 5; i++) {
                char name[8];

                snprintf(name, sizeof name, "n%d", i);
                assert_int_equal(world_stores(w, name), registry_find(w->registry, name) != NULL);
        }
        assert_int_equal(test_host_alive, patches);
}

#define test_in_world(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_world(a_load_is_listed_while_it_runs_and_serves_afterwards),
                test_in_world(the_same_content_again_is_the_same_version),
                test_in_world(other_content_needs_replace),
                test_in_world(an_update_swaps_at_once_and_the_old_version_ends_with_its_requests),
                test_in_world(a_version_can_be_asked_for_by_name),
                test_in_world(a_failed_registration_leaves_nothing),
                test_in_world(a_failed_update_leaves_the_version_before_it_serving),
                test_in_world(a_name_is_loaded_once_at_a_time),
                test_in_world(an_idle_adapter_is_gone_when_the_store_has_let_go_of_it),
                test_in_world(a_busy_adapter_drains_and_is_gone_with_its_last_request),
                test_in_world(a_draining_name_can_be_registered_again),
                test_in_world(a_load_that_nobody_wants_any_more_publishes_nothing),
                test_in_world(an_update_that_nobody_wants_any_more_publishes_nothing),
                test_in_world(every_folder_of_the_store_is_listed_as_ready_or_with_its_reason),
                test_in_world(an_empty_store_is_read_at_once),
                test_in_world(a_failed_folder_can_be_registered_over_or_removed),
                test_in_world(a_path_outside_the_roots_is_forbidden),
                test_in_world(a_name_must_be_fit_for_a_path_and_a_label),
                test_in_world(a_store_that_is_no_folder_is_refused),
                test_in_world(without_a_store_a_load_needs_a_path_under_a_root),
                test_in_world(stopping_ends_every_load_and_publishes_none),
                test_in_world(a_thousand_random_acts_leave_the_books_right),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
