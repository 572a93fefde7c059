// What the files of this room share about the server: its options, its connections, and the three handles that drive
// it (a listener, one timer for all deadlines, one idle handle for what must not happen inside a caller's call).
#ifndef DYNLORA_HTTP_SERVER_H
#define DYNLORA_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <uv.h>

#include "http/http.h"
#include "http/link.h"

#define HTTP_READ_BYTES (64 * 1024)

union http_socket {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
};

// A bound and listening socket.
struct http_endpoint {
        int fd;
        char *address;   // as http_address tells it
        char *unix_path; // NULL for TCP
        dev_t dev;       // of the socket file, to remove at the end only what was made here
        ino_t ino;
};

struct http_server {
        uv_loop_t *loop;
        struct http_options options;
        struct http_endpoint endpoint;
        uv_poll_t listener;
        uv_timer_t tick;
        uv_idle_t wake;
        struct link conns, ready; // struct http_conn.link, .ready
        int n_conns;              // open ones; conns holds also those whose close callback is still to come
        int n_handles;            // libuv handles whose close callback is still to come
        bool draining, closing;
        int descriptors;     // of the process, where these and not the options limit the connections; else 0
        int refused_max;     // connections over the limit that are told so
        bool paused;         // not accepting until the next tick
        int64_t quiet_until; // of warnings about that, on uv_now's clock
        void (*drained)(void *ctx);
        void *drained_ctx;
        int64_t date_second;
        char date[32];
        char read[HTTP_READ_BYTES]; // libuv fills it right before it is handled, so all connections share one
};

// listen.c: opens what options.listen names.
enum dyn_status http_endpoint_open(struct http_endpoint *, const char *listen, struct dyn_error *);

// Closes the socket and removes its file.
void http_endpoint_close(struct http_endpoint *);

// accept.c: raises the process's descriptor limit as far as it may, and lowers options.max_connections to what it
// allows.
void http_accept_prepare(struct http_server *);

// Takes connections from now on.
void http_accept_start(struct http_server *);

// At each tick: goes on where the system had no descriptor left.
void http_accept_tick(struct http_server *);

// Keeps the tick going until there are no connections.
void http_server_tick(struct http_server *);

// "Tue, 15 Nov 1994 08:12:31 GMT", made once a second.
const char *http_server_date(struct http_server *);

// Has on_wake run soon, from the loop: for what must not happen inside a caller's call.
void http_server_wake(struct http_server *);

// A connection was closed; the last one of a drain ends it.
void http_server_conn_gone(struct http_server *);

// One of the server's handles is gone; the last one frees the server.
void http_server_handle_gone(struct http_server *);

#endif
