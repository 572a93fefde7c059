// JSON from outside: what is accepted, what is refused and with which words, and that size alone costs no more than
// size.
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/json.h"
#include "scratch.h"

static cJSON *parse(const char *text)
{
        struct dyn_error err;
        cJSON *tree;

        if (json_parse(text, strlen(text), &tree, &err) != DYN_OK)
                fail_msg("%s: %s", text, err.text);
        return tree;
}

// The text is refused and the error says all of this, in one line.
static void refused(const char *text, size_t len, const char *words)
{
        struct dyn_error err = {0};
        cJSON *tree = (cJSON *)&err;

        if (json_parse(text, len, &tree, &err) != DYN_INVALID)
                fail_msg("accepted: %s", text);
        assert_null(tree);
        if (strstr(err.text, words) == NULL || strchr(err.text, '\n') != NULL)
                fail_msg("%s: expected \"%s\" in \"%s\"", text, words, err.text);
}

static void values_come_through_as_they_were_written(void **state)
{
        cJSON *t = parse(
                " {\"a\" : [1, -2.5e3, true, false, null, \"x\\u00e9\\ud83d\\ude00\\n\"], \"\": {}, \"b\":[]}\n\t ");
        const cJSON *a = json_member(t, "a");

        assert_int_equal(cJSON_GetArraySize(a), 6);
        assert_true(cJSON_GetArrayItem(a, 0)->valuedouble == 1);
        assert_true(cJSON_GetArrayItem(a, 1)->valuedouble == -2500);
        assert_true(cJSON_IsTrue(cJSON_GetArrayItem(a, 2)));
        assert_true(cJSON_IsFalse(cJSON_GetArrayItem(a, 3)));
        assert_true(cJSON_IsNull(cJSON_GetArrayItem(a, 4)));
        assert_string_equal(cJSON_GetArrayItem(a, 5)->valuestring, "x\xc3\xa9\xf0\x9f\x98\x80\n");
        assert_non_null(json_member(t, ""));
        assert_null(json_member(t, "A"));
        cJSON_Delete(t);
        for (const char *const *s =
                        (const char *const[]){"0", "-0", "\"\"", "[]", "true", "1E+2", "\"\xed\x9f\xbf\"", NULL};
                *s != NULL; s++)
                cJSON_Delete(parse(*s));
}

static void what_is_not_json_is_refused(void **state)
{
        static const char *const texts[] = {"", " ", "{", "[1,2", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "'a'",
                "01", "1.", ".5", "+1", "-", "1e", "0x1", "NaN", "Infinity", "tru", "True", "nul", "1 2", "{} x",
                "[1]]", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "\"\t\"", "\xef\xbb\xbf{}",
                "/* */ 1", "[1 2]", "{\"a\":}", "{\"a\"}", "{1:2}", "[\v1]", "\xc2\xa0 1"};

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                refused(texts[i], strlen(texts[i]), "not JSON");
        refused("1\0", 2, "byte 0x00");
        refused("\"a\0b\"", 5, "byte 0x00");
        refused("\"\\\0\"", 4, "byte 0x00");
}

static void strings_are_unicode_without_nul_or_lone_surrogates(void **state)
{
        static const char *const texts[] = {"\"\x80\"", "\"\xc0\xaf\"", "\"\xc1\x81\"", "\"\xe0\x9f\xbf\"",
                "\"\xed\xa0\x80\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf4\x90\x80\x80\"", "\"\xf5\x80\x80\x80\"",
                "\"\xe2\x82\"", "\"\xc3\"", "{\"\xff\":1}"};

        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                refused(texts[i], strlen(texts[i]), "expected UTF-8");
        refused("\"\\u0000\"", 8, "no \\u0000");
        refused("\"\\ud83d\"", 8, "surrogates in pairs");
        refused("\"\\ude00\"", 8, "surrogates in pairs");
        refused("\"\\ud83d\\u0041\"", 14, "surrogates in pairs");
        refused("\"\\ud83dxxxxxx\"", 14, "surrogates in pairs");
        refused("\"\\ud83d\\nde00\"", 14, "surrogates in pairs");
}

static void an_error_names_line_and_column(void **state)
{
        refused("{\"a\": 1,\n \"b\": ?}", 17, "line 2, column 7: expected a value, found '?'");
        refused("[1\n", 3, "line 2, column 1: expected ',' or ']', found the end");
}

static void numbers_beyond_a_double_are_refused(void **state)
{
        char digits[100];

        refused("1e999", 5, "too large");
        refused("[-1e999]", 8, "too large");
        memset(digits, '1', sizeof digits);
        refused(digits, sizeof digits, "63 characters");
        cJSON *t = parse("1e-999");
        assert_true(t->valuedouble == 0);
        cJSON_Delete(t);
}

static void deep_nesting_is_refused_and_64_levels_are_not(void **state)
{
        char text[200000];

        memset(text, '[', 64);
        memset(text + 64, ']', 64);
        text[128] = 0;
        cJSON_Delete(parse(text));
        memset(text, '[', 65);
        memset(text + 65, ']', 65);
        refused(text, 130, "nested less deeply");
        memset(text, '[', sizeof text);
        refused(text, sizeof text, "nested less deeply");
        strcpy(text, "[[]");
        for (int i = 0; i < 100; i++)
                strcat(text, ",{}");
        strcat(text, "]");
        cJSON_Delete(parse(text)); // many side by side are not deep
}

static void a_key_that_stands_twice_is_refused(void **state)
{
        struct buf text = {0};

        refused("{\"a\":1,\"b\":2,\"a\":3}", 19, "\"a\" stands twice");
        refused("[{\"x\":{\"\\u0061\":1,\"a\":3}}]", 26, "\"a\" stands twice");
        cJSON_Delete(parse("{\"a\":{\"a\":1},\"A\":[{\"a\":1},{\"a\":1}]}"));
        buf_puts(&text, "{");
        for (int i = 0; i < 100; i++)
                buf_printf(&text, "\"k%d\":0,", i);
        buf_puts(&text, "\"k57\":1}");
        refused(text.data, text.len, "\"k57\" stands twice");
        buf_free(&text);
}

static void a_large_vocabulary_takes_a_moment(void **state)
{
        struct buf text = {0};
        int64_t x = -1;

        buf_puts(&text, "{\"vocab\":{");
        for (int i = 0; i < 150000; i++)
                buf_printf(&text, "%s\"token %d\":%d", i ? "," : "", i, i);
        buf_puts(&text, "}}");
        int64_t start = clock_ns();
        cJSON *t = parse(text.data);

        assert_true(clock_ns() - start < 5000000000);
        assert_int_equal(json_get_int(json_member(t, "vocab"), "token 149999", 0, INT64_MAX, &x, NULL), DYN_OK);
        assert_int_equal(x, 149999);
        cJSON_Delete(t);
        buf_free(&text);
}

static void a_text_cut_anywhere_is_refused_cleanly(void **state)
{
        const char *text = "{\"a\\u00e9\":[1.5e-3,{\"b\":null},\"\xf0\x9f\x98\x80\\ud83d\\ude00\"],\"c\":true}";

        for (size_t len = 0; len < strlen(text); len++) {
                char *exact = malloc(len ? len : 1); // so that a read past the end is seen

                memcpy(exact, text, len);
                refused(exact, len, "not JSON");
                free(exact);
        }
        cJSON_Delete(parse(text));
}

static void getters_leave_absent_and_null_members_alone(void **state)
{
        cJSON *t = parse("{\"n\":null}");
        int64_t i = 7;
        double d = 7;
        bool b = true;
        const char *s = "seven";

        for (const char *const *k = (const char *const[]){"n", "none", NULL}; *k != NULL; k++) {
                assert_int_equal(json_get_int(t, *k, 0, 1, &i, NULL), DYN_OK);
                assert_int_equal(json_get_number(t, *k, 0, 1, &d, NULL), DYN_OK);
                assert_int_equal(json_get_bool(t, *k, &b, NULL), DYN_OK);
                assert_int_equal(json_get_string(t, *k, &s, NULL), DYN_OK);
        }
        assert_true(i == 7 && d == 7 && b && strcmp(s, "seven") == 0);
        cJSON_Delete(t);
}

static void a_getter_says_field_range_and_what_it_found(void **state)
{
        cJSON *t = parse(
                "{\"hot\":\"hot\",\"half\":0.5,\"big\":9007199254740994,\"huge\":1e300,\"five\":5,\"list\":[1,2]}");
        struct dyn_error err;
        int64_t i = 0;
        double d = 0;
        bool b = false;
        const char *s = NULL;

#define SAYS(call, words)                                                                                              \
        assert_int_equal(call, DYN_INVALID);                                                                           \
        assert_string_equal(err.text, words)
        SAYS(json_get_number(t, "hot", 0, 2, &d, &err), "\"hot\": expected a number from 0 to 2, found \"hot\"");
        SAYS(json_get_number(t, "five", 0, 2, &d, &err), "\"five\": expected a number from 0 to 2, found 5");
        SAYS(json_get_number(t, "list", 0, INFINITY, &d, &err),
                "\"list\": expected a number of at least 0, found an array of 2");
        SAYS(json_get_int(t, "half", 0, 9, &i, &err), "\"half\": expected a whole number from 0 to 9, found 0.5");
        SAYS(json_get_int(t, "five", 6, INT64_MAX, &i, &err),
                "\"five\": expected a whole number of at least 6, found 5");
        SAYS(json_get_int(t, "big", INT64_MIN, INT64_MAX, &i, &err),
                "\"big\": expected a whole number, found 9007199254740994");
        SAYS(json_get_int(t, "huge", INT64_MIN, INT64_MAX, &i, &err),
                "\"huge\": expected a whole number, found 1.0000000000000001e+300");
        SAYS(json_get_bool(t, "five", &b, &err), "\"five\": expected true or false, found 5");
        SAYS(json_get_string(t, "five", &s, &err), "\"five\": expected a string, found 5");
        assert_true(i == 0 && d == 0 && !b && s == NULL);
        assert_int_equal(json_get_int(t, "five", 5, 5, &i, &err), DYN_OK);
        assert_int_equal(json_get_number(t, "five", 5, 5, &d, &err), DYN_OK);
        assert_true(i == 5 && d == 5);
        cJSON_Delete(t);
}

static void a_long_string_is_described_by_its_whole_first_characters(void **state)
{
        char text[300], out[200];

        text[0] = 'a';
        for (int i = 0; i < 100; i++)
                memcpy(text + 1 + 2 * i, "\xc3\xa9", 3);
        cJSON *s = cJSON_CreateString(text);

        assert_string_equal(json_describe(NULL, out, sizeof out), "nothing");
        json_describe(s, out, sizeof out);
        assert_int_equal(strlen(out), 1 + 59 + 3 + 1);
        assert_memory_equal(out + 58, "\xc3\xa9...\"", 6);
        json_describe(s, out, 20);
        assert_true(strlen(out) < 20 && out[strlen(out) - 1] == '"');
        cJSON_Delete(s);
}

static void a_file_is_named_in_its_errors(void **state)
{
        struct dyn_error err;
        cJSON *t;

        assert_int_equal(json_parse_file(scratch_write("a.json", "{\"a\":1}", 7), 100, &t, &err), DYN_OK);
        assert_non_null(json_member(t, "a"));
        cJSON_Delete(t);
        assert_int_equal(json_parse_file(scratch_write("b.json", "{", 1), 100, &t, &err), DYN_INVALID);
        assert_non_null(strstr(err.text, "b.json: not JSON: line 1, column 2"));
        assert_int_equal(json_parse_file(scratch_path("a.json"), 6, &t, &err), DYN_INVALID);
        assert_non_null(strstr(err.text, "a.json: expected at most 6 bytes, found 7"));
        assert_int_equal(json_parse_file(scratch_path("none.json"), 100, &t, &err), DYN_NOT_FOUND);
        assert_int_equal(json_parse_file(scratch_path("b.json"), 100, &t, NULL), DYN_INVALID);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_come_through_as_they_were_written),
                cmocka_unit_test(what_is_not_json_is_refused),
                cmocka_unit_test(strings_are_unicode_without_nul_or_lone_surrogates),
                cmocka_unit_test(an_error_names_line_and_column),
                cmocka_unit_test(numbers_beyond_a_double_are_refused),
                cmocka_unit_test(deep_nesting_is_refused_and_64_levels_are_not),
                cmocka_unit_test(a_key_that_stands_twice_is_refused),
                cmocka_unit_test(a_large_vocabulary_takes_a_moment),
                cmocka_unit_test(a_text_cut_anywhere_is_refused_cleanly),
                cmocka_unit_test(getters_leave_absent_and_null_members_alone),
                cmocka_unit_test(a_getter_says_field_range_and_what_it_found),
                cmocka_unit_test(a_long_string_is_described_by_its_whole_first_characters),
                cmocka_unit_test(a_file_is_named_in_its_errors),
        };

        return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
