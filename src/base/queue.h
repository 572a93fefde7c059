// A queue of small fixed-size items between two threads: any thread pushes, one thread pops. Grows as needed; the
// bound, if there is one, is the sender's to keep.
#ifndef DYNLORA_BASE_QUEUE_H
#define DYNLORA_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue;

struct queue *queue_create(size_t item_bytes);
void queue_destroy(struct queue *);

// Copies the item in and wakes the reader. Returns whether the queue was empty before.
bool queue_push(struct queue *, const void *item);

// Copies the oldest item out; false if there is none.
bool queue_pop(struct queue *, void *item);

// Blocks until an item is there or queue_wake was called since the last wait.
void queue_wait(struct queue *);
void queue_wake(struct queue *);

#endif
