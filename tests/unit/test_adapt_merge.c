// The policy of merges: its decisions on snapshots made by hand, and on traffic that a small world plays to it, with
// the costs of a small model on a CPU: a step of 10 ms, an adapter that adds 8 % to it, a merge of 50 ms, 7 ms to read
// its weights once more.
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/merge.h"

#define N_VERSIONS 5001
#define STEP       0.01
#define BYTES      10000000
#define TOUCHED    200000000
#define N_ROWS     8

static const struct merge_costs cpu = {0.3e-3, 3e-11, 1.2e-11, 50e-3 / TOUCHED, 1e-3 / TOUCHED, 7e-3 / TOUCHED};

struct world {
        struct merge_seen *seen;
        struct merge_costs costs;
        enum merge_policy policy;
        uint64_t merged;
        double now, began; // the last merge
        int merges;
        double crowding;   // least time between the beginnings of two merges
        double lost, base; // seconds: what patches and switches took, what the rest of the steps did
        double never;      // seconds: what patches would have taken with nothing merged
        uint64_t preferred, barred, absent;
        struct merge_verdict verdict;
};

static struct world world_new(void)
{
        return (struct world){
                .seen = merge_seen_create(), .costs = cpu, .began = -INFINITY, .crowding = INFINITY, .now = 1000};
}

// What the header says of a step's patches, word by word.
static double patches(const struct merge_costs *c, const uint64_t *versions, const int *rows, int n, uint64_t merged)
{
        double sum = 0;
        bool any = false, there = false, others = false;

        for (int i = 0; i < n; i++) {
                if (merged && versions[i] == merged) {
                        there = true;
                        continue;
                }
                others = true;
                if (versions[i] == 0)
                        continue;
                any = true;
                sum += BYTES * (c->byte + c->row * rows[i]);
        }
        return sum + (any ? c->call : 0) + (there && others ? c->pass * TOUCHED : 0);
}

static void assert_known(const char *why)
{
        int i = 0;

        while (merge_reasons[i] && strcmp(merge_reasons[i], why) != 0)
                i++;
        assert_non_null(merge_reasons[i]);
}

static void decide(struct world *w)
{
        static struct merge_candidate at[MERGE_SEEN_MAX + 2];
        uint64_t versions[MERGE_SEEN_MAX + 2], more[] = {w->merged, w->preferred};
        struct merge_snapshot s = {.policy = w->policy,
                .costs = w->costs,
                .at = at,
                .merged = w->merged,
                .since_switch = w->now - w->began};

        s.n = merge_seen_versions(w->seen, w->now, versions, MERGE_SEEN_MAX);
        for (int k = 0; k < 2; k++) {
                bool there = more[k] == 0;

                for (int i = 0; i < s.n; i++)
                        there |= versions[i] == more[k];
                if (!there)
                        versions[s.n++] = more[k];
        }
        for (int i = 0; i < s.n; i++) {
                at[i] = (struct merge_candidate){.version = versions[i],
                        .bytes = BYTES,
                        .touched = TOUCHED,
                        .absent = versions[i] == w->absent,
                        .barred = versions[i] == w->barred,
                        .preferred = versions[i] == w->preferred};
                merge_seen_of(w->seen, w->now, &at[i]);
        }
        merge_seen_totals(w->seen, w->now, &s);
        merge_seen_weigh(w->seen, &s);
        w->verdict = merge_decide(&s);
        assert_known(w->verdict.why);
        assert_true(isfinite(w->verdict.gain) && isfinite(w->verdict.cost) && w->verdict.gain >= 0);
        assert_true(w->verdict.gain <= w->verdict.needed);
        assert_true(w->verdict.version == w->merged || w->verdict.version == w->verdict.next);
        if (w->verdict.version == w->merged)
                return;
        w->lost += w->verdict.cost;
        if (w->verdict.version) {
                w->crowding = fmin(w->crowding, w->now - w->began);
                w->began = w->now;
                w->merges++;
        }
        w->merged = w->verdict.version;
}

static void step(struct world *w, const uint64_t *versions, const int *rows, int n)
{
        merge_seen_step(w->seen, w->now, versions, rows, n);
        w->lost += patches(&w->costs, versions, rows, n, w->merged);
        w->never += patches(&w->costs, versions, rows, n, 0);
        w->base += STEP;
        w->now += STEP;
        decide(w);
}

// Steps of one row of one version.
static void steps(struct world *w, double seconds, uint64_t version)
{
        for (double end = w->now + seconds; w->now < end;)
                step(w, &version, (int[]){1}, 1);
}

static void without_traffic_nothing_is_merged(void **state)
{
        struct world w = world_new();

        for (int i = 0; i < 1000; i++, w.now += 1)
                decide(&w);
        steps(&w, 60, 0);
        assert_int_equal(w.merges, 0);
        merge_seen_destroy(w.seen);
}

static void an_adapter_alone_is_merged_soon_and_once(void **state)
{
        struct world w = world_new();
        double start = w.now;

        steps(&w, 120, 7);
        assert_int_equal(w.merges, 1);
        assert_int_equal(w.merged, 7);
        assert_true(w.began - start < 2);
        merge_seen_destroy(w.seen);
}

// 4 s of work for a model of 13 GB, where an adapter costs 1 %.
static void a_merge_that_takes_seconds_is_made_when_traffic_lasts(void **state)
{
        struct world w = world_new();

        w.costs = (struct merge_costs){0, 1e-11, 0, 4.0 / TOUCHED, 0.1 / TOUCHED, 7e-3 / TOUCHED};
        for (int i = 0; i < 12; i++, w.now += 60) { // an answer of 30 s a minute
                steps(&w, 30, 7);
                assert_int_equal(w.merged, 0);
        }
        steps(&w, 300, 7);
        assert_int_equal(w.merged, 7);
        assert_int_equal(w.merges, 1);
        merge_seen_destroy(w.seen);
}

static void base_rows_beside_it_make_it_not_worth_it(void **state)
{
        struct world w = world_new();

        for (int i = 0; i < 6000; i++)
                step(&w, (uint64_t[]){0, 7}, (int[]){1, 1}, 2);
        assert_int_equal(w.merges, 0);
        merge_seen_destroy(w.seen);
}

static void a_few_others_do_not_spoil_it(void **state)
{
        struct world w = world_new();

        for (int i = 0; i < 6000; i++)
                step(&w, (uint64_t[]){7, 0}, (int[]){3, 1}, i % 50 ? 1 : 2);
        assert_int_equal(w.merged, 7);
        assert_int_equal(w.merges, 1);
        merge_seen_destroy(w.seen);
}

static void mixed_steps_make_it_leave_within_a_second(void **state)
{
        for (uint64_t other = 0; other <= 8; other += 8) { // the base's rows, another adapter's
                struct world w = world_new();
                double turned;

                steps(&w, 3, 7);
                assert_int_equal(w.merged, 7);
                turned = w.now;
                while (w.merged == 7 && w.now - turned < 1)
                        step(&w, (uint64_t[]){7, other}, (int[]){1, 1}, 2);
                assert_int_equal(w.merged, 0);
                assert_string_equal(w.verdict.why, "loses");
                assert_true(w.now - w.began < MERGE_HORIZON);
                merge_seen_destroy(w.seen);
        }
}

static void a_silent_one_stays_until_another_pays(void **state)
{
        struct world w = world_new();
        double lost;

        steps(&w, 3, 7);
        lost = w.lost;
        steps(&w, 60, 0);
        assert_int_equal(w.merged, 7);
        assert_true(w.lost == lost);
        for (int i = 0; i < 6000; i++)
                step(&w, (uint64_t[]){0, 8}, (int[]){1, 1}, 2);
        assert_int_equal(w.merged, 7);
        steps(&w, 3, 8);
        assert_int_equal(w.merged, 8);
        assert_int_equal(w.merges, 2);
        merge_seen_destroy(w.seen);
}

// A pass may cost less than what a patch does.
static void a_cheap_pass_is_no_reason_to_leave(void **state)
{
        struct world w = world_new();

        w.costs.pass = 0.1e-3 / TOUCHED;
        for (int i = 0; i < 6000; i++)
                step(&w, (uint64_t[]){0, 7}, (int[]){1, 1}, 2);
        assert_int_equal(w.merged, 7);
        assert_int_equal(w.merges, 1);
        merge_seen_destroy(w.seen);
}

// B cannot be merged because A just was, and when it could, it is gone: what spoke for it does not pile up.
static void what_is_over_when_it_could_be_merged_is_not(void **state)
{
        struct world w = world_new();

        steps(&w, 2, 1);
        steps(&w, 6, 2);
        assert_string_equal(w.verdict.why, "too soon");
        for (int i = 0; i < 1200; i++)
                step(&w, (uint64_t[]){0, 2}, (int[]){1, 1}, 2);
        assert_int_equal(w.merged, 1);
        assert_int_equal(w.merges, 1);
        merge_seen_destroy(w.seen);
}

static void what_was_missed_counts_from_the_last_switch(void **state)
{
        struct world w = world_new();

        w.costs.merge = 0.3 / TOUCHED;
        while (w.verdict.gain < 0.3)
                steps(&w, STEP / 2, 1);
        w.preferred = 2;
        decide(&w);
        w.preferred = 0;
        w.barred = 2;
        decide(&w);
        assert_int_equal(w.merged, 0);
        decide(&w);
        assert_true(w.verdict.gain == 0);
        merge_seen_destroy(w.seen);
}

static void who_is_no_candidate_misses_nothing(void **state)
{
        struct merge_seen *seen = merge_seen_create();
        struct merge_candidate c = {.version = 7, .bytes = BYTES, .touched = TOUCHED};
        struct merge_snapshot s = {.costs = cpu, .at = &c, .n = 1};

        for (int i = 0; i < 50; i++)
                merge_seen_step(seen, 0.01 * i, (uint64_t[]){7}, (int[]){1}, 1);
        merge_seen_weigh(seen, &s);
        assert_true(c.missed > 0.03);
        merge_seen_weigh(seen, &s);
        assert_true(c.missed > 0.03);
        s.n = 0;
        merge_seen_weigh(seen, &s);
        s.n = 1;
        merge_seen_weigh(seen, &s);
        assert_true(c.missed == 0);
        merge_seen_destroy(seen);
}

static void a_costly_restore_is_not_made_for_little(void **state)
{
        struct world w = world_new();

        w.costs.restore = 0.5 / TOUCHED;
        steps(&w, 10, 7); // saves 0.7 ms a step, and whoever is merged must leave some day
        assert_int_equal(w.merged, 0);
        steps(&w, 4, 7);
        assert_int_equal(w.merged, 7);
        steps(&w, 18, 8);
        assert_int_equal(w.merged, 7);
        steps(&w, 8, 8);
        assert_int_equal(w.merged, 8);
        for (int i = 0; i < 60; i++) // loses 6 ms a step
                step(&w, (uint64_t[]){0, 8}, (int[]){1, 1}, 2);
        assert_int_equal(w.merged, 8);
        for (int i = 0; i < 60; i++)
                step(&w, (uint64_t[]){0, 8}, (int[]){1, 1}, 2);
        assert_int_equal(w.merged, 0);
        merge_seen_destroy(w.seen);
}

static void alternation_makes_at_most_one_merge_a_horizon(void **state)
{
        for (double period = 0.1; period < 60; period *= 1.3) {
                struct world w = world_new();

                for (int turn = 0; turn < 200 * fmax(1, 1 / period); turn++)
                        steps(&w, period, 1 + turn % 2);
                assert_true(w.crowding >= MERGE_HORIZON);
                assert_true(w.lost <= 1.05 * w.base * 0.08);
                merge_seen_destroy(w.seen);
        }
}

static const double merges[] = {0.005, 0.05, 0.5}; // seconds

// Everybody turns away from what is merged the moment it is.
static void an_adversary_wins_little(void **state)
{
        for (int i = 0; i < 3; i++) {
                struct world w = world_new();

                w.costs.merge = merges[i] / TOUCHED;
                for (int k = 0; k < 100000; k++)
                        steps(&w, STEP / 2, w.merged == 1 ? 2 : 1);
                assert_true(w.crowding >= MERGE_HORIZON);
                assert_true((w.base + w.never) / (w.base + w.lost) > 0.95);
                merge_seen_destroy(w.seen);
        }
}

// Others come the moment it is merged, and leave when it does.
static void an_adversary_who_comes_beside_it_wins_little(void **state)
{
        for (int i = 0; i < 3; i++) {
                struct world w = world_new();

                w.costs.merge = merges[i] / TOUCHED;
                for (int k = 0; k < 100000; k++)
                        step(&w, (uint64_t[]){1, 2}, (int[]){1, 1}, w.merged ? 2 : 1);
                assert_true(w.crowding >= MERGE_HORIZON);
                assert_true((w.base + w.never) / (w.base + w.lost) > 0.94);
                merge_seen_destroy(w.seen);
        }
}

static void barred_ones_are_not_merged_and_leave_at_once(void **state)
{
        struct world w = world_new();

        w.barred = 7;
        steps(&w, 60, 7);
        assert_int_equal(w.merges, 0);
        w.barred = 0;
        steps(&w, 5, 7);
        assert_int_equal(w.merged, 7);
        w.barred = 7;
        steps(&w, STEP / 2, 7);
        assert_int_equal(w.merged, 0);
        assert_string_equal(w.verdict.why, "barred");
        steps(&w, 60, 7);
        assert_int_equal(w.merged, 0);
        merge_seen_destroy(w.seen);
}

static void one_that_has_no_rows_now_must_come_again(void **state)
{
        for (int always = 0; always < 2; always++) {
                struct world w = world_new();

                w.policy = always ? MERGE_ALWAYS : MERGE_AUTO;
                w.absent = 7;
                steps(&w, 5, 7);
                assert_int_equal(w.merged, 0);
                assert_string_equal(w.verdict.why, "absent");
                assert_int_equal(w.verdict.next, 7);
                w.absent = 0;
                steps(&w, STEP / 2, 7);
                assert_int_equal(w.merged, 7);
                w.absent = 7; // what is merged may be silent
                steps(&w, STEP / 2, 0);
                assert_int_equal(w.merged, 7);
                merge_seen_destroy(w.seen);
        }
}

static void a_preferred_one_is_merged_at_once_and_stays(void **state)
{
        struct world w = world_new();

        steps(&w, 5, 7);
        assert_int_equal(w.merged, 7);
        w.preferred = 9; // which nobody has asked for, and 7 was merged a moment ago
        decide(&w);
        assert_int_equal(w.merged, 9);
        steps(&w, 60, 7);
        assert_int_equal(w.merged, 9);
        assert_string_equal(w.verdict.why, "preferred");
        w.barred = 9;
        decide(&w);
        assert_int_equal(w.merged, 0);
        steps(&w, 20, 7);
        assert_int_equal(w.merged, 7);
        merge_seen_destroy(w.seen);
}

static void of_two_preferred_the_merged_one_stays(void **state)
{
        struct merge_candidate at[] = {{.version = 1, .preferred = true, .rows = 5}, {.version = 2, .preferred = true}};
        struct merge_snapshot s = {.costs = {.row = 1}, .at = at, .n = 2, .since_switch = INFINITY};

        at[0].bytes = at[1].bytes = 1;
        assert_int_equal(merge_decide(&s).version, 1);
        s.merged = 2;
        assert_int_equal(merge_decide(&s).version, 2);
}

static void never_wins_over_preferred(void **state)
{
        struct world w = world_new();

        w.policy = MERGE_NEVER;
        w.preferred = 7;
        steps(&w, 60, 7);
        assert_int_equal(w.merges, 0);
        w.merged = 7;
        decide(&w);
        assert_int_equal(w.merged, 0);
        merge_seen_destroy(w.seen);
}

static void always_merges_the_one_with_most_rows(void **state)
{
        struct world w = world_new();

        w.policy = MERGE_ALWAYS;
        steps(&w, 1, 0);
        assert_int_equal(w.merged, 0);
        step(&w, (uint64_t[]){0, 1, 2}, (int[]){9, 1, 2}, 3);
        assert_int_equal(w.merged, 2);
        for (int i = 0; i < 900; i++)
                step(&w, (uint64_t[]){0, 1, 2}, (int[]){9, 3, 1}, 3);
        assert_int_equal(w.merged, 2);
        assert_string_equal(w.verdict.why, "too soon");
        for (int i = 0; i < 200; i++)
                step(&w, (uint64_t[]){0, 1, 2}, (int[]){9, 3, 1}, 3);
        assert_int_equal(w.merged, 1);
        steps(&w, 100, 0);
        assert_int_equal(w.merged, 1);
        w.preferred = 2;
        decide(&w);
        assert_int_equal(w.merged, 2);
        merge_seen_destroy(w.seen);
}

// Eight rows a step of five thousand adapters; the k-th most popular is asked for 1 / k as often as the first.
static int crowd(uint64_t *versions, int *rows)
{
        int n = 0;

        for (int i = 0; i < N_ROWS; i++) {
                uint64_t v = (uint64_t)exp(rand() / (RAND_MAX + 1.0) * log(N_VERSIONS));
                int j = 0;

                while (j < n && versions[j] != v)
                        j++;
                if (j == n) {
                        versions[n] = v;
                        rows[n++] = 0;
                }
                rows[j]++;
        }
        return n;
}

static void among_thousands_nothing_is_merged_until_one_stands_out(void **state)
{
        struct world w = world_new();
        uint64_t versions[N_ROWS];
        int rows[N_ROWS];

        srand(1);
        for (int i = 0; i < 6000; i++)
                step(&w, versions, rows, crowd(versions, rows));
        assert_int_equal(w.merges, 0);
        steps(&w, 5, 4321);
        assert_int_equal(w.merged, 4321);
        merge_seen_destroy(w.seen);
}

static void means_and_gains_are_those_of_a_plain_loop(void **state)
{
        static double present[N_VERSIONS], only[N_VERSIONS], alone[N_VERSIONS], rows_of[N_VERSIONS], saved[4];
        struct merge_seen *seen = merge_seen_create();
        struct merge_snapshot s = {.costs = cpu};
        double now = 5, steps_seen = 0, rows_seen = 0;

        srand(2);
        for (int i = 0; i < 20000; i++) {
                uint64_t versions[N_ROWS];
                int rows[N_ROWS], n = crowd(versions, rows), sum = 0;
                double gap = rand() % 100 ? 0.01 : 1, left = exp(-gap / MERGE_HORIZON);

                if (rand() % 2 == 0) {
                        n = 1;
                        versions[0] = (uint64_t)(rand() % 4); // 0: the base
                }
                if (versions[0] && n < N_ROWS && rand() % 3 == 0) {
                        versions[n] = 0;
                        rows[n++] = 2;
                }
                now += gap;
                steps_seen = steps_seen * left + 1;
                for (int k = 0; k < N_VERSIONS; k++) {
                        present[k] *= left;
                        only[k] *= left;
                        alone[k] *= left;
                        rows_of[k] *= left;
                }
                for (int k = 0; k < n; k++) {
                        present[versions[k]]++;
                        only[versions[k]] += n == 1 || (n == 2 && versions[1] == 0);
                        alone[versions[k]] += n == 1;
                        rows_of[versions[k]] += rows[k];
                        sum += rows[k];
                }
                rows_seen = rows_seen * left + sum;
                for (uint64_t k = 1; k < 4; k++)
                        saved[k] = saved[k] * left + patches(&cpu, versions, rows, n, 0) -
                                   patches(&cpu, versions, rows, n, k);
                merge_seen_step(seen, now, versions, rows, n);
        }
        merge_seen_totals(seen, now + 3, &s);
        assert_float_equal(s.steps, steps_seen * exp(-3 / MERGE_HORIZON) / MERGE_HORIZON, 1e-6);
        assert_float_equal(s.rows, rows_seen / steps_seen, 1e-9);
        for (uint64_t k = 1; k < 4; k++) { // popular enough never to be forgotten among the others
                struct merge_candidate c = {.version = k, .bytes = BYTES, .touched = TOUCHED};

                merge_seen_of(seen, now + 3, &c);
                assert_float_equal(c.present, present[k] / steps_seen, 1e-9);
                assert_float_equal(c.only, only[k] / steps_seen, 1e-9);
                assert_float_equal(c.alone, alone[k] / steps_seen, 1e-9);
                assert_float_equal(c.rows, rows_of[k] / steps_seen, 1e-9);
                assert_float_equal(merge_gain(&s, &c), saved[k] / steps_seen, 1e-9);
        }
        merge_seen_destroy(seen);
}

static void versions_without_rows_are_not_in_the_step(void **state)
{
        struct merge_seen *seen = merge_seen_create();
        struct merge_candidate c = {.version = 7}, other = {.version = 8};
        struct merge_snapshot s;

        merge_seen_step(seen, 1, (uint64_t[]){0, 7, 8}, (int[]){0, 2, 0}, 3);
        merge_seen_step(seen, 1, (uint64_t[]){0, 7, 8}, (int[]){0, 0, 0}, 3);
        merge_seen_totals(seen, 1, &s);
        merge_seen_of(seen, 1, &c);
        merge_seen_of(seen, 1, &other);
        assert_true(s.steps == 1 / MERGE_HORIZON && s.rows == 2);
        assert_true(c.present == 1 && c.only == 1 && c.alone == 1 && c.rows == 2 && other.present == 0);
        merge_seen_destroy(seen);
}

static void what_fell_silent_is_forgotten(void **state)
{
        struct merge_seen *seen = merge_seen_create();
        struct merge_snapshot s;
        uint64_t versions[3];

        for (uint64_t v = 1; v <= 3; v++)
                merge_seen_step(seen, 4.0 * (double)v, &v, (int[]){1}, 1);
        assert_int_equal(merge_seen_versions(seen, 12, versions, 3), 3);
        assert_int_equal(versions[0], 3);
        assert_int_equal(merge_seen_versions(seen, 12, versions, 1), 1);
        assert_int_equal(merge_seen_versions(seen, MERGE_MEMORY + 6, versions, 3), 2);
        assert_int_equal(versions[1], 2);
        merge_seen_totals(seen, 12, &s);
        assert_true(s.steps > 0.1);
        merge_seen_totals(seen, 72, &s); // a rate fades, though a share of steps would not
        assert_true(s.steps < 0.001 && s.rows == 1);
        merge_seen_totals(seen, 1e9, &s);
        assert_true(s.steps == 0 && s.rows == 0);
        merge_seen_destroy(seen);
}

// As many versions as there is room for, and one more at a time.
static void one_version_too_many_replaces_the_one_silent_longest(void **state)
{
        struct merge_seen *seen = merge_seen_create();
        uint64_t versions[MERGE_SEEN_MAX + 1];

        for (uint64_t v = 1; v <= 5 * MERGE_SEEN_MAX; v++) {
                merge_seen_step(seen, 1e-3 * (double)v, &v, (int[]){1}, 1);
                merge_seen_step(seen, 1e-3 * (double)v, (uint64_t[]){1}, (int[]){1}, 1);
        }
        assert_int_equal(merge_seen_versions(seen, 2, versions, MERGE_SEEN_MAX + 1), MERGE_SEEN_MAX);
        assert_int_equal(versions[0], 1);
        for (int i = 1; i < MERGE_SEEN_MAX; i++)
                assert_int_equal(versions[i], 5 * MERGE_SEEN_MAX + 1 - i);
        merge_seen_destroy(seen);
}

static double some(double most)
{
        return most * rand() / RAND_MAX;
}

static void the_same_snapshot_gets_the_same_answer_in_any_order(void **state)
{
        srand(3);
        for (int round = 0; round < 10000; round++) {
                struct merge_candidate at[5], turned[5];
                struct merge_snapshot s = {.policy = rand() % 3,
                        .costs = cpu,
                        .at = at,
                        .n = 5,
                        .steps = some(100),
                        .rows = some(8),
                        .missed = some(0.03),
                        .merged = (uint64_t)(rand() % 7),
                        .since_switch = some(20)};
                struct merge_verdict a, b;

                for (int i = 0; i < 5; i++)
                        turned[4 - i] = at[i] = (struct merge_candidate){.version = (uint64_t)i + 1,
                                .bytes = BYTES,
                                .touched = TOUCHED,
                                .present = some(1),
                                .only = some(1),
                                .alone = some(1),
                                .rows = some(8),
                                .missed = rand() % 2 ? some(0.1) : 0.1,
                                .barred = rand() % 4 == 0,
                                .preferred = rand() % 8 == 0};
                a = merge_decide(&s);
                s.at = turned;
                b = merge_decide(&s);
                assert_true(a.version == b.version && a.gain == b.gain && a.cost == b.cost);
                assert_string_equal(a.why, b.why);
                for (int i = 0; i < 5; i++)
                        assert_false(at[i].version == a.version && at[i].barred);
        }
}

static void nothing_measured_and_nothing_seen_is_no_trouble(void **state)
{
        struct world w = world_new();
        struct merge_snapshot empty = {.since_switch = INFINITY};
        struct merge_verdict v = merge_decide(&empty);

        assert_true(v.version == 0 && v.gain == 0 && v.cost == 0);
        w.costs = (struct merge_costs){0};
        steps(&w, 30, 7);
        assert_int_equal(w.merges, 0);
        w.costs = (struct merge_costs){.call = 1e-3}; // merges for nothing
        steps(&w, 1, 7);
        assert_int_equal(w.merged, 7);
        w.now += 1e12;
        decide(&w);
        merge_seen_step(w.seen, w.now - 5, (uint64_t[]){7}, (int[]){0}, 1); // a clock that goes back, a step of nothing
        merge_seen_step(w.seen, w.now - 5, NULL, NULL, 0);
        decide(&w);
        merge_seen_destroy(w.seen);
        merge_seen_destroy(NULL);
}

static void a_merged_version_that_nobody_knows_leaves(void **state)
{
        struct merge_snapshot s = {.merged = 7, .since_switch = 1};

        assert_int_equal(merge_decide(&s).version, 0);
        assert_string_equal(merge_decide(&s).why, "barred");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_traffic_nothing_is_merged),
                cmocka_unit_test(an_adapter_alone_is_merged_soon_and_once),
                cmocka_unit_test(a_merge_that_takes_seconds_is_made_when_traffic_lasts),
                cmocka_unit_test(base_rows_beside_it_make_it_not_worth_it),
                cmocka_unit_test(a_few_others_do_not_spoil_it),
                cmocka_unit_test(mixed_steps_make_it_leave_within_a_second),
                cmocka_unit_test(a_silent_one_stays_until_another_pays),
                cmocka_unit_test(a_cheap_pass_is_no_reason_to_leave),
                cmocka_unit_test(what_is_over_when_it_could_be_merged_is_not),
                cmocka_unit_test(what_was_missed_counts_from_the_last_switch),
                cmocka_unit_test(who_is_no_candidate_misses_nothing),
                cmocka_unit_test(a_costly_restore_is_not_made_for_little),
                cmocka_unit_test(alternation_makes_at_most_one_merge_a_horizon),
                cmocka_unit_test(an_adversary_wins_little),
                cmocka_unit_test(an_adversary_who_comes_beside_it_wins_little),
                cmocka_unit_test(barred_ones_are_not_merged_and_leave_at_once),
                cmocka_unit_test(one_that_has_no_rows_now_must_come_again),
                cmocka_unit_test(a_preferred_one_is_merged_at_once_and_stays),
                cmocka_unit_test(of_two_preferred_the_merged_one_stays),
                cmocka_unit_test(never_wins_over_preferred),
                cmocka_unit_test(always_merges_the_one_with_most_rows),
                cmocka_unit_test(among_thousands_nothing_is_merged_until_one_stands_out),
                cmocka_unit_test(means_and_gains_are_those_of_a_plain_loop),
                cmocka_unit_test(versions_without_rows_are_not_in_the_step),
                cmocka_unit_test(what_fell_silent_is_forgotten),
                cmocka_unit_test(one_version_too_many_replaces_the_one_silent_longest),
                cmocka_unit_test(the_same_snapshot_gets_the_same_answer_in_any_order),
                cmocka_unit_test(nothing_measured_and_nothing_seen_is_no_trouble),
                cmocka_unit_test(a_merged_version_that_nobody_knows_leaves),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
