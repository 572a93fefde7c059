// Who the merge policy is asked about (sched/census.h).
#include "harness.h"

#include "base/alloc.h"
#include "sched/census.h"

static struct census *open_census(void)
{
        struct census *c = mem_zalloc(sizeof *c);

        census_init(c);
        return c;
}

static void close_census(struct census *c)
{
        census_finish(c);
        mem_free(c);
}

static void step(struct census *c, double now, uint64_t version)
{
        int rows = 1;

        merge_seen_step(c->seen, now, &version, &rows, 1);
        census_know(c, now, version, 10 * version, 100 * version, false);
}

static void a_version_that_no_step_holds_now_is_still_asked_about(void **state)
{
        struct census *c = open_census();
        struct merge_candidate at[MERGE_SEEN_MAX];
        struct merge_snapshot s = {.at = at};

        step(c, 1, 7);
        step(c, 1.1, 3);
        step(c, 1.2, 9);
        census_fill(c, 1.3, &s);
        assert_int_equal(s.n, 3);
        for (uint64_t v = 3; v <= 9; v += v == 3 ? 4 : 2) {
                const struct merge_candidate *found = census_find(&s, v);

                assert_non_null(found);
                assert_int_equal(found->bytes, 10 * v);
                assert_int_equal(found->touched, 100 * v);
                assert_true(found->present > 0);
                assert_true(found->absent && !found->barred);
        }
        assert_null(census_find(&s, 8));
        assert_true(s.steps > 0);
        close_census(c);
}

static void a_version_that_must_not_be_merged_is_remembered_as_that_until_it_may(void **state)
{
        struct census *c = open_census();
        struct merge_candidate at[MERGE_SEEN_MAX];

        step(c, 1, 7);
        for (int i = 0; i < 2; i++) {
                struct merge_snapshot s = {.at = at};

                census_know(c, 1.1, 7, 70, 700, i == 0);
                census_fill(c, 1.2, &s);
                assert_int_equal(s.n, 1);
                assert_true(at[0].barred == (i == 0));
        }
        close_census(c);
}

static void a_candidate_is_entered_once(void **state)
{
        struct census *c = open_census();
        struct merge_candidate at[MERGE_SEEN_MAX + 1];
        struct merge_snapshot s = {.at = at};

        step(c, 1, 7);
        census_fill(c, 1, &s);
        assert_ptr_equal(census_add(c, 1, &s, 7, 1, 1), &at[0]);
        assert_int_equal(at[0].bytes, 70);
        assert_ptr_equal(census_add(c, 1, &s, 8, 80, 800), &at[1]);
        assert_int_equal(s.n, 2);
        close_census(c);
}

static void versions_without_end_are_remembered_in_bounds(void **state)
{
        struct census *c = open_census();
        struct merge_candidate at[MERGE_SEEN_MAX];
        struct merge_snapshot s = {.at = at};
        double now = 0;

        for (uint64_t v = 10 * CENSUS_MAX; v > 0; v--)
                step(c, now += 0.01, v % 3 ? v : v + 50000);
        census_fill(c, now, &s);
        assert_int_equal(s.n, MERGE_SEEN_MAX);
        assert_non_null(census_find(&s, 1));
        assert_true(c->n_known <= CENSUS_MAX);
        for (int i = 1; i < c->n_known; i++)
                assert_true(c->known[i - 1].version < c->known[i].version);
        close_census(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_version_that_no_step_holds_now_is_still_asked_about),
                cmocka_unit_test(a_version_that_must_not_be_merged_is_remembered_as_that_until_it_may),
                cmocka_unit_test(a_candidate_is_entered_once),
                cmocka_unit_test(versions_without_end_are_remembered_in_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
