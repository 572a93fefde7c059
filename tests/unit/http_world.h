// A server on a loop thread of its own and clients that speak raw bytes to it over loopback, for the tests of the http
// room. The client's reading of an answer is written here once more, independent of the room's code.
#ifndef TESTS_HTTP_WORLD_H
#define TESTS_HTTP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http.h"

#define WORLD_DONE_MAX 4096

struct world {
        uv_loop_t loop;
        uv_thread_t thread;
        uv_async_t call;
        uv_mutex_t mutex;
        uv_cond_t cond;
        void (*work)(struct world *, void *arg); // to be run on the loop thread
        void *arg;
        struct http_server *server;
        struct http_options options;
        // Under the mutex: what the server told.
        struct http_exchange *held[1024]; // open exchanges of /later, oldest first
        int n_held, n_aborted, n_drained_calls, n_done, n_handled;
        int done_status[WORLD_DONE_MAX];
        char done_line[WORLD_DONE_MAX][64]; // "GET /path"
        char done_why[WORLD_DONE_MAX][64];  // "" if nobody said
        double done_seconds[WORLD_DONE_MAX];
        size_t max_backlog, max_when_drained; // after and before the writing of /flood
        bool drain_done;
};

// Defaults that tests change before world_open: small limits, a second for every deadline that is tested.
void world_init(struct world *);
void world_open(struct world *);

// Closes the server, waits for the loop's end, and checks that no handle is left.
void world_close(struct world *);

// Runs work on the loop thread and waits for it.
void world_do(struct world *, void (*work)(struct world *, void *arg), void *arg);

// Waits until *counter, under the mutex, is at least n; fails after ten seconds.
void world_wait(struct world *, const int *counter, int n);

// Answers the oldest exchange of /later with its path.
void world_release(struct world *);

// A client's connection, blocking, with a receive timeout of ten seconds.
int client_open(struct world *);
int client_open_at(const char *address);
void client_send(int fd, const char *bytes);
void client_send_n(int fd, const void *bytes, size_t len);

struct answer {
        int status;
        char *head; // status line and headers, lower case names as sent
        char *body;
        size_t len;
        bool chunked;
        int n_chunks;
};

// Reads one answer, not a byte more; head_only: it answers a HEAD request. Fails the test if there is none.
struct answer client_answer(int fd, bool head_only);
void answer_free(struct answer *);

// The value of an answer's header, in a static buffer, or NULL.
const char *answer_header(const struct answer *, const char *name);

// Sends, reads one answer, checks its status, frees it.
void expect_status(int fd, const char *request, int status);

// Whether the server closes in order (end of file, no reset) within ten seconds, with nothing more sent.
bool client_sees_end(int fd);

// Descriptors that this process has open.
int open_descriptors(void);

#endif
