#include "base/queue.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

struct queue {
        pthread_mutex_t lock;
        pthread_cond_t filled;
        char *ring; // (cap, item_bytes)
        size_t item_bytes, cap, head, n;
        bool woken;
};

struct queue *queue_create(size_t item_bytes)
{
        struct queue *q = mem_zalloc(sizeof *q);

        pthread_mutex_init(&q->lock, NULL);
        pthread_cond_init(&q->filled, NULL);
        q->item_bytes = item_bytes;
        q->cap = 64;
        q->ring = mem_array(q->cap, item_bytes);
        return q;
}

void queue_destroy(struct queue *q)
{
        if (q == NULL)
                return;
        pthread_cond_destroy(&q->filled);
        pthread_mutex_destroy(&q->lock);
        mem_free(q->ring);
        mem_free(q);
}

static char *at(const struct queue *q, size_t i)
{
        return q->ring + (q->head + i) % q->cap * q->item_bytes;
}

static void grow(struct queue *q)
{
        char *ring = mem_array(q->cap * 2, q->item_bytes);

        for (size_t i = 0; i < q->n; i++)
                memcpy(ring + i * q->item_bytes, at(q, i), q->item_bytes);
        mem_free(q->ring);
        q->ring = ring;
        q->cap *= 2;
        q->head = 0;
}

bool queue_push(struct queue *q, const void *item)
{
        pthread_mutex_lock(&q->lock);
        bool was_empty = q->n == 0;

        if (q->n == q->cap)
                grow(q);
        memcpy(at(q, q->n++), item, q->item_bytes);
        pthread_cond_signal(&q->filled);
        pthread_mutex_unlock(&q->lock);
        return was_empty;
}

bool queue_pop(struct queue *q, void *item)
{
        pthread_mutex_lock(&q->lock);
        bool found = q->n != 0;

        if (found) {
                memcpy(item, at(q, 0), q->item_bytes);
                q->head = (q->head + 1) % q->cap;
                q->n--;
        }
        pthread_mutex_unlock(&q->lock);
        return found;
}

void queue_wait(struct queue *q)
{
        pthread_mutex_lock(&q->lock);
        while (q->n == 0 && !q->woken)
                pthread_cond_wait(&q->filled, &q->lock);
        q->woken = false;
        pthread_mutex_unlock(&q->lock);
}

void queue_wake(struct queue *q)
{
        pthread_mutex_lock(&q->lock);
        q->woken = true;
        pthread_cond_signal(&q->filled);
        pthread_mutex_unlock(&q->lock);
}
