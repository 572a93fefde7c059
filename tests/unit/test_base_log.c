// Log lines: one line each whatever the message holds, valid JSON where JSON was asked for.
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/json.h"

static char text[8000];

// What one log_write puts on stderr.
static const char *logged(enum log_level level, const char *message)
{
        FILE *file = tmpfile();
        int kept = dup(STDERR_FILENO);

        assert_non_null(file);
        fflush(stderr);
        dup2(fileno(file), STDERR_FILENO);
        log_write(level, "%s", message);
        fflush(stderr);
        dup2(kept, STDERR_FILENO);
        close(kept);
        rewind(file);
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
        return text;
}

static void a_message_cannot_forge_a_second_line(void **state)
{
        log_configure(LOG_INFO, false);
        const char *line = logged(LOG_WARN, "a\r\nb\t\x1b[31m\x7f");

        assert_non_null(strstr(line, "Z warn  a\\x0d\\x0ab\\x09\\x1b[31m\\x7f\n"));
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        assert_non_null(strstr(logged(LOG_WARN, "\xc3 \xff"), "warn  \\xc3 \\xff\n"));
        assert_non_null(strstr(logged(LOG_WARN, "say \"no\" \\ \xc3\xa9"), "say \"no\" \\ \xc3\xa9\n"));
}

static void json_lines_are_json_and_carry_the_message(void **state)
{
        const char *message = "say \"no\" \\ \xc3\xa9\n\t\x01";
        cJSON *line;

        log_configure(LOG_INFO, true);
        logged(LOG_ERROR, message);
        assert_int_equal(json_parse(text, strlen(text), &line, NULL), DYN_OK);
        assert_string_equal(json_member(line, "message")->valuestring, message);
        assert_string_equal(json_member(line, "level")->valuestring, "error");
        cJSON_Delete(line);
        logged(LOG_ERROR, "\xff");
        assert_int_equal(json_parse(text, strlen(text), &line, NULL), DYN_OK);
        assert_string_equal(json_member(line, "message")->valuestring, "\xef\xbf\xbd");
        assert_int_equal(strlen(json_member(line, "time")->valuestring), strlen("2026-01-01T00:00:00.000Z"));
        cJSON_Delete(line);
}

static void a_message_of_any_length_stays_one_whole_line(void **state)
{
        char message[4000];

        for (int json = 0; json < 2; json++) {
                log_configure(LOG_INFO, json);
                for (size_t len = 1000; len < sizeof message - 1; len += 7) {
                        cJSON *line = NULL;

                        for (size_t i = 0; i < len; i++)
                                message[i] = len % 3 == 0 ? '"' : len % 3 == 1 ? '\n' : "\xe2\x82\xac"[i % 3];
                        message[len] = 0;
                        logged(LOG_INFO, message);
                        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
                        if (json)
                                assert_int_equal(json_parse(text, strlen(text), &line, NULL), DYN_OK);
                        cJSON_Delete(line);
                }
        }
}

static void lines_below_the_level_are_not_written(void **state)
{
        log_configure(LOG_WARN, false);
        assert_false(log_enabled(LOG_INFO));
        assert_string_equal(logged(LOG_INFO, "x"), "");
        assert_string_not_equal(logged(LOG_WARN, "x"), "");
        assert_string_not_equal(logged(LOG_ERROR, "x"), "");
        log_configure(LOG_DEBUG, false);
        assert_string_not_equal(logged(LOG_DEBUG, "x"), "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_message_cannot_forge_a_second_line),
                cmocka_unit_test(json_lines_are_json_and_carry_the_message),
                cmocka_unit_test(a_message_of_any_length_stays_one_whole_line),
                cmocka_unit_test(lines_below_the_level_are_not_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
