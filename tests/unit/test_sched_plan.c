// The planner: a pure function, so every promise is a small table.
#include "harness.h"

#include "sched/plan.h"

static const struct plan_limits limits = {.step_tokens = 16, .extra_logits = 4};
static struct plan_share shares[16];

static void rows_are_contiguous(int n)
{
        for (int i = 0, row = 0; i < n; i++) {
                assert_int_equal(shares[i].first_row, row);
                row += shares[i].n_tokens;
        }
}

static void answers_come_before_prompts_and_prompts_oldest_first(void **state)
{
        struct plan_view v[] = {{.pending = 30}, {.pending = 1}, {.pending = 10}, {.pending = 1}};
        int n = plan_step(v, 4, &limits, shares);

        assert_int_equal(n, 3); // both answers, and all that is left for the oldest prompt
        assert_int_equal(shares[0].view, 0);
        assert_int_equal(shares[0].n_tokens, 14);
        assert_int_equal(shares[1].view, 1);
        assert_int_equal(shares[2].view, 3);
        rows_are_contiguous(n);
}

static void what_is_left_goes_to_the_next_prompt(void **state)
{
        struct plan_view v[] = {{.pending = 6}, {.pending = 30}, {.pending = 5}};
        int n = plan_step(v, 3, &limits, shares);

        assert_int_equal(n, 2);
        assert_int_equal(shares[1].view, 1);
        assert_int_equal(shares[1].n_tokens, 10);
}

static void rows_of_one_adapter_lie_together_oldest_first(void **state)
{
        struct plan_view v[] = {{1, 7}, {1, 0}, {1, 3}, {1, 7}, {2, 3}, {1, 0}};
        static const int order[] = {1, 5, 2, 4, 0, 3};
        int n = plan_step(v, 6, &limits, shares);

        assert_int_equal(n, 6);
        for (int i = 0; i < n; i++)
                assert_int_equal(shares[i].view, order[i]);
        rows_are_contiguous(n);
}

static void held_sequences_are_left_out(void **state)
{
        struct plan_view v[] = {{.pending = 1, .held = true}, {.pending = 5, .held = true}, {.pending = 1}};

        assert_int_equal(plan_step(v, 3, &limits, shares), 1);
        assert_int_equal(shares[0].view, 2);
        assert_int_equal(plan_step(v, 2, &limits, shares), 0);
}

static void rows_with_logits_stay_within_their_budget(void **state)
{
        struct plan_view v[] = {
                {.pending = 12, .all_logits = true}, {.pending = 12, .all_logits = true}, {.pending = 3}};
        int n = plan_step(v, 3, &limits, shares);

        assert_int_equal(n, 3);
        assert_int_equal(shares[0].n_tokens, 5); // its own and the four extra
        assert_int_equal(shares[1].n_tokens, 1);
        assert_int_equal(shares[2].n_tokens, 3); // only its last row gives logits
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_come_before_prompts_and_prompts_oldest_first),
                cmocka_unit_test(what_is_left_goes_to_the_next_prompt),
                cmocka_unit_test(rows_of_one_adapter_lie_together_oldest_first),
                cmocka_unit_test(held_sequences_are_left_out),
                cmocka_unit_test(rows_with_logits_stay_within_their_budget),
        };
        return cmocka_run_group_tests_name("sched_plan", tests, NULL, NULL);
}
