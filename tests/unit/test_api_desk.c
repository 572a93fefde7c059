// The desk: what is done at once, what beside the loop, in which order, and what can be taken back.
#include "harness.h"

#include <pthread.h>

#include "api/desk.h"

#define LARGE (1 << 20)
#define MOST  4

static uv_loop_t loop;
static struct desk *desk;
static pthread_t loop_thread;

// Tasks of tests that can fail while threads have them are static.

// A job that waits at a gate before it counts as worked on.
static struct gate {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool open;
        int n_begun;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};

struct task {
        struct desk_job job; // first
        int begun, done;     // as the so many-th; 0: not
        bool beside;         // on another thread than the loop's
};

static int n_worked, n_done;

static void work(struct desk_job *job)
{
        struct task *t = (struct task *)job;

        t->beside = !pthread_equal(pthread_self(), loop_thread);
        pthread_mutex_lock(&gate.lock);
        t->begun = ++n_worked;
        pthread_mutex_unlock(&gate.lock);
}

static void wait_at_gate(struct desk_job *job)
{
        pthread_mutex_lock(&gate.lock);
        gate.n_begun++;
        pthread_cond_broadcast(&gate.changed);
        while (!gate.open)
                pthread_cond_wait(&gate.changed, &gate.lock);
        pthread_mutex_unlock(&gate.lock);
}

static void done(struct desk_job *job)
{
        assert_true(pthread_equal(pthread_self(), loop_thread));
        ((struct task *)job)->done = ++n_done;
}

static struct task task(size_t bytes, bool goes_on)
{
        return (struct task){.job = {.work = work, .done = done, .bytes = bytes, .goes_on = goes_on}};
}

static void turn_until(const int *n, int least)
{
        while (*n < least)
                uv_run(&loop, UV_RUN_ONCE);
}

// Both threads stand at the gate.
static void occupy(struct task both[static 2])
{
        for (int i = 0; i < 2; i++) {
                both[i] = task(LARGE, false);
                both[i].job.work = wait_at_gate;
                desk_do(desk, &both[i].job);
        }
        pthread_mutex_lock(&gate.lock);
        while (gate.n_begun < 2)
                pthread_cond_wait(&gate.changed, &gate.lock);
        pthread_mutex_unlock(&gate.lock);
}

static void open_gate(void)
{
        pthread_mutex_lock(&gate.lock);
        gate.open = true;
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.lock);
}

static int set_up(void **state)
{
        loop_thread = pthread_self();
        gate.open = false;
        gate.n_begun = n_worked = n_done = 0;
        uv_loop_init(&loop);
        desk = desk_create(&loop, MOST);
        return 0;
}

static int tear_down(void **state)
{
        open_gate();
        if (desk != NULL)
                desk_close(desk);
        desk = NULL;
        uv_run(&loop, UV_RUN_DEFAULT);
        return uv_loop_close(&loop);
}

static void what_is_small_is_done_at_once(void **state)
{
        struct task t = task(100, false);

        desk_do(desk, &t.job);
        assert_true(t.begun && t.done && !t.beside);
}

static void what_is_large_is_done_beside_the_loop(void **state)
{
        struct task t = task(LARGE, false);

        desk_do(desk, &t.job);
        assert_int_equal(t.done, 0);
        turn_until(&n_done, 1);
        assert_true(t.begun && t.beside);
}

static void what_goes_on_comes_before_what_has_not_begun(void **state)
{
        static struct task both[2], first, second, later;

        first = second = task(LARGE, false);
        later = task(LARGE, true);
        occupy(both);
        desk_do(desk, &first.job);
        desk_do(desk, &second.job);
        desk_do(desk, &later.job);
        open_gate();
        turn_until(&n_done, 5);
        assert_true(later.begun < second.begun && later.begun <= 2);
}

static void what_has_not_begun_can_be_taken_back(void **state)
{
        static struct task both[2], waits, goes_on;

        waits = task(LARGE, false);
        goes_on = task(LARGE, true);
        occupy(both);
        desk_do(desk, &waits.job);
        desk_do(desk, &goes_on.job);
        assert_false(desk_forget(desk, &both[0].job));
        assert_true(desk_forget(desk, &waits.job));
        assert_true(desk_forget(desk, &goes_on.job));
        open_gate();
        turn_until(&n_done, 2);
        assert_int_equal(waits.begun + goes_on.begun + waits.done + goes_on.done, 0);
}

static void only_so_many_wait(void **state)
{
        static struct task both[2], waiting[MOST], goes_on;

        goes_on = task(LARGE, true);
        occupy(both);
        for (int i = 0; i < MOST; i++) {
                waiting[i] = task(LARGE, false);
                assert_false(desk_full(desk, LARGE));
                desk_do(desk, &waiting[i].job);
        }
        assert_true(desk_full(desk, LARGE));
        assert_false(desk_full(desk, 100));
        desk_forget(desk, &waiting[0].job);
        assert_false(desk_full(desk, LARGE));
        desk_do(desk, &goes_on.job);
        assert_false(desk_full(desk, LARGE));
        open_gate();
        turn_until(&n_done, 2 + MOST - 1 + 1);
        assert_false(desk_full(desk, LARGE));
}

static void only_so_many_bytes_wait(void **state)
{
        static struct task both[2], huge;

        huge = task((size_t)1 << 30, false);
        occupy(both);
        assert_false(desk_full(desk, huge.job.bytes)); // alone, anything may
        desk_do(desk, &huge.job);
        assert_true(desk_full(desk, LARGE));
        open_gate();
        turn_until(&n_done, 3);
}

static void closing_ends_what_is_left(void **state)
{
        struct task left[20];

        for (int i = 0; i < 20; i++) {
                left[i] = task(LARGE, true);
                desk_do(desk, &left[i].job);
        }
        desk_close(desk);
        desk = NULL;
        assert_int_equal(n_done, 20);
}

#define WITH_DESK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_DESK(what_is_small_is_done_at_once),
                WITH_DESK(what_is_large_is_done_beside_the_loop),
                WITH_DESK(what_goes_on_comes_before_what_has_not_begun),
                WITH_DESK(what_has_not_begun_can_be_taken_back),
                WITH_DESK(only_so_many_wait),
                WITH_DESK(only_so_many_bytes_wait),
                WITH_DESK(closing_ends_what_is_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
