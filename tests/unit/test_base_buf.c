// The growable run of bytes: always a string, whatever was done to it.
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

static void appended_bytes_stay_in_order_and_end_with_nul(void **state)
{
        struct buf b = {0};
        char expected[5000] = "";

        for (int i = 0; i < 1000; i++) {
                char c[2] = {(char)('a' + i % 26), 0};

                strcat(expected, c);
                strcat(expected, "xy");
                buf_putc(&b, c[0]);
                buf_puts(&b, "xy");
                assert_int_equal(b.len, strlen(expected));
                assert_string_equal(b.data, expected);
        }
        buf_free(&b);
        assert_null(b.data);
        buf_free(&b);
}

static void empty_appends_leave_an_empty_string(void **state)
{
        struct buf b = {0};

        buf_append(&b, NULL, 0);
        assert_string_equal(b.data, "");
        buf_puts(&b, "");
        buf_consume(&b, 0);
        buf_clear(&b);
        assert_int_equal(b.len, 0);
        assert_string_equal(b.data, "");
        buf_free(&b);
        buf_clear(&b);
        assert_null(b.data);
}

static void printed_text_is_never_cut(void **state)
{
        struct buf b = {0};
        char long_text[3000];

        memset(long_text, 'z', sizeof long_text);
        long_text[sizeof long_text - 1] = 0;
        for (int n = 0; n < 200; n++) { // every distance from the end of the room there is
                char expected[8];

                buf_free(&b);
                buf_printf(&b, "%.*s", n, long_text);
                buf_printf(&b, "%d|", n);
                snprintf(expected, sizeof expected, "%d|", n);
                assert_int_equal(strspn(b.data, "z"), n);
                assert_string_equal(b.data + n, expected);
                assert_int_equal(b.len, strlen(b.data));
        }
        buf_printf(&b, "%s", long_text);
        assert_string_equal(strchr(b.data, '|') + 1, long_text);
        buf_free(&b);
}

static void consuming_drops_the_front_alone(void **state)
{
        struct buf b = {0};

        buf_append(&b, "ab\0cd", 5);
        buf_consume(&b, 3);
        assert_int_equal(b.len, 2);
        assert_string_equal(b.data, "cd");
        buf_consume(&b, 2);
        assert_int_equal(b.len, 0);
        assert_string_equal(b.data, "");
        buf_free(&b);
}

static void reserved_room_can_be_written_to_its_end(void **state)
{
        struct buf b = {0};

        for (size_t n = 1; n < 5000; n = n * 3 + 1) {
                memset(buf_reserve(&b, n), 'r', n);
                b.len += n;
                buf_putc(&b, '.');
        }
        assert_int_equal(b.data[b.len], 0);
        assert_int_equal(strlen(b.data), b.len);
        buf_free(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(appended_bytes_stay_in_order_and_end_with_nul),
                cmocka_unit_test(empty_appends_leave_an_empty_string),
                cmocka_unit_test(printed_text_is_never_cut),
                cmocka_unit_test(consuming_drops_the_front_alone),
                cmocka_unit_test(reserved_room_can_be_written_to_its_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
