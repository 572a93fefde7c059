// Logprobs in the shapes that OpenAI's and vLLM's clients read.
#include "api_fakes.h"

#include <string.h>

static struct http_exchange *ask(void (*handler)(struct http_exchange *, void *), const char *body)
{
        struct http_exchange *x = fake_exchange(body);

        handler(x, fake_api);
        return x;
}

static double number_at(const cJSON *v, const char *path)
{
        return at(v, path)->valuedouble;
}

// The fake engine's best tokens are a, b, c, .. with -1, -2, ..; the sampled one has -0.5.
static void completions_have_four_columns(void **state)
{
        struct http_exchange *x = ask(api_completions, "{\"prompt\":\"p\",\"logprobs\":2}");

        fake_text(0, "x");
        fake_token(0, FAKE_AB);
        fake_text(0, "b");
        fake_end(0, DYN_FINISH_LENGTH);
        const cJSON *l = at(fake_json(x), "choices.0.logprobs");
        assert_string_equal(string_at(l, "tokens.1"), "ab");
        assert_true(number_at(l, "token_logprobs.0") == -0.5);
        assert_true(number_at(l, "top_logprobs.0.a") == -1 && number_at(l, "top_logprobs.0.b") == -2);
        assert_true(number_at(l, "top_logprobs.0.x") == -0.5);
        assert_int_equal(cJSON_GetArraySize(at(l, "top_logprobs.0")), 3);
        assert_int_equal(cJSON_GetArraySize(at(l, "top_logprobs.2")), 2); // b is among the best
        assert_int_equal(int_at(l, "text_offset.0"), 0);
        assert_int_equal(int_at(l, "text_offset.1"), 1);
        assert_int_equal(int_at(l, "text_offset.2"), 3);
}

static void offsets_count_characters(void **state)
{
        struct http_exchange *x = ask(api_completions, "{\"prompt\":\"p\",\"logprobs\":0}");

        fake_text(0, "\xc3\xa9!");
        fake_end(0, DYN_FINISH_LENGTH);
        const cJSON *l = at(fake_json(x), "choices.0.logprobs");
        assert_string_equal(string_at(l, "tokens.0"), "\xef\xbf\xbd");
        assert_int_equal(int_at(l, "text_offset.2"), 1);
        assert_int_equal(cJSON_GetArraySize(at(l, "top_logprobs.2")), 1);
}

static void tokens_can_be_shown_as_ids(void **state)
{
        struct http_exchange *x =
                ask(api_completions, "{\"prompt\":\"p\",\"logprobs\":1,\"return_tokens_as_token_ids\":true}");

        fake_text(0, "x");
        fake_end(0, DYN_FINISH_LENGTH);
        const cJSON *l = at(fake_json(x), "choices.0.logprobs");
        assert_string_equal(string_at(l, "tokens.0"), "token_id:120");
        assert_true(number_at(l, "top_logprobs.0.token_id:97") == -1);
}

static void an_echo_puts_the_prompt_before_the_answer(void **state)
{
        struct http_exchange *x =
                ask(api_completions, "{\"prompt\":[112,113],\"logprobs\":1,\"echo\":true,\"max_tokens\":0}");

        assert_int_equal(fake_taken(0)->max_tokens, 0);
        fake_prompt(0, 'p', 0, 0);
        fake_prompt(0, 'q', 7, -3);
        fake_end(0, DYN_FINISH_LENGTH);
        assert_string_equal(string_at(fake_json(x), "choices.0.text"), "pq");
        const cJSON *l = at(fake_json(x), "choices.0.logprobs");
        assert_true(cJSON_IsNull(at(l, "token_logprobs.0")) && cJSON_IsNull(at(l, "top_logprobs.0")));
        assert_true(number_at(l, "token_logprobs.1") == -3 && number_at(l, "top_logprobs.1.a") == -1);
        assert_int_equal(cJSON_GetArraySize(at(l, "tokens")), 2);
        assert_int_equal(int_at(l, "text_offset.1"), 1);
}

static void a_chat_lists_tokens_with_bytes_and_alternatives(void **state)
{
        struct http_exchange *x =
                ask(api_chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"logprobs\":true,"
                              "\"top_logprobs\":2}");

        fake_token(0, FAKE_AB);
        fake_token(0, FAKE_EOS);
        fake_end(0, DYN_FINISH_STOP);
        const cJSON *l = at(fake_json(x), "choices.0.logprobs");
        assert_string_equal(string_at(l, "content.0.token"), "ab");
        assert_int_equal(int_at(l, "content.0.bytes.1"), 'b');
        assert_true(number_at(l, "content.0.logprob") == -0.5);
        assert_int_equal(cJSON_GetArraySize(at(l, "content.0.top_logprobs")), 2);
        assert_string_equal(string_at(l, "content.0.top_logprobs.1.token"), "b");
        assert_int_equal(cJSON_GetArraySize(at(l, "content")), 2);
        assert_true(cJSON_IsNull(at(l, "refusal")));
}

static void prompt_logprobs_are_maps_by_id_with_the_token_itself(void **state)
{
        struct http_exchange *x = ask(api_completions, "{\"prompt\":\"pqb\",\"prompt_logprobs\":2,\"n\":2}");

        assert_int_equal(fake_taken(0)->n_prompt_logprobs, 2);
        assert_int_equal(fake_taken(1)->n_prompt_logprobs, -1);
        fake_prompt(0, 'p', 0, 0);
        fake_prompt(0, 'q', 7, -3);
        fake_prompt(0, 'b', 2, -2);
        fake_end(0, DYN_FINISH_LENGTH);
        fake_end(1, DYN_FINISH_LENGTH);
        const cJSON *l = at(fake_json(x), "choices.0.prompt_logprobs");
        assert_int_equal(cJSON_GetArraySize(l), 3);
        assert_true(cJSON_IsNull(at(l, "0")));
        assert_int_equal(int_at(l, "1.113.rank"), 7);
        assert_true(number_at(l, "1.113.logprob") == -3);
        assert_string_equal(string_at(l, "1.97.decoded_token"), "a");
        assert_int_equal(int_at(l, "1.98.rank"), 2);
        assert_int_equal(cJSON_GetArraySize(at(l, "1")), 3);
        assert_int_equal(cJSON_GetArraySize(at(l, "2")), 2);
        assert_null(at(fake_json(x), "choices.1.prompt_logprobs"));
}

static void a_chat_says_them_where_vllm_does_too(void **state)
{
        struct http_exchange *x = ask(api_chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
                                                "\"prompt_logprobs\":0,\"return_token_ids\":true}");

        fake_prompt(0, 'u', 0, 0);
        fake_prompt(0, 's', 4, -1);
        fake_end(0, DYN_FINISH_LENGTH);
        assert_int_equal(int_at(fake_json(x), "prompt_logprobs.1.115.rank"), 4);
        assert_int_equal(int_at(fake_json(x), "choices.0.prompt_logprobs.1.115.rank"), 4);
        assert_int_equal(int_at(fake_json(x), "prompt_token_ids.0"), 'u');
        assert_int_equal(int_at(fake_json(x), "choices.0.prompt_token_ids.0"), 'u');
}

#define WITH_FAKES(test) cmocka_unit_test_setup_teardown(test, fakes_set_up, fakes_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_FAKES(completions_have_four_columns),
                WITH_FAKES(offsets_count_characters),
                WITH_FAKES(tokens_can_be_shown_as_ids),
                WITH_FAKES(an_echo_puts_the_prompt_before_the_answer),
                WITH_FAKES(a_chat_lists_tokens_with_bytes_and_alternatives),
                WITH_FAKES(prompt_logprobs_are_maps_by_id_with_the_token_itself),
                WITH_FAKES(a_chat_says_them_where_vllm_does_too),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
