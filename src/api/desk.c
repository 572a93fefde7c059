#include "api/desk.h"

#include <pthread.h>
#include <stddef.h>

#include "base/alloc.h"

#define N_THREADS     2          // so that one large body does not keep the others
#define SMALL         2048       // bytes of a job that takes the loop less than a millisecond
#define WAITING_BYTES (64 << 20) // of jobs that wait to be begun; a single one may have more

struct line {
        struct desk_job *first;
};

struct desk {
        uv_async_t wake; // jobs are done
        pthread_t threads[N_THREADS];
        int n_threads;
        int most;

        pthread_mutex_t lock; // for all below
        pthread_cond_t more;
        struct line begun, fresh, done; // going on, waiting to be begun, waiting for the loop
        int n_fresh;
        size_t fresh_bytes;
        bool closing;
};

static void put_last(struct line *l, struct desk_job *j)
{
        struct desk_job **at = &l->first;

        while (*at != NULL)
                at = &(*at)->next;
        j->next = NULL;
        *at = j;
}

static struct desk_job *take_first(struct line *l)
{
        struct desk_job *j = l->first;

        if (j != NULL)
                l->first = j->next;
        return j;
}

static bool take_out(struct line *l, const struct desk_job *j)
{
        for (struct desk_job **at = &l->first; *at != NULL; at = &(*at)->next)
                if (*at == j) {
                        *at = j->next;
                        return true;
                }
        return false;
}

static void count_fresh(struct desk *d, const struct desk_job *j, int sign)
{
        d->n_fresh += sign;
        d->fresh_bytes = sign > 0 ? d->fresh_bytes + j->bytes : d->fresh_bytes - j->bytes;
}

// The next job, NULL when there is none. The lock is held.
static struct desk_job *next(struct desk *d)
{
        struct desk_job *j = take_first(&d->begun);

        if (j == NULL && (j = take_first(&d->fresh)) != NULL)
                count_fresh(d, j, -1);
        return j;
}

static void *run(void *arg)
{
        struct desk *d = arg;
        struct desk_job *j;

        pthread_mutex_lock(&d->lock);
        for (;;) {
                while ((j = next(d)) == NULL && !d->closing)
                        pthread_cond_wait(&d->more, &d->lock);
                if (j == NULL)
                        break;
                pthread_mutex_unlock(&d->lock);
                j->work(j);
                pthread_mutex_lock(&d->lock);
                put_last(&d->done, j);
                uv_async_send(&d->wake);
        }
        pthread_mutex_unlock(&d->lock);
        return NULL;
}

static void tell_done(struct desk *d)
{
        pthread_mutex_lock(&d->lock);
        struct desk_job *j = d->done.first;
        d->done.first = NULL;
        pthread_mutex_unlock(&d->lock);
        for (struct desk_job *after; j != NULL; j = after) {
                after = j->next;
                j->done(j);
        }
}

static void on_wake(uv_async_t *wake)
{
        tell_done(wake->data);
}

struct desk *desk_create(uv_loop_t *loop, int most)
{
        struct desk *d = mem_zalloc(sizeof *d);

        d->most = most;
        pthread_mutex_init(&d->lock, NULL);
        pthread_cond_init(&d->more, NULL);
        uv_async_init(loop, &d->wake, on_wake);
        d->wake.data = d;
        // Where the system gives no thread, all is done on the loop.
        while (d->n_threads < N_THREADS && pthread_create(&d->threads[d->n_threads], NULL, run, d) == 0)
                d->n_threads++;
        return d;
}

static void on_closed(uv_handle_t *wake)
{
        struct desk *d = wake->data;

        pthread_cond_destroy(&d->more);
        pthread_mutex_destroy(&d->lock);
        mem_free(d);
}

void desk_close(struct desk *d)
{
        pthread_mutex_lock(&d->lock);
        d->closing = true;
        pthread_cond_broadcast(&d->more);
        pthread_mutex_unlock(&d->lock);
        for (int i = 0; i < d->n_threads; i++)
                pthread_join(d->threads[i], NULL);
        tell_done(d);
        uv_close((uv_handle_t *)&d->wake, on_closed);
}

bool desk_full(const struct desk *d, size_t bytes)
{
        struct desk *locked = (struct desk *)d;

        if (bytes <= SMALL)
                return false;
        pthread_mutex_lock(&locked->lock);
        bool full = d->n_fresh >= d->most || (d->n_fresh > 0 && d->fresh_bytes + bytes > WAITING_BYTES);
        pthread_mutex_unlock(&locked->lock);
        return full;
}

void desk_do(struct desk *d, struct desk_job *j)
{
        if (j->bytes <= SMALL || d->n_threads == 0) {
                j->work(j);
                j->done(j);
                return;
        }
        pthread_mutex_lock(&d->lock);
        put_last(j->goes_on ? &d->begun : &d->fresh, j);
        if (!j->goes_on)
                count_fresh(d, j, 1);
        pthread_cond_signal(&d->more);
        pthread_mutex_unlock(&d->lock);
}

bool desk_forget(struct desk *d, struct desk_job *j)
{
        pthread_mutex_lock(&d->lock);
        bool fresh = take_out(&d->fresh, j);
        if (fresh)
                count_fresh(d, j, -1);
        bool waited = fresh || take_out(&d->begun, j);
        pthread_mutex_unlock(&d->lock);
        return waited;
}

// Trees to be deleted
// ----------------------------------------------------------------------------------------------------------------

struct deletion {
        struct desk_job job;
        cJSON *tree;
};

static struct deletion *deletion_of(struct desk_job *j)
{
        return (struct deletion *)((char *)j - offsetof(struct deletion, job));
}

static void delete (struct desk_job *j)
{
        cJSON_Delete(deletion_of(j)->tree);
}

static void deleted(struct desk_job *j)
{
        mem_free(deletion_of(j));
}

void desk_delete(struct desk *d, cJSON *tree, size_t bytes)
{
        struct deletion *job;

        if (tree == NULL)
                return;
        job = mem_zalloc(sizeof *job);
        job->job = (struct desk_job){.work = delete, .done = deleted, .bytes = bytes, .goes_on = true};
        job->tree = tree;
        desk_do(d, &job->job);
}
