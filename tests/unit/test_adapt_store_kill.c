// The adapter store under SIGKILL at random moments, and under several processes at once: whoever looks finds whole
// versions only.
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "scratch.h"
#include "store_world.h"

// Killed at any moment
// ----------------------------------------------------------------------------------------------------------

static void wait_for_death(pid_t child)
{
        int status;

        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
}

// Register, update, settings, update, path and back, remove, as fast as it goes.
static void churn(int version, bool removes)
{
        store_close(store);
        if (store_open(&store, store_dir(), &err))
                _exit(1);
        for (;; version++) {
                if (commit("a", version, true, NULL) || commit("b", version, true, NULL))
                        _exit(2);
                if (store_set(store, "a", &(struct store_settings){.pin = version & 1}, &err))
                        _exit(3);
                if (removes && (point("b", "/elsewhere", NULL) || store_remove(store, "b", &err)))
                        _exit(4);
        }
}

static void check_whole(bool removes)
{
        assert_true(version_of("a") >= 0);
        assert_int_equal(look("a").status, DYN_OK);
        assert_null(look("a").target);
        if (!removes || exists("b")) {
                struct store_entry e = look("b");

                assert_int_equal(e.status, DYN_OK);
                if (e.target == NULL)
                        assert_true(version_of("b") >= 0);
                else
                        assert_string_equal(e.target, "/elsewhere");
        }
}

static void kill_often(bool removes)
{
        int kept = 0;

        assert_int_equal(commit("a", 0, true, NULL), DYN_OK);
        assert_int_equal(commit("b", 0, true, NULL), DYN_OK);
        srand(4);
        for (int i = 0; i < 250; i++) {
                pid_t child = fork();

                if (child == 0)
                        churn(1 + i * 1000, removes);
                usleep((useconds_t)(1000 + rand() % 15000));
                wait_for_death(child);
                kept += count(true) > 0;
                if (!cannot_swap)
                        check_whole(removes); // at once, without anybody's help
                store_tidy(store);
                check_whole(removes);
                assert_int_equal(count(true), 0);
        }
        assert_true(kept > 50); // the kills came in the middle
        assert_true(version_of("a") > 0);
}

static void a_kill_leaves_the_old_or_the_new_and_nothing_after_tidying(void **state)
{
        kill_often(true);
}

static void the_same_holds_after_tidying_where_folders_cannot_be_swapped(void **state)
{
        cannot_swap = true;
        kill_often(false);
}

// Many at once
// ------------------------------------------------------------------------------------------------------------------

static pid_t start_committing(int first)
{
        pid_t child = fork();

        if (child != 0)
                return child;
        store_close(store);
        if (store_open(&store, store_dir(), &err))
                _exit(1);
        for (int i = 0; i < 100; i++) {
                if (commit("a", first + i, true, NULL))
                        _exit(2);
                if (store_set(store, "a", &(struct store_settings){.pin = true}, &err))
                        _exit(3);
        }
        _exit(0);
}

static void commit_at_once(void)
{
        pid_t children[3];
        int done = 0, status, seen = 0;

        assert_int_equal(commit("a", 0, true, &(struct store_settings){.pin = true}), DYN_OK);
        for (int i = 0; i < 3; i++)
                children[i] = start_committing(1000 * (i + 1));
        while (done < 3) {
                int version = version_of("a");

                assert_int_not_equal(version, HALF);
                assert_true(version != ABSENT || cannot_swap);
                seen += version >= 0;
                store_tidy(store);
                for (int i = 0; i < 3; i++) {
                        if (children[i] > 0 && waitpid(children[i], &status, WNOHANG) == children[i]) {
                                assert_true(WIFEXITED(status));
                                assert_int_equal(WEXITSTATUS(status), 0);
                                children[i] = 0;
                                done++;
                        }
                }
        }
        assert_true(seen > 0);
        assert_int_equal(version_of("a") % 1000, 99); // somebody's last
        assert_true(look("a").settings.pin);
        assert_int_equal(count(false), 1);
}

static void processes_that_commit_one_name_at_once_converge(void **state)
{
        commit_at_once();
}

static void they_converge_where_folders_cannot_be_swapped(void **state)
{
        cannot_swap = true;
        commit_at_once();
}

#define ROW(promise) cmocka_unit_test_setup_teardown(promise, store_world_begin, store_world_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROW(a_kill_leaves_the_old_or_the_new_and_nothing_after_tidying),
                ROW(the_same_holds_after_tidying_where_folders_cannot_be_swapped),
                ROW(processes_that_commit_one_name_at_once_converge),
                ROW(they_converge_where_folders_cannot_be_swapped),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests_name("adapt/store, killed", tests, NULL, scratch_remove);
}
