// One connection: its socket, its parser, and the phase that it is in. A connection that waits for a request holds no
// buffer, so that ten thousand of them are cheap.
#ifndef DYNLORA_HTTP_CONN_H
#define DYNLORA_HTTP_CONN_H

#include <llhttp.h>

#include "http/server.h"

// In the order of a request's life; up to CONN_BODY bytes are parsed as they come.
enum http_phase {
        CONN_IDLE,    // between requests
        CONN_HEAD,    // request line and headers are coming
        CONN_BODY,    // the body is coming
        CONN_RUNNING, // a handler has the exchange; what comes is kept for later
        CONN_FLUSH,   // the last answer is being written; what comes is dropped
        CONN_LINGER,  // our side is shut down; reads on for a while, so that a reset does not overtake the answer
        CONN_CLOSED,  // waits for libuv's close callback
};

struct http_conn {
        union http_socket socket;
        struct http_server *server;
        struct link link, ready;
        enum http_phase phase;
        bool reading;         // the socket is being read
        bool feeding;         // inside the parser or a handler that it called: output waits until the end
        bool broken;          // the socket failed: nothing more is written, the exchange is aborted soon
        bool ended;           // the peer has shut down its side
        int64_t deadline;     // of the phase, on uv_now's clock; 0: none
        int64_t linger_until; // the end of CONN_LINGER whatever the peer sends
        llhttp_t parser;
        size_t head_bytes; // read of the head that is coming
        size_t body_bytes; // read of the body that is coming, chunk framing included
        struct http_exchange *exchange;
        struct buf pending;       // came while a handler had the exchange
        size_t pending_at;        // of which this much is parsed
        struct buf out, sending;  // not yet given to the socket; being written
        struct buf large;         // what comes after out, and no more comes after it until it is being written
        struct buf sending_large; // the same of sending
        bool writing;
        uv_write_t write;
        uv_shutdown_t shutdown;
        uint64_t queued, taken; // bytes ever put into out; of these taken by the peer at the last tick
        int64_t stalled_since;  // when taken last grew
        uint64_t paced;         // bytes taken when the peer was last found to read fast enough,
        int64_t paced_since;    // and when that was
};

// Takes an accepted socket; NULL if libuv will not have it.
struct http_conn *http_conn_open(struct http_server *, int fd);

// Parses what came in the meantime, or closes a broken one. Called by the server for each ready connection.
void http_conn_resume(struct http_conn *);

// Deadlines and stalled peers. Called at each tick, now on uv_now's clock.
void http_conn_check(struct http_conn *, int64_t now);

// The server stops: an idle connection closes, the others after their answer.
void http_conn_drain(struct http_conn *);

// The exchange was answered and is gone.
void http_conn_answered(struct http_conn *, bool keep_alive);

// What follows from the present state: output to write, a close, reading on or off.
void http_conn_settle(struct http_conn *);

// Aborts the exchange and closes the socket. Not from inside a call of a handler's.
void http_conn_close(struct http_conn *);

// Has http_conn_resume called soon, from the loop.
void http_conn_wake(struct http_conn *);

// Whether both ends are on this machine.
bool http_conn_is_local(const struct http_conn *);

// output.c: appends to the output, or takes over what is to come last in it; flush hands it to the socket.
void http_conn_put(struct http_conn *, const char *data, size_t len);
void http_conn_put_buf(struct http_conn *, struct buf *data);
void http_conn_flush(struct http_conn *);

// Bytes that the peer's side has not taken yet.
size_t http_conn_backlog(const struct http_conn *);

// How the peer has failed to take its answer for the server's write_seconds, "took nothing" for one; NULL if it has
// not. Asked at each tick.
const char *http_conn_stalled(struct http_conn *, int64_t now);

// request.c: parses some of the bytes and returns how many. A request that is complete is handled, a wrong one refused.
size_t http_conn_parse(struct http_conn *, const char *data, size_t len);
void http_conn_parser_init(struct http_conn *);

#endif
