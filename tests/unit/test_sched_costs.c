// What merging and patches are believed to cost (sched/costs.h), after steps that took what a known machine takes.
#include "harness.h"

#include "sched/costs.h"

#define MB 1e6

static double at = 1000; // seconds

static struct costs believed(void)
{
        struct costs c = {.patch_factor = 1, .pass_factor = 1};

        c.now = c.profiled = (struct merge_costs){1e-4, 1e-10, 1e-11, 2e-10, 1e-12, 4e-11};
        return c;
}

static struct costs_rows rows(int n, size_t patch_bytes)
{
        struct costs_rows r = {.n = n};

        if (patch_bytes > 0)
                costs_patch(&r, patch_bytes, n);
        return r;
}

// Steps of n rows on a machine where a step takes 10 ms and patches `factor` times what was measured at start.
static void run_steps(struct costs *c, int n, size_t patch_bytes, double factor, int steps)
{
        const struct merge_costs *p = &c->profiled;
        struct costs_rows r = rows(n, patch_bytes);
        double patches = r.byte_reads > 0 ? p->call + p->byte * r.byte_reads + p->row * r.byte_rows : 0;

        for (int i = 0; i < steps; i++)
                costs_saw_step(c, at += 10e-3, &r, 10e-3 + factor * patches, true);
}

static void assert_near(double found, double expected)
{
        if (!(found > 0.95 * expected && found < 1.05 * expected))
                fail_msg("expected about %g, found %g", expected, found);
}

static void patches_that_cost_more_than_at_start_are_believed_to(void **state)
{
        struct costs c = believed();

        run_steps(&c, 4, 0, 1, 50);
        run_steps(&c, 4, (size_t)(10 * MB), 1.7, 400);
        assert_near(c.now.byte, 1.7e-10);
        assert_near(c.now.row, 1.7e-11);
        assert_near(c.now.call, 1.7e-4);
        run_steps(&c, 4, (size_t)(10 * MB), 0.5, 400);
        assert_near(c.now.byte, 0.5e-10);
}

static void reading_the_weights_twice_is_learnt_from_steps_that_did(void **state)
{
        struct costs c = believed();
        struct costs_rows twice = rows(4, 0), both = rows(4, (size_t)(10 * MB));
        double patches = c.profiled.call + c.profiled.byte * both.byte_reads + c.profiled.row * both.byte_rows;

        twice.weights = both.weights = (size_t)(100 * MB);
        run_steps(&c, 4, 0, 1, 50);
        for (int i = 0; i < 400; i++)
                costs_saw_step(&c, at, &twice, 10e-3 + 8e-11 * 100 * MB, true);
        assert_near(c.now.pass, 8e-11);
        assert_near(c.now.byte, 1e-10);
        for (int i = 0; i < 400; i++)
                costs_saw_step(&c, at, &both, 10e-3 + patches + 3e-11 * 100 * MB, true);
        assert_near(c.now.pass, 3e-11);
        assert_near(c.now.byte, 1e-10);
}

static void without_steps_to_compare_with_nothing_is_learnt(void **state)
{
        struct costs c = believed();

        run_steps(&c, 4, (size_t)(10 * MB), 3, 400);
        run_steps(&c, 32, 0, 1, 50); // of another number of rows
        run_steps(&c, 4, (size_t)(10 * MB), 3, 400);
        assert_near(c.now.byte, 1e-10);
}

// The machine may have become slower since.
static void steps_without_patches_of_long_ago_are_no_measure(void **state)
{
        struct costs c = believed();

        run_steps(&c, 4, 0, 1, 50);
        at += 11;
        run_steps(&c, 4, (size_t)(10 * MB), 3, 400);
        assert_near(c.now.byte, 1e-10);
        run_steps(&c, 4, 0, 1, 1);
        run_steps(&c, 4, (size_t)(10 * MB), 3, 400);
        assert_near(c.now.byte, 3e-10);
}

static void prompts_teach_nothing_about_patches(void **state)
{
        struct costs c = believed();
        struct costs_rows r = rows(4, (size_t)(10 * MB));

        run_steps(&c, 4, 0, 1, 50);
        for (int i = 0; i < 400; i++)
                costs_saw_step(&c, at, &r, 1, false);
        assert_near(c.now.byte, 1e-10);
        assert_near(c.step, 1);
}

// A process that waits for a core or the disk for once: such steps say nothing of the others.
static void steps_that_were_held_up_change_little(void **state)
{
        struct costs c = believed();
        struct costs_rows plain = rows(4, 0), patched = rows(4, (size_t)(10 * MB));

        run_steps(&c, 4, 0, 1, 50);
        for (int i = 0; i < 50; i++) {
                run_steps(&c, 4, 0, 1, 20);
                run_steps(&c, 4, (size_t)(10 * MB), 1, 20);
                costs_saw_step(&c, at, i % 2 ? &plain : &patched, 2, true);
                assert_true(c.step < 13e-3);
        }
        run_steps(&c, 4, (size_t)(10 * MB), 1, 100);
        assert_true(c.now.byte > 0.9e-10 && c.now.byte < 1.1e-10);
}

static void belief_stays_within_bounds_whatever_steps_take(void **state)
{
        struct costs c = believed();

        for (int i = 0; i < 20; i++) {
                run_steps(&c, 4, 0, 1, 50);
                run_steps(&c, 4, (size_t)(10 * MB), 1000, 100);
        }
        assert_near(c.now.byte, 4e-10);
        for (int i = 0; i < 20; i++) {
                run_steps(&c, 4, 0, 1, 50);
                run_steps(&c, 4, (size_t)(10 * MB), -5, 100); // faster than without a patch
        }
        assert_near(c.now.byte, 0.25e-10);
}

static void slices_teach_what_a_merge_and_a_restore_cost(void **state)
{
        struct costs c = believed();

        for (int i = 0; i < 400; i++) {
                costs_saw_merge(&c, (size_t)MB, 5e-4);
                costs_saw_restore(&c, (size_t)MB, 3e-6);
        }
        assert_near(c.now.merge, 5e-10);
        assert_near(c.now.restore, 3e-12);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(patches_that_cost_more_than_at_start_are_believed_to),
                cmocka_unit_test(reading_the_weights_twice_is_learnt_from_steps_that_did),
                cmocka_unit_test(without_steps_to_compare_with_nothing_is_learnt),
                cmocka_unit_test(steps_without_patches_of_long_ago_are_no_measure),
                cmocka_unit_test(prompts_teach_nothing_about_patches),
                cmocka_unit_test(steps_that_were_held_up_change_little),
                cmocka_unit_test(belief_stays_within_bounds_whatever_steps_take),
                cmocka_unit_test(slices_teach_what_a_merge_and_a_restore_cost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
