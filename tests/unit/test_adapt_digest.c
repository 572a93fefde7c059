// src/adapt/digest.c. Oracles: the digests that FIPS 180-2 gives for its examples.
#include "harness.h"

#include <string.h>

#include "adapt/digest.h"
#include "base/alloc.h"

#define MILLION 1000000

static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char nothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char million_a[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void bytes_are_hashed_in_the_order_that_they_come_in(void **state)
{
        struct digest *d = digest_begin();
        char hex[65];

        digest_add(d, "a", 1);
        digest_add(d, "bc", 2);
        digest_end(d, hex);
        assert_string_equal(hex, abc);
        digest_end(digest_begin(), hex);
        assert_string_equal(hex, nothing);
}

static void what_is_hashed_behind_the_reading_is_the_same(void **state)
{
        static const size_t steps[] = {1, 64, 999, 4096, 250000, MILLION};
        char hex[65];

        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
                struct digest *d = digest_begin();
                char *data = mem_zalloc(MILLION);

                digest_add(d, "aaa", 3);
                digest_follow(d, data);
                for (size_t at = 0; at < MILLION - 3;) {
                        size_t n = MILLION - 3 - at < steps[s] ? MILLION - 3 - at : steps[s];

                        memset(data + at, 'a', n); // nobody may have looked at it before
                        at += n;
                        digest_reached(d, at);
                }
                digest_end(d, hex);
                assert_string_equal(hex, million_a);
                mem_free(data);
        }
}

static void nothing_may_come_behind(void **state)
{
        struct digest *d = digest_begin();
        char hex[65];

        digest_add(d, "abc", 3);
        digest_follow(d, "");
        digest_end(d, hex);
        assert_string_equal(hex, abc);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_are_hashed_in_the_order_that_they_come_in),
                cmocka_unit_test(what_is_hashed_behind_the_reading_is_the_same),
                cmocka_unit_test(nothing_may_come_behind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
