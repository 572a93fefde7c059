// The table of request fields: what is taken, what is refused, and by what name.
#include "harness.h"

#include <string.h>

#include "api/fields.h"

static struct params params;
static struct problem problem;
static cJSON *body;

static enum dyn_status read(enum fields_of of, const char *text)
{
        cJSON_Delete(body);
        problem = (struct problem){0};
        return fields_parse(text, strlen(text), of, &body, &params, &problem);
}

static void refused(enum fields_of of, const char *text, enum dyn_status status, const char *param, const char *says)
{
        assert_int_equal(read(of, text), status);
        assert_string_equal(problem.param, param);
        if (strstr(problem.err.text, says) == NULL)
                fail_msg("expected \"%s\" in: %s", says, problem.err.text);
}

static void defaults_are_openais(void **state)
{
        assert_int_equal(read(OF_COMPLETIONS, "{}"), DYN_OK);
        assert_true(params.temperature == 1 && params.top_p == 1 && params.repetition_penalty == 1 && params.n == 1);
        assert_true(params.max_tokens == -1 && params.n_logprobs == -1 && params.n_prompt_logprobs == -1);
        assert_true(params.skip_special_tokens && params.add_generation_prompt && params.add_special_tokens);
        assert_int_equal(read(OF_CHAT, "{}"), DYN_OK);
        assert_false(params.add_special_tokens);
}

static void an_unknown_field_is_refused_by_its_name(void **state)
{
        refused(OF_COMPLETIONS, "{\"prompt\":\"a\",\"temprature\":0}", DYN_INVALID, "temprature", "unknown field");
        assert_string_equal(problem.code, "unknown_parameter");
        refused(OF_CHAT, "{\"prompt\":\"a\"}", DYN_INVALID, "prompt", "unknown field");
        refused(OF_REGISTER, "{\"name\":\"a\",\"pinned\":true}", DYN_INVALID, "pinned", "unknown field");
}

static void a_wrong_type_or_range_is_refused_by_its_name(void **state)
{
        refused(OF_CHAT, "{\"temperature\":\"hot\"}", DYN_INVALID, "temperature", "found \"hot\"");
        refused(OF_CHAT, "{\"temperature\":2.5}", DYN_INVALID, "temperature", "from 0 to 2");
        refused(OF_CHAT, "{\"n\":0}", DYN_INVALID, "n", "found 0");
        refused(OF_CHAT, "{\"n\":1.5}", DYN_INVALID, "n", "whole number");
        refused(OF_CHAT, "{\"stream\":1}", DYN_INVALID, "stream", "true or false");
        refused(OF_CHAT, "{\"model\":1}", DYN_INVALID, "model", "a string");
        refused(OF_COMPLETIONS, "{\"logprobs\":21}", DYN_INVALID, "logprobs", "found 21");
        refused(OF_COMPLETIONS, "{\"logprobs\":true}", DYN_INVALID, "logprobs", "found true");
        refused(OF_CHAT, "{\"logprobs\":1}", DYN_INVALID, "logprobs", "found 1");
        refused(OF_CHAT, "{\"seed\":1.5}", DYN_INVALID, "seed", "whole number");
        refused(OF_CHAT, "{\"max_tokens\":0}", DYN_INVALID, "max_tokens", "found 0");
}

static void null_is_absence_wherever_a_field_is_known(void **state)
{
        assert_int_equal(read(OF_CHAT, "{\"temperature\":null,\"tools\":null,\"n\":null,\"stop\":null,\"seed\":null,"
                                       "\"stream_options\":null,\"response_format\":null,\"model\":null}"),
                DYN_OK);
        assert_true(params.temperature == 1 && params.n == 1);
        assert_true(params.stop == NULL && params.seed == NULL && params.model == NULL && params.adapter == NULL);
        assert_int_equal(read(OF_CHAT, "{\"adapter\":null}"), DYN_OK);
        assert_true(cJSON_IsNull(params.adapter));
}

static void what_is_not_supported_is_refused_unless_it_asks_for_nothing(void **state)
{
        assert_int_equal(read(OF_CHAT, "{\"tools\":[],\"response_format\":{\"type\":\"text\"},\"user\":\"me\","
                                       "\"metadata\":{\"a\":1},\"store\":true,\"tool_choice\":\"none\"}"),
                DYN_OK);
        assert_int_equal(read(OF_COMPLETIONS, "{\"best_of\":1,\"suffix\":\"\"}"), DYN_OK);
        refused(OF_COMPLETIONS, "{\"best_of\":2}", DYN_UNSUPPORTED, "best_of", "not supported");
        refused(OF_COMPLETIONS, "{\"suffix\":\"end\"}", DYN_UNSUPPORTED, "suffix", "not supported");
        refused(OF_CHAT, "{\"tools\":[{\"type\":\"function\"}]}", DYN_UNSUPPORTED, "tools", "not supported");
        refused(OF_CHAT, "{\"response_format\":{\"type\":\"json_object\"}}", DYN_UNSUPPORTED, "response_format",
                "not supported");
}

static void fields_that_belong_together_are_checked_together(void **state)
{
        refused(OF_CHAT, "{\"top_logprobs\":2}", DYN_INVALID, "top_logprobs", "\"logprobs\" is true");
        assert_int_equal(read(OF_CHAT, "{\"logprobs\":true,\"top_logprobs\":2}"), DYN_OK);
        assert_int_equal(params.n_logprobs, 2);
        assert_int_equal(read(OF_CHAT, "{\"logprobs\":true}"), DYN_OK);
        assert_int_equal(params.n_logprobs, 0);
        assert_int_equal(read(OF_CHAT, "{\"logprobs\":false,\"top_logprobs\":0}"), DYN_OK);
        assert_int_equal(params.n_logprobs, -1);
        refused(OF_CHAT, "{\"stream_options\":{\"include_usage\":true}}", DYN_INVALID, "stream_options", "\"stream\"");
        refused(OF_CHAT, "{\"stream\":true,\"stream_options\":{\"more\":true}}", DYN_INVALID, "stream_options",
                "\"more\"");
        assert_int_equal(read(OF_CHAT, "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}"), DYN_OK);
        assert_true(params.include_usage);
        refused(OF_CHAT, "{\"stream\":true,\"prompt_logprobs\":1}", DYN_INVALID, "prompt_logprobs", "\"stream\"");
        refused(OF_CHAT, "{\"max_tokens\":3,\"min_tokens\":4}", DYN_INVALID, "min_tokens", "at most");
        assert_int_equal(read(OF_CHAT, "{\"max_tokens\":3,\"max_completion_tokens\":9,\"min_tokens\":4}"), DYN_OK);
        assert_int_equal(params.max_tokens, 9);
}

static void a_body_that_is_no_object_is_refused(void **state)
{
        refused(OF_CHAT, "[1]", DYN_INVALID, "", "JSON object");
        refused(OF_CHAT, "{\"n\":1", DYN_INVALID, "", "the body");
        refused(OF_CHAT, "", DYN_INVALID, "", "the body");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults_are_openais),
                cmocka_unit_test(an_unknown_field_is_refused_by_its_name),
                cmocka_unit_test(a_wrong_type_or_range_is_refused_by_its_name),
                cmocka_unit_test(null_is_absence_wherever_a_field_is_known),
                cmocka_unit_test(what_is_not_supported_is_refused_unless_it_asks_for_nothing),
                cmocka_unit_test(fields_that_belong_together_are_checked_together),
                cmocka_unit_test(a_body_that_is_no_object_is_refused),
        };
        int failed = cmocka_run_group_tests(tests, NULL, NULL);

        cJSON_Delete(body);
        return failed;
}
