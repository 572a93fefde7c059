// The HTTP/1.1 server: connections, parsing (llhttp), limits, keep-alive and pipelining, answers whole or streamed. It
// knows no API: it is handed a route table and calls handlers. Everything here is for the loop thread.
//
// One exchange is one request and its answer. A handler runs when the whole body has arrived; it answers at once or
// later, through the exchange, exactly once: http_respond, or http_stream_open .. http_stream_close. If the peer leaves
// first, on_abort is called once and the exchange is gone when it returns; after http_respond or http_stream_close it
// is gone too.
#ifndef DYNLORA_HTTP_HTTP_H
#define DYNLORA_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include <uv.h>

#include "base/buf.h"
#include "dynlora/status.h"

struct http_server;
struct http_exchange;

struct http_route {
        const char *method;
        const char *path; // "/v1/models", or "/v1/models/{id}": the braces match one segment, percent-decoded
        void (*handle)(struct http_exchange *, void *ctx);
        bool local_only; // 403 unless the peer is on this machine
};

struct http_options {
        const char *listen; // "HOST:PORT", "[V6]:PORT", "unix:PATH"; port 0 picks one
        const struct http_route *routes;
        int n_routes;
        void *ctx;                        // given to handlers
        size_t max_header, max_body;      // bytes: 431, 413
        int max_connections;              // more are closed at once
        int header_seconds, body_seconds; // to receive them in full: 408
        int idle_seconds;                 // between requests on a connection
        int write_seconds;                // a peer that reads nothing for so long is dropped
        const char *cors_origin;          // NULL: no CORS headers; "*" or an origin: also answers preflights
        // The body of an error that http finds by itself (bad HTTP, 404, 405, 408, 411, 413, 431), as JSON.
        void (*error_body)(int status, const char *message, struct buf *out);
        // Called once for each answered or broken exchange, for the log and metrics; status 499 if the peer left. May
        // be NULL.
        void (*on_done)(void *ctx, const char *method, const char *path, int status, double seconds);
};

enum dyn_status http_listen(struct http_server **, uv_loop_t *, const struct http_options *, struct dyn_error *);

// The address as bound: "127.0.0.1:8000" or "unix:/path".
const char *http_address(const struct http_server *);

// Stops accepting, closes idle connections, lets running exchanges end (each connection closes after its answer), then
// calls done.
void http_drain(struct http_server *, void (*done)(void *ctx));

// Closes what is left; on_abort is called for open exchanges. The loop must run once more before the memory is gone.
void http_close(struct http_server *);

// The request. Strings and body live as long as the exchange.
const char *http_method(const struct http_exchange *);
const char *http_path(const struct http_exchange *);
const char *http_param(const struct http_exchange *); // what {..} matched, or NULL
const char *http_query(
        const struct http_exchange *, const char *name); // percent-decoded value, "" without value, NULL if absent
const char *http_header(const struct http_exchange *, const char *name); // any case; NULL if absent
const char *http_body(const struct http_exchange *, size_t *len);        // NUL-terminated
bool http_peer_is_local(const struct http_exchange *);

// The answer. Headers first; the values are copied. Content-Length, Date, Connection, CORS come by themselves.
void http_add_header(struct http_exchange *, const char *name, const char *value);
void http_respond(struct http_exchange *, int status, const char *content_type, const char *body, size_t len);

// A streamed answer: chunked for HTTP/1.1, until close for 1.0. Writes never block: what the peer has not taken yet is
// http_stream_backlog bytes; on_drained is called when it has fallen to a quarter of the high mark after exceeding it.
void http_stream_open(struct http_exchange *, int status, const char *content_type);
void http_stream_write(struct http_exchange *, const char *data, size_t len);
size_t http_stream_backlog(const struct http_exchange *);
void http_stream_close(struct http_exchange *);

#define HTTP_BACKLOG_HIGH (256 * 1024)

void http_on_drained(struct http_exchange *, void (*drained)(struct http_exchange *, void *user), void *user);
void http_on_abort(struct http_exchange *, void (*aborted)(struct http_exchange *, void *user), void *user);

// One server-sent event: "event: name\n" (if name) and "data: ...\n\n". data must be one line.
void http_stream_event(struct http_exchange *, const char *name, const char *data, size_t len);

#endif
