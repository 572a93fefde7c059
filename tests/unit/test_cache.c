// The page pool and prefix reuse, held against a plain model of who uses what.
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "cache/reuse.h"
#include "dynlora/backend.h"

#define T DYN_PAGE_TOKENS

static int32_t story[8 * T];

static int set_up(void **state)
{
        for (int i = 0; i < 8 * T; i++)
                story[i] = i * 7 % 101;
        return 0;
}

// Takes n pages, publishes them as the story's first ones for a version, lets them go.
static void publish(struct kv_pool *p, uint64_t version, const int32_t *tokens, int n, int32_t *pages)
{
        struct reuse_chain chain = {.version = version};

        for (int i = 0; i < n; i++) {
                pages[i] = kv_pool_take(p);
                reuse_publish(p, &chain, tokens + i * T, pages[i]);
        }
        for (int i = n; i-- > 0;)
                kv_pool_release(p, pages[i]);
}

static void pages_are_given_once_until_none_is_left(void **state)
{
        struct kv_pool *p = kv_pool_create(5);
        bool seen[5] = {false};

        for (int i = 0; i < 5; i++) {
                int32_t page = kv_pool_take(p);

                assert_in_range(page, 0, 4);
                assert_false(seen[page]);
                seen[page] = true;
        }
        assert_int_equal(kv_pool_take(p), -1);
        kv_pool_release(p, 3);
        assert_int_equal(kv_pool_take(p), 3);
        kv_pool_destroy(p);
}

static void a_prefix_is_found_page_by_page(void **state)
{
        struct kv_pool *p = kv_pool_create(8);
        struct reuse_chain chain = {.version = 1};
        int32_t pages[8], found[8];

        publish(p, 1, story, 3, pages);
        assert_int_equal(kv_pool_kept(p), 3);
        assert_int_equal(reuse_match(p, &chain, story, 3 * T + 5, found), 3);
        assert_memory_equal(found, pages, 3 * sizeof *found);
        assert_int_equal(kv_pool_available(p), 5);
        chain.parent = 0;
        assert_int_equal(reuse_match(p, &chain, story, 2 * T - 1, found), 1);
        kv_pool_destroy(p);
}

static void another_version_or_another_beginning_finds_nothing(void **state)
{
        struct kv_pool *p = kv_pool_create(8);
        struct reuse_chain other = {.version = 2}, same = {.version = 1};
        int32_t pages[8], found[8], changed[3 * T];

        publish(p, 1, story, 3, pages);
        assert_int_equal(reuse_match(p, &other, story, 3 * T, found), 0);
        memcpy(changed, story, sizeof changed);
        changed[0]++; // the same second and third page, but not the same story
        assert_int_equal(reuse_match(p, &same, changed, 3 * T, found), 0);
        changed[0]--;
        changed[2 * T]++;
        assert_int_equal(reuse_match(p, &same, changed, 3 * T, found), 2);
        kv_pool_destroy(p);
}

static void room_comes_from_the_end_of_the_oldest_prefix(void **state)
{
        struct kv_pool *p = kv_pool_create(4);
        struct reuse_chain chain = {.version = 1};
        int32_t pages[4], found[4];

        publish(p, 1, story, 2, pages);
        publish(p, 2, story, 2, pages + 2);
        assert_int_equal(kv_pool_take(p), pages[1]);
        assert_int_equal(reuse_match(p, &chain, story, 2 * T, found), 1);
        assert_int_equal(found[0], pages[0]);
        // In use now, so the next room is the other version's.
        assert_int_equal(kv_pool_take(p), pages[3]);
        assert_int_equal(kv_pool_take(p), pages[2]);
        assert_int_equal(kv_pool_take(p), -1);
        kv_pool_destroy(p);
}

static void a_page_that_was_dropped_is_never_found_under_its_old_tokens(void **state)
{
        struct kv_pool *p = kv_pool_create(2);
        struct reuse_chain chain = {.version = 1};
        int32_t pages[2], found[2];

        publish(p, 1, story, 2, pages);
        publish(p, 1, story + 4 * T, 2, pages);
        assert_int_equal(reuse_match(p, &chain, story, 2 * T, found), 0);
        assert_int_equal(reuse_match(p, &chain, story + 4 * T, 2 * T, found), 2);
        kv_pool_destroy(p);
}

static void two_who_compute_the_same_page_share_its_chain(void **state)
{
        struct kv_pool *p = kv_pool_create(6);
        struct reuse_chain a = {.version = 1}, b = {.version = 1}, c = {.version = 1};
        int32_t one = kv_pool_take(p), two = kv_pool_take(p), next = kv_pool_take(p), found[2];

        reuse_publish(p, &a, story, one);
        reuse_publish(p, &b, story, two);
        reuse_publish(p, &b, story + T, next);
        assert_int_equal(reuse_match(p, &c, story, 2 * T, found), 2);
        assert_int_equal(found[0], one);
        assert_int_equal(found[1], next);
        kv_pool_release(p, two); // was never known: free at once
        assert_int_equal(kv_pool_kept(p), 0);
        assert_int_equal(kv_pool_available(p), 4);
        kv_pool_destroy(p);
}

// Random takes, matches and releases; a page must never be in two hands unless it was matched.
static void nothing_is_lost_or_given_twice(void **state)
{
        struct kv_pool *p = kv_pool_create(16);
        struct {
                int32_t pages[4];
                int n;
        } held[6] = {0};

        srand(5);
        for (int round = 0; round < 20000; round++) {
                int i = rand() % 6;

                if (held[i].n > 0) {
                        while (held[i].n > 0) {
                                kv_pool_release(p, held[i].pages[--held[i].n]);
                        }
                        continue;
                }
                struct reuse_chain chain = {.version = (uint64_t)(rand() % 3)};
                const int32_t *tokens = story + rand() % 3 * T;
                held[i].n = reuse_match(p, &chain, tokens, (1 + rand() % 4) * T, held[i].pages);
                for (int published = held[i].n; held[i].n < 4;) {
                        int32_t page = kv_pool_take(p);

                        if (page < 0)
                                break;
                        held[i].pages[held[i].n] = page;
                        if (published++ == held[i].n)
                                reuse_publish(p, &chain, tokens + held[i].n * T, page);
                        held[i].n++;
                }
                bool used[16] = {false};
                int distinct = 0;
                for (int k = 0; k < 6; k++)
                        for (int j = 0; j < held[k].n; j++) {
                                distinct += !used[held[k].pages[j]];
                                used[held[k].pages[j]] = true;
                        }
                assert_int_equal(kv_pool_available(p), 16 - distinct);
        }
        kv_pool_destroy(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pages_are_given_once_until_none_is_left),
                cmocka_unit_test(a_prefix_is_found_page_by_page),
                cmocka_unit_test(another_version_or_another_beginning_finds_nothing),
                cmocka_unit_test(room_comes_from_the_end_of_the_oldest_prefix),
                cmocka_unit_test(a_page_that_was_dropped_is_never_found_under_its_old_tokens),
                cmocka_unit_test(two_who_compute_the_same_page_share_its_chain),
                cmocka_unit_test(nothing_is_lost_or_given_twice),
        };
        return cmocka_run_group_tests_name("cache", tests, set_up, NULL);
}
