// Stop strings, against a plain loop that looks at every end of the text.
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "api/stop.h"

static struct stop_set set_of(const char *json)
{
        static cJSON *value; // the set borrows from it
        struct problem p;
        struct stop_set set;

        cJSON_Delete(value);
        value = cJSON_Parse(json);
        assert_int_equal(stop_read(&set, value, &p), DYN_OK);
        return set;
}

// The first position at which some string ends, the longest of those that end there.
static bool plain_find(const struct stop_set *s, const char *text, size_t len, struct stop_match *m)
{
        for (size_t end = 1; end <= len; end++) {
                bool found = false;

                for (int i = 0; i < s->n; i++) {
                        size_t n = s->lens[i];

                        if (n > end || memcmp(text + end - n, s->strings[i], n) != 0 ||
                                (found && m->end - m->start >= n))
                                continue;
                        *m = (struct stop_match){i, end - n, end};
                        found = true;
                }
                if (found)
                        return true;
        }
        return false;
}

static void the_first_to_end_is_found_however_the_text_is_cut(void **state)
{
        static const char *const sets[] = {
                "[\"ab\"]", "[\"aab\",\"b\"]", "[\"abab\",\"ba\",\"aaaa\"]", "\"bbb\"", "[\"b\",\"ab\",\"aab\"]"};

        srand(1);
        for (int round = 0; round < 5000; round++) {
                struct stop_set s = set_of(sets[round % 5]);
                struct stop_match expected, found;
                struct stop_scan scan = {0};
                char text[24];
                size_t len = 0;
                bool hit = false;

                for (size_t i = 0; i < sizeof text; i++)
                        text[i] = "aab"[rand() % 3];
                while (len < sizeof text && !hit) {
                        len += 1 + (size_t)rand() % 4;
                        len = len > sizeof text ? sizeof text : len;
                        hit = stop_find(&s, &scan, text, len, 0, &found);
                        assert_int_equal(hit, plain_find(&s, text, len, &expected));
                }
                if (hit) {
                        assert_int_equal(found.start, expected.start);
                        assert_int_equal(found.end, expected.end);
                        assert_int_equal(found.which, expected.which);
                }
                stop_scan_finish(&scan);
                stop_finish(&s);
        }
}

// After all of text was looked at, piece by piece, without a match.
static size_t held(const struct stop_set *s, const char *text, size_t from)
{
        struct stop_scan scan = {0};
        struct stop_match m;

        for (size_t len = 0; len <= strlen(text); len++)
                assert_false(stop_find(s, &scan, text, len, len < from ? len : from, &m));
        size_t n = stop_held(s, &scan);
        stop_scan_finish(&scan);
        return n;
}

static void text_that_may_become_a_stop_string_is_held_back(void **state)
{
        struct stop_set s = set_of("[\"END\",\"NDA\"]");

        assert_int_equal(held(&s, "the", 0), 0);
        assert_int_equal(held(&s, "the E", 0), 1);
        assert_int_equal(held(&s, "the EN", 0), 2);
        assert_int_equal(held(&s, "the ND", 0), 2);
        assert_int_equal(held(&s, "the EN", 5), 1);
        assert_int_equal(held(&s, "EX", 0), 0);
        assert_int_equal(held(&s, "E", 1), 0);
        stop_finish(&s);
}

static void none_begins_before_it_may(void **state)
{
        struct stop_set s = set_of("\"aa\"");
        struct stop_scan scan = {0};
        struct stop_match m;

        assert_false(stop_find(&s, &scan, "aaba", 4, 1, &m));
        stop_scan_finish(&scan);
        assert_true(stop_find(&s, &scan, "aaa", 3, 1, &m));
        assert_int_equal(m.start, 1);
        stop_scan_finish(&scan);
        assert_false(stop_find(&s, &scan, "ba", 2, 0, &m)); // begun, and then put out of reach
        assert_false(stop_find(&s, &scan, "baa", 3, 2, &m));
        assert_true(stop_find(&s, &scan, "baaa", 4, 2, &m));
        assert_int_equal(m.start, 2);
        stop_scan_finish(&scan);
        stop_finish(&s);
        s = set_of("\"aab\"");
        assert_false(stop_find(&s, &scan, "aa", 2, 0, &m)); // of which the second may still begin one
        assert_true(stop_find(&s, &scan, "aaab", 4, 1, &m));
        assert_int_equal(m.start, 1);
        stop_scan_finish(&scan);
        stop_finish(&s);
}

static void what_is_no_string_is_refused(void **state)
{
        static const char *const bad[] = {"1", "[\"a\",2]", "\"\"", "[\"\"]", "{}", "[[\"a\"]]"};

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                cJSON *v = cJSON_Parse(bad[i]);
                struct problem p;
                struct stop_set s;

                assert_int_equal(stop_read(&s, v, &p), DYN_INVALID);
                assert_string_equal(p.param, "stop");
                assert_int_equal(s.n, 0);
                cJSON_Delete(v);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_to_end_is_found_however_the_text_is_cut),
                cmocka_unit_test(text_that_may_become_a_stop_string_is_held_back),
                cmocka_unit_test(none_begins_before_it_may),
                cmocka_unit_test(what_is_no_string_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
