// Errors: the text is whole or visibly cut, the status always survives.
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "dynlora/status.h"

static void an_error_keeps_its_status_and_text(void **state)
{
        struct dyn_error err;

        assert_int_equal(dyn_fail(&err, DYN_CONFLICT, "%s: %d", "name", 7), DYN_CONFLICT);
        assert_int_equal(err.status, DYN_CONFLICT);
        assert_string_equal(err.text, "name: 7");
        assert_int_equal(dyn_fail(NULL, DYN_BUSY, "nobody reads this"), DYN_BUSY);
        assert_int_equal(dyn_fail_in(&err, "file"), DYN_CONFLICT);
        assert_int_equal(dyn_fail_in(&err, "folder"), DYN_CONFLICT);
        assert_string_equal(err.text, "folder: file: name: 7");
}

static void a_text_that_does_not_fit_is_cut_with_dots(void **state)
{
        char prefix[600];
        struct dyn_error err;

        for (size_t len = 1; len < sizeof prefix; len++) {
                memset(prefix, 'p', len);
                prefix[len] = 0;
                dyn_fail(&err, DYN_INVALID, "end");
                dyn_fail_in(&err, prefix);
                size_t whole = len + strlen(": end");

                if (whole < sizeof err.text) {
                        assert_int_equal(strlen(err.text), whole);
                        assert_string_equal(err.text + len, ": end");
                } else {
                        assert_int_equal(strlen(err.text), sizeof err.text - 1);
                        assert_string_equal(err.text + sizeof err.text - 4, "...");
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_error_keeps_its_status_and_text),
                cmocka_unit_test(a_text_that_does_not_fit_is_cut_with_dots),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
