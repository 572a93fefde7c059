// The engine's promises to its caller, on a small random model: limits, ends, cancelling, holding, a full queue, going
// away.
#include "harness.h"

#include <string.h>
#include <unistd.h>

#include "dynlora/engine.h"
#include "sched/stats.h"
#include "tiny_model.h"

static char *folder;
static struct dyn_engine *engine;

static struct dyn_engine_options options(void)
{
        return (struct dyn_engine_options){.model = folder,
                .backend = "plain",
                .threads = 1,
                .kv_memory = 4 << 20,
                .max_rows = 4,
                .max_queue = 8,
                .step_tokens = 16,
                .prefix_cache = true};
}

static int set_up(void **state)
{
        struct dyn_engine_options o;

        folder = tiny_model_write(&(struct tiny_model){0});
        o = options();
        return dyn_engine_create(&engine, &o, NULL);
}

static int tear_down(void **state)
{
        dyn_engine_destroy(engine);
        tiny_model_remove(folder);
        return 0;
}

static int32_t prompt[TINY_CONTEXT];

static struct dyn_request request(int n_prompt, int max_tokens)
{
        for (int i = 0; i < n_prompt; i++)
                prompt[i] = i % TINY_VOCAB;
        return (struct dyn_request){.prompt = prompt,
                .n_prompt = n_prompt,
                .max_tokens = max_tokens,
                .n_logprobs = -1,
                .n_prompt_logprobs = -1,
                .sampling = {.top_p = 1, .repetition_penalty = 1}};
}

static struct dyn_event next(void)
{
        struct dyn_event e;

        for (int i = 0; i < 20000; i++) {
                if (dyn_engine_poll(engine, &e))
                        return e;
                usleep(500);
        }
        fail_msg("no event in ten seconds");
        return e;
}

// Runs a request to its end; the tokens go to out.
static struct dyn_event finish(struct dyn_request *r, int32_t *out, int *n)
{
        struct dyn_event e;

        *n = 0;
        assert_int_equal(dyn_engine_submit(engine, r, NULL), DYN_OK);
        while ((e = next()).kind != DYN_EVENT_END)
                if (e.kind == DYN_EVENT_TOKEN)
                        out[(*n)++] = e.token;
        assert_ptr_equal(e.request, r);
        return e;
}

static void refused(struct dyn_request r, const char *says)
{
        struct dyn_error err = {0};

        assert_int_equal(dyn_engine_submit(engine, &r, &err), DYN_INVALID);
        if (strstr(err.text, says) == NULL)
                fail_msg("expected \"%s\" in: %s", says, err.text);
}

static void what_can_never_run_is_refused_at_once(void **state)
{
        struct dyn_request r = request(3, 4);
        static const int32_t wrong[] = {1, TINY_VOCAB, 2}, negative[] = {-1};
        static const struct dyn_logit_bias bias = {TINY_VOCAB + 3, 1};

        refused(request(0, 4), "at least one token");
        refused(request(TINY_CONTEXT, 1), "expected at most 128 tokens");
        r.max_tokens = INT32_MAX;
        refused(r, "expected at most 128 tokens");
        r = request(3, 4);
        r.prompt = wrong;
        refused(r, "token ids: expected 0 to 49");
        r = request(3, 4);
        r.stop_ids = negative;
        r.n_stop_ids = 1;
        refused(r, "token ids");
        r = request(3, 4);
        r.sampling.bias = &bias;
        r.sampling.n_bias = 1;
        refused(r, "logit_bias");
        r = request(3, 4);
        r.n_logprobs = DYN_MAX_LOGPROBS + 1;
        refused(r, "logprobs");
        assert_int_equal(atomic_load(&dyn_engine_metrics(engine)->waiting), 0);
}

static void an_answer_ends_by_length_or_by_a_stop_token(void **state)
{
        struct dyn_request r = request(5, 10);
        int32_t all[16], some[16];
        int n, m;

        assert_int_equal(finish(&r, all, &n).finish, DYN_FINISH_LENGTH);
        assert_int_equal(n, 10);
        r = request(5, 10);
        r.stop_ids = &all[3];
        r.n_stop_ids = 1;
        assert_int_equal(finish(&r, some, &m).finish, DYN_FINISH_STOP);
        assert_true(m <= 4 && some[m - 1] == all[3]); // the stop token is the last one reported
        r = request(5, 10);
        r.stop_ids = &all[0];
        r.n_stop_ids = 1;
        r.min_tokens = 6;
        finish(&r, some, &m);
        assert_true(m >= 6);
        for (int i = 0; i < 6; i++)
                assert_int_not_equal(some[i], all[0]);
}

static void no_tokens_asked_gives_the_prompt_alone(void **state)
{
        struct dyn_request r = request(40, 0);
        struct dyn_event e;

        r.n_prompt_logprobs = 2;
        assert_int_equal(dyn_engine_submit(engine, &r, NULL), DYN_OK);
        for (int i = 0; i < 40; i++) {
                e = next();
                assert_int_equal(e.kind, DYN_EVENT_PROMPT);
                assert_int_equal(e.token, prompt[i]);
                assert_int_equal(e.n_top, i ? 2 : 0);
        }
        e = next();
        assert_int_equal(e.kind, DYN_EVENT_END);
        assert_int_equal(e.finish, DYN_FINISH_LENGTH);
}

static void a_prefix_is_reused_and_answers_the_same(void **state)
{
        struct dyn_request r = request(70, 6);
        int32_t first[8], second[8];
        int n, m;

        prompt[69] = 3; // not the prefix of another test
        prompt[0] = 17;
        finish(&r, first, &n);
        struct dyn_event e = finish(&r, second, &m);
        assert_int_equal(e.cached_tokens, 64);
        assert_int_equal(n, m);
        assert_memory_equal(first, second, (size_t)n * sizeof *first);
}

static void a_cancelled_request_ends_and_the_others_go_on(void **state)
{
        struct dyn_request a = request(4, 120), b = request(6, 12);
        int ends = 0, tokens = 0;

        assert_int_equal(dyn_engine_submit(engine, &a, NULL), DYN_OK);
        assert_int_equal(dyn_engine_submit(engine, &b, NULL), DYN_OK);
        atomic_store(&a.cancelled, true);
        dyn_engine_kick(engine);
        while (ends < 2) {
                struct dyn_event e = next();

                tokens += e.kind == DYN_EVENT_TOKEN && e.request == &b;
                if (e.kind == DYN_EVENT_END) {
                        ends++;
                        assert_int_equal(e.finish, e.request == &a ? DYN_FINISH_CANCELLED : DYN_FINISH_LENGTH);
                }
        }
        assert_int_equal(tokens, 12);
}

static void a_held_request_waits_and_goes_on_where_it_was(void **state)
{
        struct dyn_request r = request(5, 8), free_one = request(5, 8);
        int32_t alone[8];
        struct dyn_event e;
        int n;

        finish(&free_one, alone, &n);
        atomic_store(&r.held, true);
        assert_int_equal(dyn_engine_submit(engine, &r, NULL), DYN_OK);
        usleep(50000);
        assert_false(dyn_engine_poll(engine, &e));
        atomic_store(&r.held, false);
        dyn_engine_kick(engine);
        for (int i = 0; i < 8; i++)
                assert_int_equal(next().token, alone[i]);
        assert_int_equal(next().kind, DYN_EVENT_END);
}

// All rows are held by slow readers in the middle of their answers.
static void held_requests_give_their_rows_to_who_can_use_them(void **state)
{
        struct dyn_request slow[4], quick = request(5, 6);
        int32_t alone[100], got[4][100];
        int n, counts[4] = {0}, ends = 0;

        struct dyn_request first = request(5, 100);
        finish(&first, alone, &n);
        for (int i = 0; i < 4; i++) {
                slow[i] = request(5, 100);
                assert_int_equal(dyn_engine_submit(engine, &slow[i], NULL), DYN_OK);
        }
        for (int i = 0; i < 4; i++)
                atomic_store(&slow[i].held, true);
        assert_int_equal(dyn_engine_submit(engine, &quick, NULL), DYN_OK);
        while (ends < 5) {
                struct dyn_event e = next();

                for (int i = 0; i < 4; i++)
                        if (e.request == &slow[i] && e.kind == DYN_EVENT_TOKEN)
                                got[i][counts[i]++] = e.token;
                ends += e.kind == DYN_EVENT_END;
                if (e.request != &quick || e.kind != DYN_EVENT_END)
                        continue;
                for (int i = 0; i < 4; i++)
                        atomic_store(&slow[i].held, false);
                dyn_engine_kick(engine);
        }
        for (int i = 0; i < 4; i++) {
                assert_int_equal(counts[i], 100);
                assert_memory_equal(got[i], alone, sizeof alone);
        }
}

static void a_full_queue_says_so_and_loses_nobody(void **state)
{
        struct dyn_request r[64];
        int accepted = 0, ended = 0;

        for (int i = 0; i < 64; i++) {
                struct dyn_error err;

                r[i] = request(4, 4);
                atomic_store(&r[i].held, true); // rows are taken by the first four, eight wait
                enum dyn_status st = dyn_engine_submit(engine, &r[i], &err);
                if (st == DYN_OK)
                        accepted++;
                else
                        assert_int_equal(st, DYN_BUSY);
                if (st != DYN_OK)
                        break;
        }
        assert_true(accepted >= 8 && accepted <= 12);
        for (int i = 0; i < accepted; i++)
                atomic_store(&r[i].held, false);
        dyn_engine_kick(engine);
        while (ended < accepted)
                ended += next().kind == DYN_EVENT_END;
}

static void an_engine_can_go_while_requests_run(void **state)
{
        struct dyn_engine_options o = options();
        struct dyn_request r[6];
        struct dyn_engine *other;

        assert_int_equal(dyn_engine_create(&other, &o, NULL), DYN_OK);
        for (int i = 0; i < 6; i++) {
                r[i] = request(10, 100);
                assert_int_equal(dyn_engine_submit(other, &r[i], NULL), DYN_OK);
        }
        dyn_engine_destroy(other);
}

static void the_context_is_what_the_cache_can_hold(void **state)
{
        struct dyn_engine_options o = options();
        struct dyn_engine *small;
        struct dyn_error err;

        o.kv_memory = 3 * dyn_engine_model(engine)->kv_bytes / (size_t)dyn_engine_model(engine)->kv_pages;
        assert_int_equal(dyn_engine_create(&small, &o, NULL), DYN_OK);
        assert_int_equal(dyn_engine_model(small)->max_context, 48);
        dyn_engine_destroy(small);
        o.kv_memory = 1000;
        assert_int_equal(dyn_engine_create(&small, &o, &err), DYN_INVALID);
        assert_non_null(strstr(err.text, "--kv-memory"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_can_never_run_is_refused_at_once),
                cmocka_unit_test(an_answer_ends_by_length_or_by_a_stop_token),
                cmocka_unit_test(no_tokens_asked_gives_the_prompt_alone),
                cmocka_unit_test(a_prefix_is_reused_and_answers_the_same),
                cmocka_unit_test(a_cancelled_request_ends_and_the_others_go_on),
                cmocka_unit_test(a_held_request_waits_and_goes_on_where_it_was),
                cmocka_unit_test(held_requests_give_their_rows_to_who_can_use_them),
                cmocka_unit_test(a_full_queue_says_so_and_loses_nobody),
                cmocka_unit_test(an_engine_can_go_while_requests_run),
                cmocka_unit_test(the_context_is_what_the_cache_can_hold),
        };
        return cmocka_run_group_tests_name("engine", tests, set_up, tear_down);
}
