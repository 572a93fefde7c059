// The queue between two threads: nothing lost, nothing twice, nobody left asleep.
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/queue.h"

#define N_WRITERS 3
#define N_ITEMS   20000

struct item {
        int writer, number;
        char pad[3];
};

static void items_come_out_in_the_order_they_went_in(void **state)
{
        struct queue *q = queue_create(sizeof(struct item));
        int in = 0, out = 0;
        struct item item = {0};

        srand(1);
        assert_false(queue_pop(q, &item));
        while (out < N_ITEMS) { // bursts longer than the ring, from every position in it
                for (int n = rand() % 300; n > 0; n--) {
                        item.number = in;
                        assert_int_equal(queue_push(q, &item), in == out);
                        in++;
                }
                for (int n = rand() % 300; n > 0 && out < in; n--) {
                        assert_true(queue_pop(q, &item));
                        assert_int_equal(item.number, out++);
                }
        }
        queue_destroy(q);
        queue_destroy(NULL);
}

static struct queue *shared;

static void *write_items(void *arg)
{
        for (int i = 0; i < N_ITEMS; i++)
                queue_push(shared, &(struct item){.writer = (int)(intptr_t)arg, .number = i});
        return NULL;
}

static void items_of_many_writers_all_arrive_in_their_order(void **state)
{
        pthread_t writers[N_WRITERS];
        int next[N_WRITERS] = {0};
        struct item item;

        shared = queue_create(sizeof item);
        for (intptr_t i = 0; i < N_WRITERS; i++)
                pthread_create(&writers[i], NULL, write_items, (void *)i);
        for (int n = 0; n < N_WRITERS * N_ITEMS;) {
                queue_wait(shared);
                while (queue_pop(shared, &item)) {
                        assert_int_equal(item.number, next[item.writer]++);
                        n++;
                }
        }
        for (int i = 0; i < N_WRITERS; i++)
                pthread_join(writers[i], NULL);
        assert_false(queue_pop(shared, &item));
        queue_destroy(shared);
}

static atomic_bool woke;

static void *wake(void *arg)
{
        usleep(20000); // so that the reader waits
        atomic_store(&woke, true);
        queue_wake(shared);
        return NULL;
}

static void a_wake_ends_a_wait_once_also_if_it_came_first(void **state)
{
        pthread_t waker;
        struct item item;

        shared = queue_create(sizeof item);
        queue_wake(shared);
        queue_wait(shared); // returns at once
        pthread_create(&waker, NULL, wake, NULL);
        queue_wait(shared); // returns when woken, not for the wake before
        assert_true(atomic_load(&woke));
        pthread_join(waker, NULL);
        assert_false(queue_pop(shared, &item));
        queue_destroy(shared);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(items_come_out_in_the_order_they_went_in),
                cmocka_unit_test(items_of_many_writers_all_arrive_in_their_order),
                cmocka_unit_test(a_wake_ends_a_wait_once_also_if_it_came_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
