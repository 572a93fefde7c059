#include "base/threads.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/clock.h"

// How long a member looks for the next loop before it sleeps: longer than the serial ops between two loops of a step,
// short enough that an idle server uses no CPU.
#define SPIN_NS 100000

// Loops are announced in one word: a count of loops so far (high half) and the items of this one that nobody has taken
// yet (low half). A member reads the word, then the loop's fields, then takes an item by compare-and-swap; if that
// succeeds the loop was still going on, so the fields were those of this loop. A member that comes late finds nothing
// to take and need not be waited for.
struct team {
        int n_threads;
        int64_t spin_ns;
        _Atomic uint64_t ticket;
        void (*_Atomic work)(void *arg, int i);
        void *_Atomic arg;
        atomic_int n;
        char pad[64];          // what members write while they work is kept off the line that they spin on
        atomic_int unfinished; // items
        atomic_int sleepers;
        atomic_bool stop;
        pthread_mutex_t lock; // for sleeping alone
        pthread_cond_t wake;
        pthread_t *members; // (n_threads - 1)
};

static atomic_uint all_loops; // of any team, those begun and those ended

static inline void relax(void)
{
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
}

// Runs items of the loop that is going on until none is left to take.
static void take_items(struct team *t)
{
        uint64_t ticket = atomic_load_explicit(&t->ticket, memory_order_acquire);

        while ((uint32_t)ticket != 0) {
                void (*work)(void *, int) = atomic_load_explicit(&t->work, memory_order_relaxed);
                void *arg = atomic_load_explicit(&t->arg, memory_order_relaxed);
                int n = atomic_load_explicit(&t->n, memory_order_relaxed);

                if (!atomic_compare_exchange_weak_explicit(
                            &t->ticket, &ticket, ticket - 1, memory_order_acq_rel, memory_order_acquire))
                        continue;
                work(arg, n - (int)(uint32_t)ticket);
                atomic_fetch_sub_explicit(&t->unfinished, 1, memory_order_acq_rel);
                ticket = atomic_load_explicit(&t->ticket, memory_order_acquire);
        }
}

static bool has_news(struct team *t)
{
        return (uint32_t)atomic_load(&t->ticket) != 0 || atomic_load(&t->stop);
}

static void sleep_until_news(struct team *t)
{
        pthread_mutex_lock(&t->lock);
        atomic_fetch_add(&t->sleepers, 1);
        while (!has_news(t))
                pthread_cond_wait(&t->wake, &t->lock);
        atomic_fetch_sub(&t->sleepers, 1);
        pthread_mutex_unlock(&t->lock);
}

static void wait_for_news(struct team *t)
{
        int64_t until = clock_ns() + t->spin_ns;

        do {
                for (int i = 0; i < 16; i++) {
                        if (has_news(t))
                                return;
                        relax();
                }
        } while (clock_ns() < until);
        sleep_until_news(t);
}

static void *member(void *arg)
{
        struct team *t = arg;

        while (!atomic_load(&t->stop)) {
                take_items(t);
                wait_for_news(t);
        }
        return NULL;
}

// Wakes sleeping members. The sleeper counts itself before it looks for news and the caller announces before it looks
// for sleepers, both sequentially consistent, so one of them sees the other.
static void wake_sleepers(struct team *t)
{
        if (atomic_load(&t->sleepers) == 0)
                return;
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->wake);
        pthread_mutex_unlock(&t->lock);
}

int team_cores(void)
{
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof set, &set) != 0)
                return 1;
        return CPU_COUNT(&set);
}

struct team *team_create(int n_threads)
{
        assert(n_threads >= 1);
        struct team *t = mem_zalloc(sizeof *t);

        t->spin_ns = n_threads > team_cores() ? 0 : SPIN_NS;
        pthread_mutex_init(&t->lock, NULL);
        pthread_cond_init(&t->wake, NULL);
        t->members = mem_array((size_t)n_threads - 1, sizeof *t->members);
        for (t->n_threads = 1; t->n_threads < n_threads; t->n_threads++)
                if (pthread_create(&t->members[t->n_threads - 1], NULL, member, t) != 0)
                        break; // the system allows no more: a smaller team gives the same results
        return t;
}

void team_destroy(struct team *t)
{
        if (t == NULL)
                return;
        atomic_store(&t->stop, true);
        wake_sleepers(t);
        for (int i = 0; i < t->n_threads - 1; i++)
                pthread_join(t->members[i], NULL);
        pthread_cond_destroy(&t->wake);
        pthread_mutex_destroy(&t->lock);
        mem_free(t->members);
        mem_free(t);
}

int team_size(const struct team *t)
{
        return t->n_threads;
}

unsigned team_loops(void)
{
        return atomic_load_explicit(&all_loops, memory_order_relaxed);
}

static void count_loop(void)
{
        atomic_fetch_add_explicit(&all_loops, 1, memory_order_relaxed);
}

static void run_alone(void (*work)(void *arg, int i), void *arg, int n)
{
        for (int i = 0; i < n; i++)
                work(arg, i);
}

static void run_together(struct team *t, void (*work)(void *arg, int i), void *arg, int n)
{
        uint64_t loops = (atomic_load_explicit(&t->ticket, memory_order_relaxed) >> 32) + 1;

        atomic_store_explicit(&t->work, work, memory_order_relaxed);
        atomic_store_explicit(&t->arg, arg, memory_order_relaxed);
        atomic_store_explicit(&t->n, n, memory_order_relaxed);
        atomic_store_explicit(&t->unfinished, n, memory_order_relaxed);
        atomic_store(&t->ticket, loops << 32 | (uint32_t)n);
        wake_sleepers(t);
        take_items(t);
        for (int spins = 0; atomic_load_explicit(&t->unfinished, memory_order_acquire) != 0; spins++) {
                relax();
                if (t->spin_ns == 0 || spins > 2000)
                        sched_yield();
        }
}

void team_run(struct team *t, void (*work)(void *arg, int i), void *arg, int n)
{
        assert(n >= 0);
        count_loop();
        if (t->n_threads == 1 || n <= 1)
                run_alone(work, arg, n);
        else
                run_together(t, work, arg, n);
        count_loop();
}
