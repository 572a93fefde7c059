// The adapter store on disk: what a name means, what a commit promises, what is left after a death. The file system's
// refusals (no swapping of folders, a full disk) and the clock come from wrapped calls.
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "adapt/folder.h"
#include "adapt/stage.h"
#include "base/alloc.h"
#include "base/log.h"
#include "scratch.h"
#include "store_world.h"

// Committing
// -------------------------------------------------------------------------------------------------------------------

static void commit_puts_a_whole_version_in_place_and_leaves_nothing_else(void **state)
{
        assert_int_equal(commit("a", 1, false, NULL), DYN_OK);
        assert_int_equal(version_of("a"), 1);
        assert_int_equal(commit("a", 2, true, NULL), DYN_OK);
        assert_int_equal(version_of("a"), 2);
        assert_int_equal(count(false), 1);
}

static void a_name_in_use_is_a_conflict_and_stays(void **state)
{
        assert_int_equal(commit("a", 1, false, NULL), DYN_OK);
        assert_int_equal(commit("a", 2, false, NULL), DYN_CONFLICT);
        has("is there already");
        assert_int_equal(version_of("a"), 1);
        assert_int_equal(count(false), 1);
}

static void the_same_holds_where_folders_cannot_be_swapped(void **state)
{
        cannot_swap = true;
        commit_puts_a_whole_version_in_place_and_leaves_nothing_else(state);
        assert_int_equal(store_remove(store, "a", &err), DYN_OK);
        a_name_in_use_is_a_conflict_and_stays(state);
}

static void half_an_adapter_is_not_committed(void **state)
{
        struct stage *g;

        assert_int_equal(stage_open(&g, store, &err), DYN_OK);
        assert_int_equal(stage_commit(g, "a", true, NULL, &err), DYN_INVALID);
        has("found neither");
        put_in(stage_path(g), FOLDER_CONFIG, "{}");
        assert_int_equal(stage_commit(g, "a", true, NULL, &err), DYN_INVALID);
        has("no " FOLDER_WEIGHTS);
        put_in(stage_path(g), FOLDER_WEIGHTS, "x");
        assert_int_equal(stage_point(g, "/b", &err), DYN_OK);
        assert_int_equal(stage_commit(g, "a", true, NULL, &err), DYN_INVALID);
        has("found both");
        stage_close(g);
        assert_int_equal(count(false), 0);
}

static void only_a_name_can_be_committed(void **state)
{
        static const char *const bad[] = {"", ".", "..", ".a", "a/b", "../a", "a b", "\xc3\xa9", "a\n"};
        char longest[131];

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_int_equal(commit(bad[i], 1, true, NULL), DYN_INVALID);
        memset(longest, 'n', 130);
        longest[129] = 0;
        assert_int_equal(commit(longest, 1, true, NULL), DYN_INVALID);
        longest[128] = 0;
        for (int i = 0; i < 2; i++) {
                cannot_swap = i == 1; // the name stands within another then
                assert_int_equal(commit(longest, 1, true, NULL), DYN_OK);
                assert_int_equal(version_of(longest), 1);
        }
        assert_int_equal(count(false), 1);
}

static void a_full_disk_leaves_the_version_before(void **state)
{
        assert_int_equal(commit("a", 1, false, NULL), DYN_OK);
        disk_full = true;
        assert_int_equal(commit("a", 2, true, NULL), DYN_NO_MEMORY);
        has("full");
        assert_int_equal(store_set(store, "a", &(struct store_settings){.pin = true}, &err), DYN_NO_MEMORY);
        disk_full = false;
        assert_int_equal(version_of("a"), 1);
        assert_false(look("a").settings.pin);
        assert_int_equal(count(false), 1);
}

static void a_commit_replaces_a_link_and_not_what_it_leads_to(void **state)
{
        const char *elsewhere = scratch_path("elsewhere");

        for (int i = 0; i < 2; i++) {
                cannot_swap = i == 1;
                mkdir(elsewhere, 0777);
                fill(elsewhere, 7);
                assert_int_equal(symlink(elsewhere, in_store("a")), 0);
                assert_int_equal(commit("a", 2, true, NULL), DYN_OK);
                assert_int_equal(version_of("a"), 2);
                assert_int_equal(access(elsewhere, F_OK), 0);
                assert_int_equal(store_remove(store, "a", &err), DYN_OK);
                assert_int_equal(count(false), 0);
        }
}

static void copying_takes_the_two_files_and_nothing_else(void **state)
{
        char from[300];
        struct stage *g;

        snprintf(from, sizeof from, "%s/from", scratch_dir());
        mkdir(from, 0777);
        assert_int_equal(stage_open(&g, store, &err), DYN_OK);
        assert_int_equal(stage_copy(g, from, &err), DYN_NOT_FOUND);
        has(FOLDER_CONFIG);
        fill(from, 5);
        put_in(from, "notes.txt", "x");
        assert_int_equal(stage_copy(g, from, &err), DYN_OK);
        assert_int_equal(stage_commit(g, "a", false, NULL, &err), DYN_OK);
        stage_close(g);
        assert_int_equal(version_of("a"), 5);
        assert_false(exists("a/notes.txt"));
}

static void a_pipe_is_not_copied_or_waited_for(void **state)
{
        char from[300], pipe_path[400];
        struct stage *g;

        snprintf(from, sizeof from, "%s/pipe", scratch_dir());
        snprintf(pipe_path, sizeof pipe_path, "%s/" FOLDER_CONFIG, from);
        mkdir(from, 0777);
        assert_int_equal(mkfifo(pipe_path, 0666), 0);
        assert_int_equal(stage_open(&g, store, &err), DYN_OK);
        assert_int_equal(stage_copy(g, from, &err), DYN_INVALID);
        has("expected a regular file");
        stage_close(g);
        assert_int_equal(count(false), 0);
}

// Settings and paths
// -----------------------------------------------------------------------------------------------------------

static void settings_survive_an_update_and_a_restart(void **state)
{
        const struct store_settings pinned = {.pin = true, .mode = STORE_MERGED};

        for (int i = 0; i < 2; i++) {
                cannot_swap = i == 1;
                assert_int_equal(commit("a", 1, true, &(struct store_settings){0}), DYN_OK);
                assert_false(look("a").settings.pin);
                assert_int_equal(store_set(store, "a", &pinned, &err), DYN_OK);
                assert_int_equal(commit("a", 2, true, NULL), DYN_OK);
                store_close(store);
                assert_int_equal(store_open(&store, store_dir(), &err), DYN_OK);
                assert_true(look("a").settings.pin);
                assert_int_equal(look("a").settings.mode, STORE_MERGED);
                assert_int_equal(version_of("a"), 2);
                assert_int_equal(count(true), 0);
        }
        assert_int_equal(commit("a", 3, true, &(struct store_settings){.mode = STORE_UNMERGED}), DYN_OK);
        assert_false(look("a").settings.pin);
        assert_int_equal(look("a").settings.mode, STORE_UNMERGED);
}

static void set_other(const char *from)
{
        char text[100];
        int stage = open(in_store(from), O_RDONLY | O_DIRECTORY);
        int n = read_whole(stage, STORE_SETTINGS, text, sizeof text);

        close(stage);
        assert_true(n > 0 && memmem(text, (size_t)n, "true", 4) != NULL); // a kill after the swap finds them
        assert_int_equal(store_set(store, "a", &(struct store_settings){.mode = STORE_MERGED}, &err), DYN_OK);
}

static void settings_written_during_an_update_are_kept(void **state)
{
        assert_int_equal(commit("a", 1, false, &(struct store_settings){.pin = true}), DYN_OK);
        before_swap = set_other;
        assert_int_equal(commit("a", 2, true, NULL), DYN_OK);
        assert_null(before_swap);
        assert_int_equal(version_of("a"), 2);
        assert_int_equal(look("a").settings.mode, STORE_MERGED);
        assert_false(look("a").settings.pin);
        assert_int_equal(count(false), 1);
}

static void a_registration_keeps_its_path_until_files_come(void **state)
{
        const char *path = "/some/where \"else\"/\xc3\xa9";

        assert_int_equal(point("a", path, &(struct store_settings){.pin = true}), DYN_OK);
        assert_string_equal(look("a").target, path);
        assert_int_equal(store_set(store, "a", &(struct store_settings){.mode = STORE_MERGED}, &err), DYN_OK);
        assert_string_equal(look("a").target, path);
        assert_int_equal(look("a").settings.mode, STORE_MERGED);
        assert_int_equal(look("a").status, DYN_OK);
        assert_int_equal(commit("a", 1, true, NULL), DYN_OK);
        assert_null(look("a").target);
        assert_int_equal(look("a").settings.mode, STORE_MERGED);
        assert_int_equal(point("a", "relative", NULL), DYN_INVALID);
        assert_int_equal(point("a", "/\xff", NULL), DYN_INVALID);
        assert_int_equal(version_of("a"), 1);
        assert_int_equal(count(false), 1);
}

static void settings_of_no_adapter_are_not_written(void **state)
{
        assert_int_equal(store_set(store, "a", &(struct store_settings){0}, &err), DYN_NOT_FOUND);
        assert_int_equal(store_set(store, "..", &(struct store_settings){0}, &err), DYN_NOT_FOUND);
        assert_int_equal(symlink("/", in_store("a")), 0);
        assert_int_equal(store_set(store, "a", &(struct store_settings){0}, &err), DYN_FORBIDDEN);
        put(in_store("f"), "x");
        assert_int_equal(store_set(store, "f", &(struct store_settings){0}, &err), DYN_IO);
        assert_int_equal(count(true), 0);
}

static void settings_that_are_not_understood_are_reported(void **state)
{
        static const char *const rows[][2] = {
                {"", "dynlora.json"},
                {"[]", "expected an object"},
                {"{\"pin\": 1}", "\"pin\""},
                {"{\"mode\": \"fast\"}", "expected auto, merged or unmerged, found \"fast\""},
                {"{\"path\": \"a\"}", "expected an absolute path, found \"a\""},
                {"{\"path\": \"/a\", \"pn\": true}", "found \"pn\""},
                {"{\"path\": \"/a\"}", "no \"path\" beside adapter files"},
        };

        mkdir(in_store("a"), 0777);
        fill(in_store("a"), 1);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                put(in_store("a/" STORE_SETTINGS), rows[i][0]);
                struct store_entry e = look("a");

                assert_int_equal(e.status, DYN_INVALID);
                if (strstr(e.error, rows[i][1]) == NULL || strstr(e.error, in_store("a")) != e.error)
                        fail_msg("row %zu: %s", i, e.error);
        }
        assert_int_equal(unlink(in_store("a/" STORE_SETTINGS)), 0);
        assert_int_equal(commit("b", 1, false, NULL), DYN_OK);
        assert_int_equal(symlink("../b/" STORE_SETTINGS, in_store("a/" STORE_SETTINGS)), 0);
        assert_int_equal(look("a").status, DYN_INVALID);
        assert_non_null(strstr(look("a").error, "found a link"));
}

static void removing_deletes_everything_under_the_name_and_nothing_beyond(void **state)
{
        const char *outside = scratch_write("outside", "x", 1);

        assert_int_equal(commit("a", 1, false, NULL), DYN_OK);
        mkdir(in_store("a/checkpoint"), 0777);
        put(in_store("a/checkpoint/x"), "x");
        chmod(in_store("a/checkpoint"), 0555);
        assert_int_equal(symlink(outside, in_store("a/link")), 0);
        assert_int_equal(symlink(scratch_dir(), in_store("a/folder")), 0);
        assert_int_equal(store_remove(store, "a", &err), DYN_OK);
        assert_int_equal(count(false), 0);
        assert_int_equal(access(outside, F_OK), 0);
        assert_int_equal(store_remove(store, "a", &err), DYN_NOT_FOUND);
        assert_int_equal(store_remove(store, "..", &err), DYN_NOT_FOUND);
        assert_int_equal(store_remove(store, "../outside", &err), DYN_NOT_FOUND);
}

// Listing
// ----------------------------------------------------------------------------------------------------------------------

static void a_listing_has_the_visible_folders_in_order(void **state)
{
        struct store_listing l;

        assert_int_equal(commit("b", 1, false, NULL), DYN_OK);
        assert_int_equal(commit("B", 1, false, NULL), DYN_OK);
        assert_int_equal(point("a", "/x", NULL), DYN_OK);
        mkdir(in_store(".hidden"), 0777);
        mkdir(in_store("not a name"), 0777);
        put(in_store("file"), "x");
        assert_int_equal(symlink(in_store("file"), in_store("link")), 0);
        assert_int_equal(store_list(store, &l, &err), DYN_OK);
        assert_int_equal(l.n, 4);
        assert_string_equal(l.entries[0].name, "B");
        assert_string_equal(l.entries[1].name, "a");
        assert_string_equal(l.entries[1].target, "/x");
        assert_string_equal(l.entries[2].name, "b");
        assert_string_equal(l.entries[3].name, "not a name");
        assert_int_equal(l.entries[2].status, DYN_OK);
        assert_null(l.entries[2].error);
        assert_int_equal(l.entries[3].status, DYN_INVALID);
        assert_non_null(strstr(l.entries[3].error, "found \"not a name\""));
        store_listing_free(&l);
}

static void links_out_of_the_store_are_reported(void **state)
{
        char out[400];

        snprintf(out, sizeof out, "%s-beside", store_dir()); // begins as the store's path does
        mkdir(out, 0777);
        fill(out, 1);
        assert_int_equal(symlink(out, in_store("out")), 0);
        assert_int_equal(look("out").status, DYN_FORBIDDEN);
        assert_non_null(strstr(look("out").error, out));
        assert_int_equal(symlink("..", in_store("up")), 0);
        assert_int_equal(look("up").status, DYN_FORBIDDEN);
        assert_int_equal(symlink("nowhere", in_store("lost")), 0);
        assert_int_equal(look("lost").status, DYN_NOT_FOUND);

        mkdir(in_store("half"), 0777);
        fill(in_store("half"), 1);
        assert_int_equal(symlink("half", in_store("alias")), 0);
        assert_int_equal(look("alias").status, DYN_OK);
        unlink(in_store("half/" FOLDER_WEIGHTS));
        snprintf(out + strlen(out), 30, "/" FOLDER_WEIGHTS);
        assert_int_equal(symlink(out, in_store("half/" FOLDER_WEIGHTS)), 0);
        assert_int_equal(look("half").status, DYN_FORBIDDEN);
}

static void a_name_that_is_not_there_is_not_found(void **state)
{
        struct store_entry e;

        put(in_store("file"), "x");
        assert_int_equal(store_look(store, "a", &e, &err), DYN_NOT_FOUND);
        assert_int_equal(store_look(store, "file", &e, &err), DYN_NOT_FOUND);
        assert_int_equal(store_look(store, "..", &e, &err), DYN_NOT_FOUND);
}

static char target[300];

static void rewrite_config(void)
{
        put(in_store("a/" FOLDER_CONFIG), "       2");
}
static void grow_weights(void)
{
        put(in_store("a/" FOLDER_WEIGHTS), "x");
}
static void keep_time(void) // writes as many bytes and puts the old time back
{
        const char *path = in_store("a/" FOLDER_WEIGHTS);
        struct stat st;

        stat(path, &st);
        put(path, "y");
        utimensat(AT_FDCWD, path, (struct timespec[]){st.st_atim, st.st_mtim}, 0);
}
static void add_file(void)
{
        put(in_store("a/adapter_model.bin"), "x");
}
static void drop_file(void)
{
        unlink(in_store("a/adapter_model.bin"));
}
static void set(void)
{
        assert_int_equal(store_set(store, "a", &(struct store_settings){.pin = true}, &err), DYN_OK);
}
static void update(void)
{
        assert_int_equal(commit("a", 1, true, NULL), DYN_OK);
}
static void register_path(void)
{
        assert_int_equal(point("a", target, NULL), DYN_OK);
}
static void make_target(void)
{
        mkdir(target, 0777);
}
static void fill_target(void)
{
        fill(target, 1);
}
static void rewrite_target(void)
{
        put_in(target, FOLDER_CONFIG, "       3");
}
static void rename_target(void)
{
        char aside[310];

        snprintf(aside, sizeof aside, "%s.aside", target);
        rename(target, aside);
}

static void a_signature_changes_with_everything_relevant(void **state)
{
        static void (*const changes[])(void) = {rewrite_config, grow_weights, keep_time, add_file, drop_file, set,
                update, register_path, make_target, fill_target, rewrite_target, rename_target, update};

        snprintf(target, sizeof target, "%s/target", scratch_dir());
        assert_int_equal(commit("a", 1, false, NULL), DYN_OK);
        for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
                uint64_t before = look("a").signature;

                assert_int_equal(look("a").signature, before);
                usleep(20000); // the file system's clock is that coarse
                assert_int_equal(look("a").signature, before);
                changes[i]();
                if (look("a").signature == before)
                        fail_msg("change %zu left the signature as it was", i);
        }
}

static void what_changed_just_now_is_fresh(void **state)
{
        assert_int_equal(commit("a", 1, false, NULL), DYN_OK);
        assert_true(look("a").fresh);
        clock_ahead = 4;
        assert_false(look("a").fresh);
        rewrite_config();
        clock_ahead = 0;
        assert_true(look("a").fresh);
}

// Leftovers
// ---------------------------------------------------------------------------------------------------------------------

// Runs in a process of its own, which ends there as if it was killed.
static void leave(void (*what)(void))
{
        pid_t child = fork();

        if (child == 0) {
                store_close(store);
                if (store_open(&store, store_dir(), &err) == DYN_OK)
                        what();
                _exit(0);
        }
        assert_int_equal(waitpid(child, NULL, 0), child);
}

static void leave_stage(void)
{
        struct stage *g;

        if (stage_open(&g, store, &err) == DYN_OK)
                fill(stage_path(g), 1);
}

static void tidy_deletes_what_the_dead_left_and_nothing_of_the_living(void **state)
{
        struct stage *mine;

        leave(leave_stage);
        assert_int_equal(stage_open(&mine, store, &err), DYN_OK);
        mkdir(in_store(".git"), 0777);
        mkdir(in_store(".stage-of-somebody"), 0777);
        assert_int_equal(count(true), 4);
        clock_ahead = 100000;
        store_tidy(store);
        assert_int_equal(count(true), 3);
        assert_true(exists(".git"));
        assert_true(exists(".stage-of-somebody"));
        fill(stage_path(mine), 3);
        assert_int_equal(stage_commit(mine, "a", false, NULL, &err), DYN_OK);
        stage_close(mine);
        assert_int_equal(version_of("a"), 3);
}

static void who_has_ended_but_is_not_buried_is_dead(void **state)
{
        pid_t child = fork();
        siginfo_t info;

        if (child == 0) {
                store_close(store);
                if (store_open(&store, store_dir(), &err) == DYN_OK)
                        leave_stage();
                _exit(0);
        }
        assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(count(true), 1);
        store_tidy(store);
        assert_int_equal(count(true), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
}

// A leftover of this process, renamed to another host's.
static void make_foreign(const char *to)
{
        struct stage *g;

        assert_int_equal(stage_open(&g, store, &err), DYN_OK);
        fill(stage_path(g), 9);
        assert_int_equal(rename(stage_path(g), in_store(to)), 0);
        stage_close(g);
}

static void tidy_gives_other_hosts_an_hour(void **state)
{
        make_foreign(".stage-other_12345678-1-2-3");
        make_foreign(".gone-other_12345678-1-2-4"); // nobody needs that any more
        clock_ahead = 3000;
        store_tidy(store);
        assert_int_equal(count(true), 1);
        clock_ahead = 4000;
        store_tidy(store);
        assert_int_equal(count(true), 0);
}

static void tidy_puts_back_what_was_only_taken_aside(void **state)
{
        make_foreign(".old-a-b-other_12345678-1-2-3");
        make_foreign(".old-kept-other_12345678-1-2-4");
        assert_int_equal(commit("kept", 1, false, NULL), DYN_OK);
        clock_ahead = 3000;
        store_tidy(store);
        assert_int_equal(count(true), 2);
        clock_ahead = 4000;
        store_tidy(store);
        assert_int_equal(version_of("a-b"), 9);
        assert_int_equal(version_of("kept"), 1);
        assert_int_equal(count(false), 2);
}

static void a_name_that_is_being_replaced_is_waited_for(void **state)
{
        struct store_entry e;

        make_foreign(".old-a-other_12345678-1-2-3");
        pid_t child = fork();

        if (child == 0) {
                usleep(200000);
                rename(in_store(".old-a-other_12345678-1-2-3"), in_store("a"));
                _exit(0);
        }
        assert_int_equal(store_look(store, "a", &e, &err), DYN_OK);
        store_entry_finish(&e);
        assert_int_equal(waitpid(child, NULL, 0), child);
}

static void a_store_is_a_folder(void **state)
{
        struct store *s;

        assert_int_equal(store_open(&s, scratch_path("absent"), &err), DYN_NOT_FOUND);
        assert_null(s);
        assert_int_equal(store_open(&s, scratch_write("plain", "x", 1), &err), DYN_INVALID);
        assert_null(s);
}

#define ROW(promise) cmocka_unit_test_setup_teardown(promise, store_world_begin, store_world_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROW(commit_puts_a_whole_version_in_place_and_leaves_nothing_else),
                ROW(a_name_in_use_is_a_conflict_and_stays),
                ROW(the_same_holds_where_folders_cannot_be_swapped),
                ROW(half_an_adapter_is_not_committed),
                ROW(only_a_name_can_be_committed),
                ROW(a_full_disk_leaves_the_version_before),
                ROW(a_commit_replaces_a_link_and_not_what_it_leads_to),
                ROW(copying_takes_the_two_files_and_nothing_else),
                ROW(a_pipe_is_not_copied_or_waited_for),
                ROW(settings_survive_an_update_and_a_restart),
                ROW(settings_written_during_an_update_are_kept),
                ROW(a_registration_keeps_its_path_until_files_come),
                ROW(settings_of_no_adapter_are_not_written),
                ROW(settings_that_are_not_understood_are_reported),
                ROW(removing_deletes_everything_under_the_name_and_nothing_beyond),
                ROW(a_listing_has_the_visible_folders_in_order),
                ROW(links_out_of_the_store_are_reported),
                ROW(a_name_that_is_not_there_is_not_found),
                ROW(a_signature_changes_with_everything_relevant),
                ROW(what_changed_just_now_is_fresh),
                ROW(tidy_deletes_what_the_dead_left_and_nothing_of_the_living),
                ROW(who_has_ended_but_is_not_buried_is_dead),
                ROW(tidy_gives_other_hosts_an_hour),
                ROW(tidy_puts_back_what_was_only_taken_aside),
                ROW(a_name_that_is_being_replaced_is_waited_for),
                cmocka_unit_test(a_store_is_a_folder),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests_name("adapt/store", tests, NULL, scratch_remove);
}
