// How statuses become HTTP, and that whatever bytes an answer holds, it is JSON.
#include "api_fakes.h"

#include <math.h>
#include <string.h>

#include "api/reply.h"
#include "api/writer.h"

static int http_of(enum problem_about about, enum dyn_status status)
{
        struct problem p = {.about = about, .err = {.status = status}};

        return reply_status(&p);
}

static void each_status_has_its_http_status(void **state)
{
        assert_int_equal(http_of(ABOUT_REQUEST, DYN_INVALID), 400);
        assert_int_equal(http_of(ABOUT_REQUEST, DYN_UNSUPPORTED), 400);
        assert_int_equal(http_of(ABOUT_REQUEST, DYN_NOT_FOUND), 404);
        assert_int_equal(http_of(ABOUT_REQUEST, DYN_CONFLICT), 409);
        assert_int_equal(http_of(ABOUT_REQUEST, DYN_BUSY), 429);
        assert_int_equal(http_of(ABOUT_SERVER, DYN_BUSY), 503);
        assert_int_equal(http_of(ABOUT_ADAPTER, DYN_INVALID), 422);
        assert_int_equal(http_of(ABOUT_ADAPTER, DYN_UNSUPPORTED), 422);
        assert_int_equal(http_of(ABOUT_ADAPTER, DYN_FORBIDDEN), 403);
        assert_int_equal(http_of(ABOUT_ADAPTER, DYN_NO_MEMORY), 507);
}

static void an_error_is_openais_object(void **state)
{
        struct http_exchange *x = fake_exchange("");
        struct problem p = {0};

        problem_set(&p, DYN_INVALID, "n", NULL, "expected \"%s\"", "more");
        reply_problem(x, &p);
        assert_int_equal(fake_status(x), 400);
        assert_string_equal(string_at(fake_json(x), "error.message"), "expected \"more\"");
        assert_string_equal(string_at(fake_json(x), "error.type"), "invalid_request_error");
        assert_string_equal(string_at(fake_json(x), "error.param"), "n");
        assert_string_equal(string_at(fake_json(x), "error.code"), "invalid_value");
}

static void a_message_is_one_line_whatever_it_quotes(void **state)
{
        struct http_exchange *x = fake_exchange("");
        struct problem p = {0};

        problem_set(&p, DYN_INVALID, "a\nb", NULL, "unknown field \"a\nb\"");
        reply_problem(x, &p);
        assert_string_equal(string_at(fake_json(x), "error.message"), "unknown field \"a?b\"");
        assert_string_equal(string_at(fake_json(x), "error.param"), "a\nb");
}

static void try_again_comes_with_a_time(void **state)
{
        struct http_exchange *full = fake_exchange(""), *starting = fake_exchange("");
        struct problem p = {0};

        problem_set(&p, DYN_BUSY, NULL, NULL, "full");
        reply_problem(full, &p);
        assert_int_equal(fake_status(full), 429);
        assert_non_null(fake_header(full, "Retry-After"));
        assert_true(cJSON_IsNull(at(fake_json(full), "error.param")));
        p.about = ABOUT_SERVER;
        reply_problem(starting, &p);
        assert_int_equal(fake_status(starting), 503);
        assert_non_null(fake_header(starting, "Retry-After"));
}

static void any_bytes_become_one_line_of_json(void **state)
{
        char bytes[256];
        struct buf out = {0};
        struct writer w = {&out};
        struct dyn_error err;
        cJSON *parsed;

        for (int i = 0; i < 256; i++)
                bytes[i] = (char)(255 - i);
        writer_open(&w, '[');
        writer_bytes(&w, bytes, 255); // all but NUL, which json_parse refuses as \u0000
        writer_bytes(&w, "\xe2\x82", 2);
        writer_bytes(&w, "a\xe2\x82\xac", 4);
        writer_string(&w, "\"\\\n\t\x01\x7f");
        writer_string(&w, NULL);
        writer_close(&w, ']');
        assert_null(strchr(out.data, '\n'));
        assert_int_equal(json_parse(out.data, out.len, &parsed, &err), DYN_OK);
        assert_string_equal(string_at(parsed, "1"), "\xef\xbf\xbd");
        assert_string_equal(string_at(parsed, "2"), "a\xe2\x82\xac");
        assert_string_equal(string_at(parsed, "3"), "\"\\\n\t\x01\x7f");
        assert_true(cJSON_IsNull(at(parsed, "4")));
        cJSON_Delete(parsed);
        buf_free(&out);
}

static void floats_read_back_to_the_same_bits(void **state)
{
        static const float values[] = {-0.1F, -1.17549435e-38F, -12.3456793F, 0, -0.000123456789F};
        struct buf out = {0};
        struct writer w = {&out};
        cJSON *parsed;

        writer_open(&w, '[');
        for (int i = 0; i < 5; i++)
                writer_float(&w, values[i]);
        writer_float(&w, -INFINITY);
        writer_close(&w, ']');
        parsed = cJSON_Parse(out.data);
        for (int i = 0; i < 5; i++)
                assert_true((float)cJSON_GetArrayItem(parsed, i)->valuedouble == values[i]);
        assert_true(cJSON_GetArrayItem(parsed, 5)->valuedouble == -9999);
        cJSON_Delete(parsed);
        buf_free(&out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_status_has_its_http_status),
                cmocka_unit_test_setup_teardown(an_error_is_openais_object, fakes_set_up, fakes_tear_down),
                cmocka_unit_test_setup_teardown(
                        a_message_is_one_line_whatever_it_quotes, fakes_set_up, fakes_tear_down),
                cmocka_unit_test_setup_teardown(try_again_comes_with_a_time, fakes_set_up, fakes_tear_down),
                cmocka_unit_test(any_bytes_become_one_line_of_json),
                cmocka_unit_test(floats_read_back_to_the_same_bits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
