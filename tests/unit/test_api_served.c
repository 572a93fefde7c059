// Which adapter answers: the rules of "model" and "adapter".
#include "api_fakes.h"

#include <string.h>

#include "api/served.h"
#include "base/alloc.h"

static struct adapter_version *version;
static struct problem problem;

static enum dyn_status choose(const char *text)
{
        struct params params;
        cJSON *body;

        problem = (struct problem){0};
        assert_int_equal(fields_parse(text, strlen(text), OF_CHAT, &body, &params, &problem), DYN_OK);
        enum dyn_status st = served_by(NULL, "base-model", &params, &version, &problem);
        cJSON_Delete(body);
        return st;
}

static void serves(const char *body, const char *adapter)
{
        if (choose(body) != DYN_OK)
                fail_msg("%s: %s", body, problem.err.text);
        if (adapter == NULL)
                assert_null(version);
        else
                assert_string_equal(version->entry->name, adapter);
}

static void refuses(const char *body, enum dyn_status status, const char *param, const char *code)
{
        assert_int_equal(choose(body), status);
        assert_string_equal(problem.param, param);
        if (code != NULL)
                assert_string_equal(problem.code, code);
}

static void adapter_comes_before_model(void **state)
{
        serves("{}", NULL);
        serves("{\"model\":\"base-model\"}", NULL);
        serves("{\"model\":\"sql\"}", "sql");
        serves("{\"adapter\":\"sql\"}", "sql");
        serves("{\"model\":\"base-model\",\"adapter\":\"sql\"}", "sql");
        serves("{\"model\":\"sql\",\"adapter\":\"sql\"}", "sql");
        serves("{\"adapter\":null}", NULL);
        serves("{\"model\":\"base-model\",\"adapter\":null}", NULL);
        serves("{\"model\":\"sql\",\"adapter\":null}", NULL);
}

static void an_unknown_name_is_never_the_base(void **state)
{
        refuses("{\"model\":\"gpt\"}", DYN_NOT_FOUND, "model", "adapter_not_found");
        refuses("{\"adapter\":\"gpt\"}", DYN_NOT_FOUND, "adapter", "adapter_not_found");
        refuses("{\"model\":\"gpt\",\"adapter\":\"sql\"}", DYN_NOT_FOUND, "model", "adapter_not_found");
        refuses("{\"model\":\"gpt\",\"adapter\":null}", DYN_NOT_FOUND, "model", "adapter_not_found");
        refuses("{\"model\":\"base-model\",\"adapter\":\"gpt\"}", DYN_NOT_FOUND, "adapter", "adapter_not_found");
        refuses("{\"adapter\":\"\"}", DYN_NOT_FOUND, "adapter", "adapter_not_found");
}

static void two_adapters_contradict_each_other(void **state)
{
        refuses("{\"model\":\"sql\",\"adapter\":\"shout\"}", DYN_INVALID, "adapter", NULL);
}

static void a_version_can_be_asked_for(void **state)
{
        serves("{\"adapter\":\"sql@1111\"}", "sql");
        refuses("{\"adapter\":\"sql@2222\"}", DYN_CONFLICT, "adapter", "adapter_version_gone");
        refuses("{\"model\":\"sql@1111\"}", DYN_NOT_FOUND, "model", "adapter_not_found");
}

static void an_adapter_that_loads_is_worth_another_try(void **state)
{
        refuses("{\"adapter\":\"slow\"}", DYN_BUSY, "adapter", "adapter_loading");
        assert_int_equal(problem.about, ABOUT_SERVER);
}

static void what_is_no_name_is_refused(void **state)
{
        refuses("{\"adapter\":7}", DYN_INVALID, "adapter", NULL);
        refuses("{\"adapter\":{\"name\":\"sql\"}}", DYN_INVALID, "adapter", NULL);
}

static void a_list_adds_adapters_up_with_weights(void **state)
{
        serves("{\"adapter\":[{\"name\":\"sql\",\"weight\":0.7},{\"name\":\"shout\",\"weight\":-0.3}]}",
                "sql*0.7+shout*-0.3");
        serves("{\"adapter\":[{\"name\":\"shout\"},{\"name\":\"sql@1111\",\"weight\":0}]}", "shout*1+sql*0");
        serves("{\"adapter\":[{\"name\":\"sql\",\"weight\":0.5}]}", "sql*0.5");
        serves("{\"model\":\"base-model\",\"adapter\":[{\"name\":\"sql\",\"weight\":2}]}", "sql*2");
}

static void a_list_of_one_with_weight_1_is_that_adapter(void **state)
{
        int before = fake_n_blends;

        serves("{\"adapter\":[{\"name\":\"sql\",\"weight\":1}]}", "sql");
        serves("{\"adapter\":[{\"name\":\"sql@1111\",\"weight\":null}]}", "sql");
        serves("{\"model\":\"sql\",\"adapter\":[{\"name\":\"sql\"}]}", "sql");
        assert_int_equal(fake_n_blends, before);
}

static void refuses_list(const char *list, enum dyn_status status, const char *text)
{
        char *body = mem_printf("{\"adapter\":%s}", list);
        int before = fake_n_blends;

        refuses(body, status, "adapter", NULL);
        assert_string_equal(problem.err.text, text);
        assert_int_equal(fake_n_blends, before);
        mem_free(body);
}

static void a_bad_list_is_refused_with_the_place(void **state)
{
#define SQL "{\"name\":\"sql\"}"
        refuses_list("[]", DYN_INVALID, "\"adapter\": expected 1 to 8 adapters, found 0");
        refuses_list("[" SQL "," SQL "," SQL "," SQL "," SQL "," SQL "," SQL "," SQL "," SQL "]", DYN_INVALID,
                "\"adapter\": expected 1 to 8 adapters, found 9");
        refuses_list("[" SQL ",\"shout\"]", DYN_INVALID,
                "\"adapter\"[1]: expected an object with \"name\" and \"weight\", found \"shout\"");
        refuses_list("[" SQL ",{\"weight\":1}]", DYN_INVALID,
                "\"adapter\"[1]: \"name\": expected the name of an adapter, found none");
        refuses_list("[{\"name\":7}]", DYN_INVALID, "\"adapter\"[0]: \"name\": expected a string, found 7");
        refuses_list("[{\"name\":\"sql\",\"weight\":\"1\"}]", DYN_INVALID,
                "\"adapter\"[0]: \"weight\": expected a number from -1e+06 to 1e+06, found \"1\"");
        refuses_list("[{\"name\":\"sql\",\"weight\":-1e7}]", DYN_INVALID,
                "\"adapter\"[0]: \"weight\": expected a number from -1e+06 to 1e+06, found -10000000");
        refuses_list("[{\"name\":\"sql\",\"wait\":1}]", DYN_INVALID, "\"adapter\"[0]: unknown field \"wait\"");
        refuses_list("[" SQL ",{\"name\":\"sql@1111\",\"weight\":0.5}]", DYN_INVALID,
                "\"adapter\"[1]: expected each adapter once, found sql again");
        refuses_list("[" SQL ",{\"name\":\"gpt\"}]", DYN_NOT_FOUND, "no adapter \"gpt\"");
        refuses_list("[" SQL ",{\"name\":\"slow\"}]", DYN_BUSY, "adapter \"slow\" is loading");
        refuses_list("[" SQL ",{\"name\":\"shout@1\"}]", DYN_CONFLICT, "that version is gone");
        refuses("{\"model\":\"sql\",\"adapter\":[{\"name\":\"sql\",\"weight\":0.5}]}", DYN_INVALID, "adapter",
                "adapter_contradicts_model");
        refuses("{\"model\":\"shout\",\"adapter\":[{\"name\":\"sql\"}]}", DYN_INVALID, "adapter",
                "adapter_contradicts_model");
}

static void a_check_makes_no_blend(void **state)
{
        const char *text = "{\"adapter\":[{\"name\":\"sql\",\"weight\":0.7},{\"name\":\"shout\"}],\"messages\":[]}";
        struct params params;
        cJSON *body;
        int before = fake_n_blends;

        assert_int_equal(fields_parse(text, strlen(text), OF_TOKENIZE, &body, &params, &problem), DYN_OK);
        assert_int_equal(served_check(NULL, "base-model", &params, &problem), DYN_OK);
        assert_int_equal(fake_n_blends, before);
        cJSON_Delete(body);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(adapter_comes_before_model),
                cmocka_unit_test(an_unknown_name_is_never_the_base),
                cmocka_unit_test(two_adapters_contradict_each_other),
                cmocka_unit_test(a_version_can_be_asked_for),
                cmocka_unit_test(an_adapter_that_loads_is_worth_another_try),
                cmocka_unit_test(what_is_no_name_is_refused),
                cmocka_unit_test(a_list_adds_adapters_up_with_weights),
                cmocka_unit_test(a_list_of_one_with_weight_1_is_that_adapter),
                cmocka_unit_test(a_bad_list_is_refused_with_the_place),
                cmocka_unit_test(a_check_makes_no_blend),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
