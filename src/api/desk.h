// The desk: where work on requests is done that would keep the loop from everybody else, such as reading large bodies
// and writing large answers whole. What is small is done at once on the loop. The rest goes to two threads of the desk's own,
// because those of libuv's pool can all be reading adapters for as long as a disk takes.
//
// A job and all that its work touches belong to the desk from desk_do until done is called. Loop thread, save `work`.
#ifndef DYNLORA_API_DESK_H
#define DYNLORA_API_DESK_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>
#include <uv.h>

struct desk;

struct desk_job {
        void (*work)(struct desk_job *); // any thread
        void (*done)(struct desk_job *); // loop thread, once, after work; perhaps before desk_do returns
        size_t bytes;          // how much there is to read or write: more than a little is no work for the loop
        bool goes_on;          // a later part of something begun: goes before those that have not begun
        struct desk_job *next; // the desk's
};

// most: jobs that may wait to be begun.
struct desk *desk_create(uv_loop_t *loop, int most);

// Ends what is left and frees it, when no owner waits for a job any more. The loop must run once more.
void desk_close(struct desk *);

// Whether a job of so many bytes that is not small would have to wait behind too many others, or too many bytes.
bool desk_full(const struct desk *, size_t bytes);

void desk_do(struct desk *, struct desk_job *);

// Takes a job back that has not begun: neither work nor done is called. False if it has.
bool desk_forget(struct desk *, struct desk_job *);

// Deletes the tree of a body of so many bytes, which can take as long as reading it did.
void desk_delete(struct desk *, cJSON *, size_t bytes);

#endif
