// Whole answers to inference calls: what reaches the engine, what is said of what it answers, and who cleans up.
#include "api_fakes.h"

#include <string.h>

#include "api/api.h"
#include "base/alloc.h"

static struct http_exchange *complete(const char *body)
{
        struct http_exchange *x = fake_exchange(body);

        api_completions(x, fake_api);
        return x;
}

static struct http_exchange *chat(const char *body)
{
        struct http_exchange *x = fake_exchange(body);

        api_chat(x, fake_api);
        return x;
}

static void an_answer_has_text_reason_and_usage(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"one\",\"model\":\"sql\"}");

        assert_int_equal(fake_sql_in_flight, 1);
        assert_int_equal(fake_status(x), 0);
        fake_text(0, "two");
        fake_token(0, FAKE_EOS);
        fake_end(0, DYN_FINISH_STOP);
        const cJSON *answer = fake_json(x);
        assert_int_equal(fake_status(x), 200);
        assert_string_equal(string_at(answer, "object"), "text_completion");
        assert_string_equal(string_at(answer, "model"), "sql");
        assert_string_equal(string_at(answer, "adapter.name"), "sql");
        assert_string_equal(string_at(answer, "adapter.version"), "1111");
        assert_string_equal(fake_header(x, "x-dynlora-adapter"), "sql");
        assert_string_equal(string_at(answer, "system_fingerprint"), "0123456789abcdef-cpu-per-row");
        assert_string_equal(string_at(answer, "choices.0.text"), "two");
        assert_string_equal(string_at(answer, "choices.0.finish_reason"), "stop");
        assert_true(cJSON_IsNull(at(answer, "choices.0.stop_reason")));
        assert_true(cJSON_IsNull(at(answer, "choices.0.logprobs")));
        assert_int_equal(int_at(answer, "usage.prompt_tokens"), 3);
        assert_int_equal(int_at(answer, "usage.completion_tokens"), 4);
        assert_int_equal(int_at(answer, "usage.total_tokens"), 7);
        assert_int_equal(int_at(answer, "usage.prompt_tokens_details.cached_tokens"), 1);
        assert_int_equal(fake_sql_in_flight, 0);
        assert_int_equal(api_running(fake_api), 0);
}

static void a_chat_is_rendered_and_answered_as_a_message(void **state)
{
        struct http_exchange *x = chat("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                                       "\"a\"},{\"type\":\"text\",\"text\":\"b\"}],\"refusal\":null}]}");

        assert_int_equal(fake_taken(0)->n_prompt, strlen("user:a\nb;"));
        assert_int_equal(fake_taken(0)->max_tokens, FAKE_CONTEXT - (int)strlen("user:a\nb;"));
        assert_null(fake_taken(0)->adapter);
        fake_text(0, "hi");
        fake_end(0, DYN_FINISH_LENGTH);
        assert_string_equal(string_at(fake_json(x), "object"), "chat.completion");
        assert_string_equal(string_at(fake_json(x), "choices.0.message.role"), "assistant");
        assert_string_equal(string_at(fake_json(x), "choices.0.message.content"), "hi");
        assert_string_equal(string_at(fake_json(x), "choices.0.finish_reason"), "length");
        assert_string_equal(string_at(fake_json(x), "model"), "base-model");
        assert_true(cJSON_IsNull(at(fake_json(x), "adapter")));
        assert_string_equal(fake_header(x, "x-dynlora-adapter"), "base");
}

static void sampling_reaches_the_engine(void **state)
{
        complete("{\"prompt\":[5,6],\"temperature\":0.5,\"top_p\":0.9,\"top_k\":-1,\"min_p\":0.1,\"seed\":-3,"
                 "\"repetition_penalty\":1.5,\"frequency_penalty\":-1,\"presence_penalty\":1,\"max_tokens\":9,"
                 "\"min_tokens\":2,\"logit_bias\":{\"7\":-100},\"stop_token_ids\":[8],\"n\":2}");
        const struct dyn_request *r = fake_taken(0);

        assert_true(r->n_prompt == 2 && r->prompt[0] == 5 && r->prompt[1] == 6);
        assert_true(r->sampling.temperature == 0.5F && r->sampling.top_p == 0.9F && r->sampling.top_k == 0);
        assert_true(r->sampling.min_p == 0.1F && r->sampling.repetition_penalty == 1.5F);
        assert_true(r->sampling.frequency_penalty == -1 && r->sampling.presence_penalty == 1);
        assert_true(r->sampling.seed == (uint64_t)-3 && fake_taken(1)->sampling.seed == (uint64_t)-2);
        assert_true(r->sampling.n_bias == 1 && r->sampling.bias[0].id == 7 && r->sampling.bias[0].bias == -100);
        assert_true(r->max_tokens == 9 && r->min_tokens == 2);
        assert_true(r->n_stop_ids == 2 && r->stop_ids[0] == 8 && r->stop_ids[1] == FAKE_EOS);
        assert_true(r->n_logprobs == -1 && r->n_prompt_logprobs == -1);
        fake_end(0, DYN_FINISH_LENGTH);
        fake_end(1, DYN_FINISH_LENGTH);
}

static void several_prompts_times_n_are_answered_in_order(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":[\"a\",[66,67],\"ccc\"],\"n\":2,\"max_tokens\":1}");
        static const char *const texts[] = {"0", "1", "2", "3", "4", "5"};

        assert_int_equal(fake_n_taken(), 6);
        for (int i = 5; i >= 0; i--) {
                fake_text(i, texts[i]);
                fake_end(i, DYN_FINISH_LENGTH);
        }
        for (int i = 0; i < 6; i++) {
                char path[32];

                snprintf(path, sizeof path, "choices.%d.text", i);
                assert_string_equal(string_at(fake_json(x), path), texts[i]);
                snprintf(path, sizeof path, "choices.%d.index", i);
                assert_int_equal(int_at(fake_json(x), path), i);
        }
        assert_int_equal(int_at(fake_json(x), "usage.prompt_tokens"), 1 + 2 + 3);
        assert_int_equal(int_at(fake_json(x), "usage.completion_tokens"), 6);
        assert_int_equal(int_at(fake_json(x), "usage.prompt_tokens_details.cached_tokens"), 3);
}

static void a_stop_string_ends_the_answer_and_the_sequence(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stop\":[\"zzz\",\"ND\"],\"return_token_ids\":true}");

        fake_text(0, "the E");
        assert_false(fake_taken(0)->cancelled);
        fake_text(0, "ND");
        assert_true(fake_taken(0)->cancelled);
        fake_text(0, " more");
        fake_end(0, DYN_FINISH_CANCELLED);
        assert_string_equal(string_at(fake_json(x), "choices.0.text"), "the E");
        assert_string_equal(string_at(fake_json(x), "choices.0.finish_reason"), "stop");
        assert_string_equal(string_at(fake_json(x), "choices.0.stop_reason"), "ND");
        assert_int_equal(int_at(fake_json(x), "usage.completion_tokens"), 7);
        assert_int_equal(cJSON_GetArraySize(at(fake_json(x), "choices.0.token_ids")), 7);
        assert_int_equal(int_at(fake_json(x), "choices.0.prompt_token_ids.0"), 'p');
}

static void a_stop_string_may_be_included_and_waits_for_min_tokens(void **state)
{
        struct http_exchange *x =
                complete("{\"prompt\":\"p\",\"stop\":\"b\",\"include_stop_str_in_output\":true,\"min_tokens\":2}");

        fake_token(0, FAKE_AB);
        fake_text(0, "b");
        assert_false(fake_taken(0)->cancelled);
        fake_text(0, "c");
        fake_token(0, FAKE_AB);
        fake_end(0, DYN_FINISH_CANCELLED);
        assert_string_equal(string_at(fake_json(x), "choices.0.text"), "abbcab");
}

static void the_token_that_stops_is_counted_but_not_said(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stop_token_ids\":[33],\"skip_special_tokens\":false}");
        struct http_exchange *included =
                complete("{\"prompt\":\"p\",\"include_stop_str_in_output\":true,\"skip_special_tokens\":false}");

        fake_text(0, "a!");
        fake_end(0, DYN_FINISH_STOP);
        fake_text(1, "a");
        fake_token(1, FAKE_EOS);
        fake_end(1, DYN_FINISH_STOP);
        assert_string_equal(string_at(fake_json(x), "choices.0.text"), "a");
        assert_int_equal(int_at(fake_json(x), "choices.0.stop_reason"), 33);
        assert_int_equal(int_at(fake_json(x), "usage.completion_tokens"), 2);
        assert_string_equal(string_at(fake_json(included), "choices.0.text"), "a</s>");
}

static void ignore_eos_leaves_only_the_callers_stops(void **state)
{
        complete("{\"prompt\":\"p\",\"ignore_eos\":true,\"stop_token_ids\":[5]}");
        assert_int_equal(fake_taken(0)->n_stop_ids, 1);
        fake_end(0, DYN_FINISH_LENGTH);
}

static void refused(struct http_exchange *x, int status, const char *param, const char *code)
{
        if (fake_status(x) != status || strcmp(string_at(fake_json(x), "error.param"), param) != 0)
                fail_msg("expected %d for %s, found %d: %s", status, param, fake_status(x),
                        string_at(fake_json(x), "error.message"));
        if (code != NULL)
                assert_string_equal(string_at(fake_json(x), "error.code"), code);
        assert_int_equal(fake_n_taken(), 0);
}

static void a_bad_request_names_its_field(void **state)
{
        refused(complete("{}"), 400, "prompt", NULL);
        refused(complete("{\"prompt\":\"\"}"), 400, "prompt", NULL);
        refused(complete("{\"prompt\":[[1],[]]}"), 400, "prompt", NULL);
        refused(complete("{\"prompt\":[1,300]}"), 400, "prompt", NULL);
        refused(complete("{\"prompt\":\"a\",\"logit_bias\":{\"x\":1}}"), 400, "logit_bias", NULL);
        refused(complete("{\"prompt\":\"a\",\"logit_bias\":{\"300\":1}}"), 400, "logit_bias", NULL);
        refused(complete("{\"prompt\":\"a\",\"logit_bias\":{\"3\":101}}"), 400, "logit_bias", NULL);
        refused(complete("{\"prompt\":\"a\",\"stop_token_ids\":[300]}"), 400, "stop_token_ids", NULL);
        refused(complete("{\"prompt\":\"a\",\"stop\":\"\"}"), 400, "stop", NULL);
        refused(complete("{\"prompt\":\"a\",\"n\":9}"), 400, "n", NULL);
        refused(chat("{\"messages\":[]}"), 400, "messages", NULL);
        refused(chat("{\"messages\":[{\"role\":\"user\"}]}"), 400, "messages[0].content", NULL);
        refused(chat("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}"), 400,
                "messages[0].content", "unsupported_parameter");
        refused(chat("{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[{}]}]}"), 400,
                "messages[0].tool_calls", "unsupported_parameter");
        refused(chat("{\"messages\":[{\"role\":\"bad\",\"content\":\"a\"}]}"), 400, "messages", NULL);
}

static void what_does_not_fit_the_context_is_refused_with_the_counts(void **state)
{
        char *long_prompt = mem_printf("{\"prompt\":\"%0100d\"}", 0);
        struct http_exchange *x = complete("{\"prompt\":\"abc\",\"max_tokens\":98}");

        refused(x, 400, "max_tokens", "context_length_exceeded");
        assert_non_null(strstr(string_at(fake_json(x), "error.message"), "98"));
        x = complete(long_prompt);
        mem_free(long_prompt);
        refused(x, 400, "prompt", "context_length_exceeded");
        assert_non_null(strstr(string_at(fake_json(x), "error.message"), "100"));
}

static void a_full_queue_takes_all_or_none(void **state)
{
        fake_capacity(2);
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"n\":3}");
        assert_int_equal(fake_status(x), 429);
        assert_non_null(fake_header(x, "Retry-After"));
        assert_true(fake_taken(0)->cancelled && fake_taken(1)->cancelled);
        assert_int_equal(api_running(fake_api), 1);
        fake_end(0, DYN_FINISH_CANCELLED);
        fake_end(1, DYN_FINISH_CANCELLED);
        assert_int_equal(api_running(fake_api), 0);
}

static void a_client_that_leaves_frees_its_rows(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"n\":2,\"adapter\":\"sql\"}");

        fake_text(0, "a");
        fake_abort(x);
        assert_true(fake_taken(0)->cancelled && fake_taken(1)->cancelled);
        fake_text(1, "late");
        fake_end(1, DYN_FINISH_CANCELLED);
        assert_int_equal(fake_sql_in_flight, 1);
        fake_end(0, DYN_FINISH_CANCELLED);
        assert_int_equal(fake_sql_in_flight, 0);
        assert_int_equal(fake_status(x), 0);
}

static void a_failed_step_is_500(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\"}");

        fake_text(0, "a");
        fake_end(0, DYN_FINISH_ERROR);
        assert_int_equal(fake_status(x), 500);
        assert_string_equal(string_at(fake_json(x), "error.type"), "server_error");
}

static bool idle;

static void on_idle(void *ctx)
{
        idle = true;
}

static void draining_refuses_and_lets_running_calls_end(void **state)
{
        struct http_exchange *running = complete("{\"prompt\":\"p\"}"), *late;

        api_drain(fake_api);
        api_when_idle(fake_api, on_idle, NULL);
        late = complete("{\"prompt\":\"p\"}");
        assert_int_equal(fake_status(late), 503);
        assert_non_null(fake_header(late, "Retry-After"));
        assert_false(idle);
        fake_text(0, "a");
        fake_end(0, DYN_FINISH_LENGTH);
        assert_int_equal(fake_status(running), 200);
        assert_true(idle);
}

static void before_the_model_is_loaded_calls_are_503(void **state)
{
        struct api *api = api_create(&(struct api_options){"base-model", "/m", 1, 1, NULL, &fake_loop});
        struct http_exchange *x = fake_exchange("{\"prompt\":\"p\"}"), *health = fake_exchange("");
        struct http_exchange *ready = fake_exchange(""), *metrics = fake_exchange("");

        api_completions(x, api);
        api_health(health, api);
        api_ready(ready, api);
        api_metrics(metrics, api);
        assert_int_equal(fake_status(x), 503);
        assert_int_equal(fake_status(ready), 503);
        assert_int_equal(fake_status(health), 200);
        assert_int_equal(fake_status(metrics), 200);
        api_close(api);
        api_destroy(api);
}

// A body that is too large to be read on the loop.
static struct http_exchange *complete_large(const char *members)
{
        struct buf body = {0};

        buf_printf(&body, "{%s,\"user\":\"%*s\"}", members, 100000, "");
        struct http_exchange *x = complete(body.data);
        buf_free(&body);
        return x;
}

static void a_large_body_is_read_beside_the_loop(void **state)
{
        struct http_exchange *x = complete_large("\"prompt\":\"one\",\"echo\":true,\"stop\":\"!\"");

        assert_int_equal(api_running(fake_api), 1);
        assert_int_equal(fake_n_taken(), 0);
        while (fake_n_taken() == 0)
                fake_turn();
        fake_text(0, "two!");
        fake_end(0, DYN_FINISH_CANCELLED);
        assert_string_equal(string_at(fake_json(x), "choices.0.text"), "onetwo");
        assert_string_equal(string_at(fake_json(x), "choices.0.stop_reason"), "!");
        assert_int_equal(int_at(fake_json(x), "usage.prompt_tokens"), 3);
}

static void a_large_answer_is_written_beside_the_loop(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"logprobs\":20,\"max_tokens\":50}");

        for (int i = 0; i < 50; i++)
                fake_text(0, "t");
        fake_end(0, DYN_FINISH_LENGTH);
        assert_int_equal(fake_status(x), 0);
        while (fake_status(x) == 0)
                fake_turn();
        assert_int_equal(cJSON_GetArraySize(at(fake_json(x), "choices.0.logprobs.tokens")), 50);
}

static void a_version_is_held_from_when_its_name_was_read(void **state)
{
        complete_large("\"prompt\":\"one\",\"model\":\"sql\"");
        while (fake_sql_in_flight == 0)
                fake_turn();
        assert_int_equal(fake_n_taken(), 0);
        while (fake_n_taken() == 0)
                fake_turn();
        fake_end(0, DYN_FINISH_LENGTH);
}

static void what_is_wrong_with_a_large_body_is_said(void **state)
{
        static const struct {
                const char *members;
                int status;
        } bad[] = {{"\"prompt\":\"p\",\"model\":\"nobody\"", 404}, {"\"prompt\":\"p\",\"model\":\"slow\"", 503},
                {"\"prompt\":7,\"model\":\"sql\"", 400}, {"\"prompt\":\"p\",\"model\":\"sql\",\"n\":9", 400},
                {"7", 400}};

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                struct http_exchange *x = complete_large(bad[i].members);

                while (api_running(fake_api) > 0)
                        fake_turn();
                assert_int_equal(fake_status(x), bad[i].status);
                assert_int_equal(fake_n_taken() + fake_sql_in_flight, 0);
        }
}

static void a_client_that_leaves_while_it_is_read_leaves_nothing(void **state)
{
        for (int parsed = 0; parsed < 2; parsed++) {
                struct http_exchange *x = complete_large("\"prompt\":\"p\",\"model\":\"sql\"");

                while (fake_sql_in_flight < parsed)
                        fake_turn();
                fake_abort(x);
                while (api_running(fake_api) > 0)
                        fake_turn();
                assert_int_equal(fake_sql_in_flight + fake_n_taken(), 0);
        }
}

static void stopping_waits_for_what_is_read(void **state)
{
        idle = false;
        complete_large("\"prompt\":\"one\"");
        api_drain(fake_api);
        api_when_idle(fake_api, on_idle, NULL);
        while (fake_n_taken() == 0)
                fake_turn();
        assert_false(idle);
        fake_end(0, DYN_FINISH_LENGTH);
        assert_true(idle);
}

#define WITH_FAKES(test) cmocka_unit_test_setup_teardown(test, fakes_set_up, fakes_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_FAKES(an_answer_has_text_reason_and_usage),
                WITH_FAKES(a_chat_is_rendered_and_answered_as_a_message),
                WITH_FAKES(sampling_reaches_the_engine),
                WITH_FAKES(several_prompts_times_n_are_answered_in_order),
                WITH_FAKES(a_stop_string_ends_the_answer_and_the_sequence),
                WITH_FAKES(a_stop_string_may_be_included_and_waits_for_min_tokens),
                WITH_FAKES(the_token_that_stops_is_counted_but_not_said),
                WITH_FAKES(ignore_eos_leaves_only_the_callers_stops),
                WITH_FAKES(a_bad_request_names_its_field),
                WITH_FAKES(what_does_not_fit_the_context_is_refused_with_the_counts),
                WITH_FAKES(a_full_queue_takes_all_or_none),
                WITH_FAKES(a_client_that_leaves_frees_its_rows),
                WITH_FAKES(a_failed_step_is_500),
                WITH_FAKES(draining_refuses_and_lets_running_calls_end),
                WITH_FAKES(before_the_model_is_loaded_calls_are_503),
                WITH_FAKES(a_large_body_is_read_beside_the_loop),
                WITH_FAKES(a_large_answer_is_written_beside_the_loop),
                WITH_FAKES(a_version_is_held_from_when_its_name_was_read),
                WITH_FAKES(what_is_wrong_with_a_large_body_is_said),
                WITH_FAKES(a_client_that_leaves_while_it_is_read_leaves_nothing),
                WITH_FAKES(stopping_waits_for_what_is_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
