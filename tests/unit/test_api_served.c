// Which adapter answers: the rules of "model" and "adapter".
#include "api_fakes.h"

#include <string.h>

#include "api/served.h"

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
        refuses("{\"adapter\":[{\"name\":\"sql\",\"weight\":1}]}", DYN_UNSUPPORTED, "adapter", NULL);
        refuses("{\"adapter\":7}", DYN_INVALID, "adapter", NULL);
        refuses("{\"adapter\":{\"name\":\"sql\"}}", DYN_INVALID, "adapter", NULL);
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
