// Sampling against plain double-precision rules and the published vectors of the generator.
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sample/sample.h"

#define V 64

static struct sampler *sampler;
static float logits[V];

static int set_up(void **state)
{
        sampler = sampler_create(V);
        return 0;
}

static int tear_down(void **state)
{
        sampler_destroy(sampler);
        return 0;
}

static const struct dyn_sampling off = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

static void fill(void)
{
        for (int i = 0; i < V; i++)
                logits[i] = (float)(i * 37 % V) / 8; // a permutation: 0 to 7.875
}

static int32_t draw_one(struct dyn_sampling p, int n_tokens)
{
        static int32_t tokens[4096];
        struct sample_history h = {tokens, n_tokens, n_tokens};

        return sample_token(sampler, logits, &p, &h, NULL, 0);
}

// Philox4x32-10 with counter 0 and key 0 gives 6627e8d5 e169c58d ..; with all bits set 408f276d 41c83b0e ..
// (Random123's vectors; the upper half of the counter is 0 here, so only the first applies).
static void the_generator_is_philox(void **state)
{
        double expected = (double)(0x6627e8d5e169c58dull >> 11) * 0x1p-53;

        assert_true(sample_uniform(0, 0) == expected);
        assert_true(sample_uniform(1, 0) != sample_uniform(0, 1));
}

static void greedy_takes_the_best_and_the_lowest_id_of_equals(void **state)
{
        struct dyn_sampling p = off;

        p.temperature = 0;
        fill();
        logits[20] = logits[50] = 9;
        assert_int_equal(draw_one(p, 0), 20);
}

// How often each token comes in many draws against its exact probability, under some truncation.
static void frequencies_match(struct dyn_sampling p, const double *expected)
{
        enum { N = 40000 };
        int counts[V] = {0};

        for (int i = 0; i < N; i++) {
                fill();
                p.seed = (uint64_t)i;
                counts[draw_one(p, i % 100)]++;
        }
        for (int i = 0; i < V; i++) {
                if (expected[i] == 0)
                        assert_int_equal(counts[i], 0);
                double sd = sqrt(expected[i] * (1 - expected[i]) / N);
                assert_true(fabs((double)counts[i] / N - expected[i]) <= 5 * sd + 1e-9);
        }
}

static int by_logit(const void *a, const void *b)
{
        float x = logits[*(const int *)a], y = logits[*(const int *)b];

        return (x < y) - (x > y);
}

// Probabilities of the kept set: sorted by the rules in words, in double.
static void expect(double temperature, int top_k, double top_p, double min_p, double *out)
{
        int order[V], n = V;
        double weight[V], total = 0, sum = 0;

        fill();
        for (int i = 0; i < V; i++)
                order[i] = i;
        qsort(order, V, sizeof *order, by_logit);
        for (int i = 0; i < V; i++)
                weight[i] = exp((double)(logits[order[i]] - logits[order[0]]) / temperature);
        while (n > 1 && weight[n - 1] < min_p)
                n--;
        if (top_k > 0 && n > top_k)
                n = top_k;
        for (int i = 0; i < n; i++)
                total += weight[i];
        for (int i = 0; i < n; i++)
                if ((sum += weight[i]) >= top_p * total) {
                        n = i + 1;
                        break;
                }
        total = 0;
        for (int i = 0; i < n; i++)
                total += weight[i];
        memset(out, 0, V * sizeof *out);
        for (int i = 0; i < n; i++)
                out[order[i]] = weight[i] / total;
}

static void draws_follow_temperature(void **state)
{
        struct dyn_sampling p = off;
        double expected[V];

        p.temperature = 2;
        expect(2, 0, 1, 0, expected);
        frequencies_match(p, expected);
}

static void draws_follow_top_k(void **state)
{
        struct dyn_sampling p = off;
        double expected[V];

        p.top_k = 5;
        expect(1, 5, 1, 0, expected);
        frequencies_match(p, expected);
}

static void draws_follow_top_p_after_top_k(void **state)
{
        struct dyn_sampling p = off;
        double expected[V];

        p.top_k = 30;
        p.top_p = 0.7f;
        expect(1, 30, 0.7, 0, expected);
        frequencies_match(p, expected);
}

static void draws_follow_min_p(void **state)
{
        struct dyn_sampling p = off;
        double expected[V];

        p.min_p = 0.11f;
        expect(1, 0, 1, 0.11, expected);
        frequencies_match(p, expected);
}

static void penalties_change_logits_as_written(void **state)
{
        static const int32_t tokens[] = {3, 3, 4, 5, 5, 5}; // a prompt of two, an answer of four
        struct sample_history h = {tokens, 6, 2};
        struct dyn_sampling p = off;

        p.temperature = 0;
        p.repetition_penalty = 2;
        p.frequency_penalty = 0.25f;
        p.presence_penalty = 0.5f;
        fill();
        logits[3] = 4;
        logits[4] = -1;
        logits[5] = 6;
        sample_token(sampler, logits, &p, &h, NULL, 0);
        assert_true(logits[3] == 2);                 // prompt only: repetition
        assert_true(logits[4] == -2 - 0.5f - 0.25f); // negative logits are multiplied
        assert_true(logits[5] == 3 - 0.5f - 0.25f - 0.25f - 0.25f);
        fill();
        assert_true(logits[6] == (float)(6 * 37 % V) / 8);
}

static void bias_and_barred_ids_decide(void **state)
{
        static const struct dyn_logit_bias bias[] = {{11, 100}, {12, 50}};
        static const int32_t barred[] = {11};
        struct sample_history h = {NULL, 0, 0};
        struct dyn_sampling p = off;

        p.bias = bias;
        p.n_bias = 2;
        fill();
        assert_int_equal(sample_token(sampler, logits, &p, &h, NULL, 0), 11);
        fill();
        assert_int_equal(sample_token(sampler, logits, &p, &h, barred, 1), 12);
}

static void broken_logits_give_no_token(void **state)
{
        fill();
        logits[7] = NAN;
        assert_int_equal(draw_one(off, 0), -1);
        fill();
        logits[7] = INFINITY;
        assert_int_equal(draw_one(off, 0), -1);
        for (int i = 0; i < V; i++)
                logits[i] = -INFINITY;
        assert_int_equal(draw_one(off, 0), -1);
}

static void extremes_stay_in_range(void **state)
{
        struct dyn_sampling p = off;

        p.temperature = 1e-4f;
        p.top_p = 1e-6f;
        p.top_k = 1000;
        for (int i = 0; i < 200; i++) {
                fill();
                logits[33] = 1e30f;
                p.seed = (uint64_t)i;
                assert_int_equal(draw_one(p, 0), 33);
        }
}

static void logprobs_are_a_log_softmax_with_the_best_first(void **state)
{
        struct dyn_event e = {.token = 9};
        double total = 0;
        int order[V];

        fill();
        for (int i = 0; i < V; i++) {
                total += exp((double)logits[i]);
                order[i] = i;
        }
        qsort(order, V, sizeof *order, by_logit);
        sample_logprobs(sampler, logits, 6, &e);
        assert_true(fabs((double)e.logprob - ((double)logits[9] - log(total))) < 1e-5);
        assert_int_equal(order[e.rank - 1], 9);
        assert_int_equal(e.n_top, 6);
        for (int i = 0; i < 6; i++) {
                assert_int_equal(e.top[i].id, order[i]);
                assert_true(fabs((double)e.top[i].logprob - ((double)logits[order[i]] - log(total))) < 1e-5);
        }
        sample_logprobs(sampler, logits, 0, &e);
        assert_int_equal(e.n_top, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_generator_is_philox),
                cmocka_unit_test(greedy_takes_the_best_and_the_lowest_id_of_equals),
                cmocka_unit_test(draws_follow_temperature),
                cmocka_unit_test(draws_follow_top_k),
                cmocka_unit_test(draws_follow_top_p_after_top_k),
                cmocka_unit_test(draws_follow_min_p),
                cmocka_unit_test(penalties_change_logits_as_written),
                cmocka_unit_test(bias_and_barred_ids_decide),
                cmocka_unit_test(broken_logits_give_no_token),
                cmocka_unit_test(extremes_stay_in_range),
                cmocka_unit_test(logprobs_are_a_log_softmax_with_the_best_first),
        };
        return cmocka_run_group_tests_name("sample", tests, set_up, tear_down);
}
