// The hash map, held against a plain array of what should be in it.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define N_KEYS 500

static size_t key_of(int i, char *key)
{
        return (size_t)snprintf(key, 32, "%.*skey %d", i % 20, "....................", i);
}

static void a_map_holds_what_was_put_and_not_removed(void **state)
{
        struct map m = {0};
        uint64_t expected[N_KEYS] = {0}, value; // 0: absent
        size_t n = 0;

        srand(1);
        for (int round = 1; round < 50000; round++) {
                char key[32];
                int i = rand() % N_KEYS;
                size_t len = key_of(i, key);

                if (rand() % 2) {
                        map_put(&m, key, len, (uint64_t)round);
                        n += expected[i] == 0;
                        expected[i] = (uint64_t)round;
                } else {
                        assert_int_equal(map_remove(&m, key, len), expected[i] != 0);
                        n -= expected[i] != 0;
                        expected[i] = 0;
                }
                assert_int_equal(m.n, n);
                i = rand() % N_KEYS;
                len = key_of(i, key);
                assert_int_equal(map_get(&m, key, len, &value), expected[i] != 0);
                assert_true(expected[i] == 0 || value == expected[i]);
        }
        map_free(&m);
}

static void keys_are_bytes_and_are_copied(void **state)
{
        struct map m = {0};
        char key[] = "a\0b";
        uint64_t value = 9;

        assert_false(map_get(&m, "a", 1, &value));
        assert_false(map_remove(&m, "a", 1));
        map_put(&m, key, 3, 1);
        map_put(&m, "a\0c", 3, 2);
        map_put(&m, "a", 1, 3);
        map_put(&m, "", 0, 4);
        key[0] = 'x';
        assert_true(map_get(&m, "a\0b", 3, &value) && value == 1);
        assert_true(map_get(&m, "a\0c", 3, &value) && value == 2);
        assert_true(map_get(&m, "a", 1, &value) && value == 3);
        assert_true(map_get(&m, "", 0, &value) && value == 4);
        value = 9;
        assert_false(map_get(&m, "x\0b", 3, &value));
        assert_int_equal(value, 9);
        map_free(&m);
        assert_false(map_get(&m, "a", 1, &value));
        map_free(&m);
}

// Slots of removed keys must neither end a search nor fill the table up for good.
static void many_short_lived_keys_do_not_make_it_grow(void **state)
{
        struct map m = {0};
        char key[32];

        for (int i = 0; i < 100000; i++) {
                map_put(&m, key, key_of(i, key), 1);
                if (i >= 10)
                        assert_true(map_remove(&m, key, key_of(i - 10, key)));
        }
        assert_int_equal(m.n, 10);
        assert_true(m.cap <= 64);
        map_free(&m);
}

static void hashes_of_near_keys_differ(void **state)
{
        struct map seen = {0};
        uint64_t value;

        for (uint32_t i = 0; i < 100000; i++) {
                char key[40] = "";

                memcpy(key + i % 9 * 4, &i, sizeof i); // at the start, in the middle, at the end
                uint64_t h = map_hash(key, sizeof key) & 0xffffffffffff;

                assert_false(map_get(&seen, &h, sizeof h, &value));
                map_put(&seen, &h, sizeof h, i);
        }
        map_free(&seen);
        assert_true(map_hash("a", 1) != map_hash("a\0", 2));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_map_holds_what_was_put_and_not_removed),
                cmocka_unit_test(keys_are_bytes_and_are_copied),
                cmocka_unit_test(many_short_lived_keys_do_not_make_it_grow),
                cmocka_unit_test(hashes_of_near_keys_differ),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
