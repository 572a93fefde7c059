// Chat templates of real models against jinja2, and what a caller of the renderer may rely on.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/json.h"
#include "template_cases.h"

static char *read_file(const char *folder, const char *name)
{
        char *path = mem_printf("%s%s", folder, name), *text;
        FILE *f = fopen(path, "rb");
        long size = -1;

        if (f != NULL && fseek(f, 0, SEEK_END) == 0)
                size = ftell(f);
        if (size < 0)
                fail_msg("cannot read %s", path);
        rewind(f);
        text = mem_zalloc((size_t)size + 1);
        assert_int_equal(fread(text, 1, (size_t)size, f), size);
        fclose(f);
        mem_free(path);
        return text;
}

static bool conversation(const cJSON *all, const cJSON *row)
{
        const char *file = cJSON_GetStringValue(json_member(row, "template"));
        const char *talk = cJSON_GetStringValue(json_member(row, "messages"));
        int kwargs = (int)json_member(row, "kwargs")->valuedouble;
        struct chat_template_input in = {
                .messages = json_member(json_member(all, "conversations"), talk),
                .tools = cJSON_IsTrue(json_member(row, "tools")) ? json_member(all, "tools") : NULL,
                .kwargs = cJSON_GetArrayItem(json_member(all, "kwargs"), kwargs),
                .add_generation_prompt = cJSON_IsTrue(json_member(row, "add_generation_prompt")),
                .bos_token = "<s>",
                .eos_token = "</s>",
                .now = &template_now,
        };
        char *source = read_file(TEMPLATES, file), *name = mem_printf("%s: %s, variables %d", file, talk, kwargs);
        bool same = template_check(row, name, source, &in);

        mem_free(name);
        mem_free(source);
        return same;
}

static void real_templates_render_as_jinja2_does(void **state)
{
        cJSON *all = template_cases(TEMPLATES "conversations.json");
        const cJSON *row;
        int n = 0, wrong = 0;

        cJSON_ArrayForEach(row, json_member(all, "cases"))
        {
                wrong += !conversation(all, row);
                n++;
        }
        cJSON_Delete(all);
        assert_int_equal(wrong, 0);
        assert_true(n > 300);
}

static struct chat_template_input plain(const cJSON *messages)
{
        return (struct chat_template_input){.messages = messages, .now = &template_now};
}

static void an_exception_of_the_template_is_its_own_words(void **state)
{
        cJSON *none = cJSON_CreateArray();
        struct chat_template_input in = plain(none);
        struct dyn_error err = {0};
        struct buf out = {0};

        assert_int_equal(
                template_render("a{{ raise_exception('Roles must alternate') }}b", &in, &out, &err), DYN_INVALID);
        assert_string_equal(err.text, "Roles must alternate");
        buf_free(&out);
        cJSON_Delete(none);
}

static void a_failed_rendering_leaves_the_output_as_it_was(void **state)
{
        cJSON *none = cJSON_CreateArray();
        struct chat_template_input in = plain(none);
        struct dyn_error err = {0};
        struct buf out = {0};

        buf_puts(&out, "before");
        assert_int_equal(template_render("written{{ 1 + 'a' }}", &in, &out, &err), DYN_INVALID);
        assert_string_equal(out.data, "before");
        assert_int_equal(template_render(" after", &in, &out, &err), DYN_OK);
        assert_string_equal(out.data, "before after");
        buf_free(&out);
        cJSON_Delete(none);
}

static void variables_of_the_request_win_and_tokens_may_be_missing(void **state)
{
        cJSON *none = cJSON_CreateArray(), *kwargs = cJSON_Parse("{\"tools\": 3, \"eos_token\": \"E\", \"own\": [1]}");
        struct chat_template_input in = plain(none);
        struct dyn_error err = {0};
        struct buf out = {0};

        in.kwargs = kwargs;
        in.eos_token = "lost";
        assert_int_equal(
                template_render("{{ tools }}{{ eos_token }}{{ own }}{{ bos_token is defined }}", &in, &out, &err),
                DYN_OK);
        assert_string_equal(out.data, "3E[1]False");
        buf_free(&out);
        cJSON_Delete(kwargs);
        cJSON_Delete(none);
}

static void one_template_serves_many_renderings(void **state)
{
        static const char source[] = "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
                                     "{% endfor %}{{ ns.n }}{{ left is defined }}{% set left = 1 %}";
        struct chat_template *t = NULL;
        struct dyn_error err = {0};

        assert_int_equal(chat_template_compile(&t, source, strlen(source), &err), DYN_OK);
        for (int i = 0; i < 3; i++) {
                cJSON *messages = cJSON_CreateIntArray((const int[3]){1, 2, 3}, i);
                struct chat_template_input in = plain(messages);
                struct buf out = {0};
                char want[16];

                snprintf(want, sizeof want, "%dFalse", i);
                assert_int_equal(chat_template_render(t, &in, &out, &err), DYN_OK);
                assert_string_equal(out.data, want);
                buf_free(&out);
                cJSON_Delete(messages);
        }
        chat_template_destroy(t);
        chat_template_destroy(NULL);
}

static void without_a_given_time_it_is_now(void **state)
{
        cJSON *none = cJSON_CreateArray();
        struct chat_template_input in = plain(none);
        struct dyn_error err = {0};
        struct buf out = {0};

        in.now = NULL;
        assert_int_equal(template_render("{{ strftime_now('%Y') }}", &in, &out, &err), DYN_OK);
        assert_true(atoi(out.data) >= 2024);
        buf_free(&out);
        cJSON_Delete(none);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(real_templates_render_as_jinja2_does),
                cmocka_unit_test(an_exception_of_the_template_is_its_own_words),
                cmocka_unit_test(a_failed_rendering_leaves_the_output_as_it_was),
                cmocka_unit_test(variables_of_the_request_win_and_tokens_may_be_missing),
                cmocka_unit_test(one_template_serves_many_renderings),
                cmocka_unit_test(without_a_given_time_it_is_now),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
