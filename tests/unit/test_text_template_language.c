// The template language, rule by rule, against jinja2. With the path of a file that `make.py random` wrote, that file
// is checked instead.
#include "harness.h"

#include <stdio.h>

#include "io/json.h"
#include "template_cases.h"

static const char *path = TEMPLATES "language.json";

static void every_template_means_what_jinja2_means(void **state)
{
        cJSON *all = template_cases(path);
        struct chat_template_input in = {
                .messages = json_member(all, "messages"),
                .kwargs = json_member(all, "variables"),
                .add_generation_prompt = true,
                .bos_token = "<s>",
                .eos_token = "</s>",
                .now = &template_now,
        };
        const cJSON *row;
        int n = 0, wrong = 0;

        cJSON_ArrayForEach(row, json_member(all, "cases"))
        {
                const char *source = cJSON_GetStringValue(json_member(row, "template"));

                wrong += !template_check(row, source, source, &in);
                n++;
        }
        cJSON_Delete(all);
        printf("%d templates, %d of them wrong\n", n, wrong);
        assert_true(n > 100);
        assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(every_template_means_what_jinja2_means)};

        if (argc > 1)
                path = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
