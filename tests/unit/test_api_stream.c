// Streamed answers: the chunks, what is held back, what a slow or leaving reader does.
#include "api_fakes.h"

#include <string.h>

#include "api/api.h"

static struct http_exchange *complete(const char *body)
{
        struct http_exchange *x = fake_exchange(body);

        api_completions(x, fake_api);
        return x;
}

static struct http_exchange *chat(const char *more)
{
        struct buf body = {0};

        buf_printf(&body, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stream\":true%s}", more);
        struct http_exchange *x = fake_exchange(body.data);
        buf_free(&body);
        api_chat(x, fake_api);
        return x;
}

static void a_chat_stream_opens_with_the_role_and_closes_with_done(void **state)
{
        struct http_exchange *x = chat(",\"stream_options\":{\"include_usage\":true},\"adapter\":\"shout\"");

        assert_string_equal(fake_header(x, "x-dynlora-adapter"), "shout");
        fake_text(0, "hi");
        assert_string_equal(string_at(fake_chunk(x, 0), "object"), "chat.completion.chunk");
        assert_string_equal(string_at(fake_chunk(x, 0), "choices.0.delta.role"), "assistant");
        assert_string_equal(string_at(fake_chunk(x, 0), "choices.0.delta.content"), "");
        assert_string_equal(string_at(fake_chunk(x, 1), "choices.0.delta.content"), "h");
        assert_null(at(fake_chunk(x, 1), "choices.0.delta.role"));
        assert_true(cJSON_IsNull(at(fake_chunk(x, 1), "choices.0.finish_reason")));
        assert_true(cJSON_IsNull(at(fake_chunk(x, 1), "usage")));
        assert_string_equal(string_at(fake_chunk(x, 1), "adapter.name"), "shout");
        fake_end(0, DYN_FINISH_STOP);
        assert_int_equal(fake_n_events(x), 6);
        assert_string_equal(string_at(fake_chunk(x, 3), "choices.0.finish_reason"), "stop");
        assert_null(at(fake_chunk(x, 3), "choices.0.delta.content"));
        assert_int_equal(cJSON_GetArraySize(at(fake_chunk(x, 4), "choices")), 0);
        assert_int_equal(int_at(fake_chunk(x, 4), "usage.completion_tokens"), 2);
        assert_string_equal(fake_event(x, 5), "[DONE]");
        assert_true(fake_closed(x));
}

static void every_chunk_of_a_chat_says_which_weights_it_was(void **state)
{
        struct http_exchange *x = chat(",\"n\":2,\"stream_options\":{\"include_usage\":true}");

        fake_text(1, "a");
        fake_text(0, "b");
        fake_end(0, DYN_FINISH_STOP);
        fake_end(1, DYN_FINISH_LENGTH);
        assert_int_equal(fake_n_events(x), 8);
        for (int i = 0; i < 7; i++)
                assert_string_equal(string_at(fake_chunk(x, i), "system_fingerprint"), "0123456789abcdef-cpu-per-row");
}

static void no_usage_unless_asked_for(void **state)
{
        struct http_exchange *x = chat("");

        fake_end(0, DYN_FINISH_LENGTH);
        assert_int_equal(fake_n_events(x), 3);
        assert_null(at(fake_chunk(x, 0), "usage"));
        assert_string_equal(fake_event(x, 2), "[DONE]");
}

// All text deltas of one choice, joined.
static void joined(struct http_exchange *x, int index, struct buf *out)
{
        buf_clear(out);
        for (int i = 0; i + 1 < fake_n_events(x); i++) {
                const cJSON *choice = at(fake_chunk(x, i), "choices.0");

                if (choice != NULL && int_at(choice, "index") == index)
                        buf_puts(out, string_at(choice, "text"));
        }
}

static void a_stop_string_never_shows_not_even_its_beginning(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stream\":true,\"stop\":\"END\"}");
        struct buf text = {0};

        fake_text(0, "aE");
        assert_int_equal(fake_n_events(x), 1);
        fake_text(0, "Nb");
        assert_string_equal(string_at(fake_chunk(x, 1), "choices.0.text"), "ENb");
        fake_text(0, "EN");
        assert_int_equal(fake_n_events(x), 2);
        fake_text(0, "DD");
        fake_end(0, DYN_FINISH_CANCELLED);
        joined(x, 0, &text);
        assert_string_equal(text.data, "aENb");
        assert_string_equal(string_at(fake_chunk(x, 2), "choices.0.stop_reason"), "END");
        buf_free(&text);
}

static void what_was_held_back_is_said_at_the_end(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stream\":true,\"stop\":\"END\",\"logprobs\":0}");
        struct buf text = {0};

        fake_text(0, "aEN");
        fake_end(0, DYN_FINISH_LENGTH);
        joined(x, 0, &text);
        assert_string_equal(text.data, "aEN");
        assert_int_equal(cJSON_GetArraySize(at(fake_chunk(x, 0), "choices.0.logprobs.tokens")), 1);
        assert_int_equal(cJSON_GetArraySize(at(fake_chunk(x, 1), "choices.0.logprobs.tokens")), 2);
        assert_int_equal(int_at(fake_chunk(x, 1), "choices.0.logprobs.text_offset.1"), 2);
        buf_free(&text);
}

static void choices_are_told_apart_by_index(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stream\":true,\"n\":2,\"return_token_ids\":true}");
        struct buf text = {0};

        fake_text(1, "x");
        fake_text(0, "y");
        fake_text(1, "z");
        assert_int_equal(int_at(fake_chunk(x, 0), "choices.0.token_ids.0"), 'x');
        assert_null(at(fake_chunk(x, 0), "choices.0.prompt_token_ids"));
        assert_int_equal(int_at(fake_chunk(x, 1), "choices.0.prompt_token_ids.0"), 'p');
        fake_end(1, DYN_FINISH_STOP);
        fake_end(0, DYN_FINISH_STOP);
        joined(x, 1, &text);
        assert_string_equal(text.data, "xz");
        joined(x, 0, &text);
        assert_string_equal(text.data, "y");
        buf_free(&text);
}

static void an_echo_comes_first_with_its_logprobs(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"pq\",\"stream\":true,\"echo\":true,\"logprobs\":1}");

        assert_int_equal(fake_taken(0)->n_prompt_logprobs, 1);
        fake_prompt(0, 'p', 0, 0);
        fake_prompt(0, 'q', 3, -2);
        fake_text(0, "r");
        const cJSON *choice = at(fake_chunk(x, 0), "choices.0");
        assert_string_equal(string_at(choice, "text"), "pqr");
        assert_true(cJSON_IsNull(at(choice, "logprobs.token_logprobs.0")));
        assert_true(at(choice, "logprobs.token_logprobs.1")->valuedouble == -2);
        assert_int_equal(int_at(choice, "logprobs.text_offset.2"), 2);
        fake_end(0, DYN_FINISH_LENGTH);
}

static void a_slow_reader_rests_its_rows(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stream\":true,\"n\":2}");

        fake_text(0, "a");
        assert_false(fake_taken(0)->held);
        fake_backlog(x, HTTP_BACKLOG_HIGH + 1);
        fake_text(0, "b");
        assert_true(fake_taken(0)->held && fake_taken(1)->held);
        fake_drained(x);
        assert_false(fake_taken(0)->held || fake_taken(1)->held);
        fake_end(0, DYN_FINISH_STOP);
        fake_end(1, DYN_FINISH_STOP);
}

static void a_reader_that_leaves_is_written_nothing_more(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stream\":true,\"adapter\":\"sql\"}");

        fake_text(0, "a");
        fake_abort(x);
        assert_true(fake_taken(0)->cancelled);
        fake_text(0, "b");
        fake_end(0, DYN_FINISH_CANCELLED);
        assert_int_equal(fake_n_events(x), 1);
        assert_int_equal(fake_sql_in_flight, 0);
}

static void an_error_after_the_start_is_an_error_event(void **state)
{
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stream\":true}");

        fake_text(0, "a");
        fake_end(0, DYN_FINISH_ERROR);
        assert_int_equal(fake_n_events(x), 2);
        assert_string_equal(fake_event_name(x, 1), "error");
        assert_string_equal(string_at(fake_chunk(x, 1), "error.type"), "server_error");
        assert_true(fake_closed(x));
}

static void a_full_queue_is_no_stream(void **state)
{
        fake_capacity(0);
        struct http_exchange *x = complete("{\"prompt\":\"p\",\"stream\":true}");
        assert_int_equal(fake_status(x), 429);
        assert_false(fake_closed(x));
        assert_string_equal(string_at(fake_json(x), "error.code"), "queue_full");
}

#define WITH_FAKES(test) cmocka_unit_test_setup_teardown(test, fakes_set_up, fakes_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_FAKES(a_chat_stream_opens_with_the_role_and_closes_with_done),
                WITH_FAKES(every_chunk_of_a_chat_says_which_weights_it_was),
                WITH_FAKES(no_usage_unless_asked_for),
                WITH_FAKES(a_stop_string_never_shows_not_even_its_beginning),
                WITH_FAKES(what_was_held_back_is_said_at_the_end),
                WITH_FAKES(choices_are_told_apart_by_index),
                WITH_FAKES(an_echo_comes_first_with_its_logprobs),
                WITH_FAKES(a_slow_reader_rests_its_rows),
                WITH_FAKES(a_reader_that_leaves_is_written_nothing_more),
                WITH_FAKES(an_error_after_the_start_is_an_error_event),
                WITH_FAKES(a_full_queue_is_no_stream),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
