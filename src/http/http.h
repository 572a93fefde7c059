// The HTTP/1.1 server: connections, parsing (llhttp), limits, keep-alive and pipelining, answers whole or streamed. It
// knows no API: it is handed a route table and calls handlers. Everything here is for the loop thread.
//
// One exchange is one request and its answer. A handler runs when the whole body has arrived; it answers at once or
// later, through the exchange, exactly once: http_respond, or http_stream_open .. http_stream_close. After http_respond
// or http_stream_close the exchange is gone. If the peer leaves first, on_abort is called once, from the loop or from
// http_close and never from inside another call of yours, and the exchange is gone when it returns; until then calls on
// it are allowed and lead nowhere. A handler that returns without an answer must have set on_abort.
//
// A connection has one exchange at a time; what a peer sends ahead waits, and is read up to a bound. The end of the
// peer's side (a half-close too) while an exchange is open is a hang-up.
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
        // "/v1/models", or "/v1/models/{id}": the braces match one segment that is not empty, percent-decoded. The
        // first row that fits wins; GET rows answer HEAD too, with the body left out.
        const char *path;
        void (*handle)(struct http_exchange *, void *ctx);
        int access;        // the owner's word for who may, given to options.admit
        bool upload;       // the body goes to a file (http_body_file), up to max_upload, as long as it keeps coming
        const char *query; // the parameter that it takes, NULL: none
        bool any_query;    // whatever others there are is ignored
};

struct http_options {
        const char *listen;              // "HOST:PORT", "[V6]:PORT", "unix:PATH"; port 0 picks one
        const struct http_route *routes; // stays the caller's, until the server's memory is gone
        int n_routes;
        void *ctx;                        // given to handlers
        size_t max_header, max_body;      // bytes: 431, 413
        size_t max_upload;                // bytes, of routes that take uploads: 413
        const char *upload_folder;        // where they are written while they come; NULL: the system's temporary one
        int max_connections;              // more get 503 and are closed
        int header_seconds, body_seconds; // to receive them in full: 408
        int idle_seconds;                 // between requests on a connection
        int write_seconds; // a peer that takes nothing for so long, or less than HTTP_LEAST_RATE of much, is dropped
        const char *cors_origin; // NULL: no CORS headers; "*" or an origin: also answers preflights
        // Called when a request's head is complete and its route found, before any of its body is read: 0, or the
        // status to refuse it with and why, in a sentence that outlives the call. It may look at the request and add
        // headers. NULL: everybody may.
        int (*admit)(void *ctx, struct http_exchange *, int access, const char **why);
        // The body, as JSON, of an error that http finds by itself or admit answers: 400, 404, 405, 408, 411, 413, 414,
        // 417, 431, 501 (a transfer coding), 503 (too many connections), 505.
        void (*error_body)(int status, const char *message, struct buf *out);
        // Called once for each answered or broken exchange, for the log and metrics, when its last byte is handed over
        // for writing. Status 499 if the peer left before that; method and path "-" where the request had none yet;
        // path without query, as sent; why it was refused, NULL if nobody said; seconds since the first byte of the
        // request. May be NULL.
        void (*on_done)(void *ctx, const char *method, const char *path, int status, const char *why, double seconds);
};

// Raises the process's descriptor limit as far as it may, lowers max_connections to what that allows, and ignores
// SIGPIPE. A socket file whose server is dead is replaced. DYN_INVALID for an address that is none, DYN_CONFLICT if
// somebody listens there.
enum dyn_status http_listen(struct http_server **, uv_loop_t *, const struct http_options *, struct dyn_error *);

// The address as bound: "127.0.0.1:8000", "[::1]:8000" or "unix:/path".
const char *http_address(const struct http_server *);

// From now on each connection closes behind its next answer. All are still taken: who asks hears that the server is
// stopping. Once.
void http_wind_down(struct http_server *);

// After that: stops accepting, closes idle connections, lets running exchanges and requests that are half here end, then
// calls done with ctx from the loop. Once.
void http_drain(struct http_server *, void (*done)(void *ctx), void *ctx);

// Ends what still runs then: each request that is here, in whole or in part, is answered with status and body,
// which is JSON; a stream that has begun ends with body as an `error` event. To its handler the peer has left
// (on_abort).
void http_cut_off(struct http_server *, int status, const struct buf *body);

// Closes what is left; on_abort is called for open exchanges. The loop must run once more before the memory is gone.
void http_close(struct http_server *);

// The request. Strings and body live as long as the exchange.
const char *http_method(const struct http_exchange *);
const char *http_path(const struct http_exchange *);
const char *http_param(const struct http_exchange *); // what {..} matched, or NULL
// The decoded value ('+' is a space), "" without one, NULL if absent; the first of several.
const char *http_query(const struct http_exchange *, const char *name);
// The first parameter that its route does not take, NULL if there is none; and the one that it does, or NULL.
const char *http_query_unknown(const struct http_exchange *, const char **taken);
// Any case; the first of several; NULL if absent.
const char *http_header(const struct http_exchange *, const char *name);
const char *http_body(const struct http_exchange *, size_t *len); // NUL-terminated

// The body as the caller's own, who may need it for longer than the exchange lasts; there is none left here.
struct buf http_take_body(struct http_exchange *);

// Whether the request comes from this machine and from nobody else by way of it: one that a proxy says it forwarded
// (Forwarded, X-Forwarded-For), or that a browser sends for another site's page (Origin, or a Host that is neither an
// address nor localhost), does not.
bool http_peer_is_local(const struct http_exchange *);

// The body of an upload, rewound: a file without a name. The caller's to close; -1 the second time.
int http_body_file(struct http_exchange *);

// The answer. Headers first; the values are copied, control characters become spaces. Content-Length, Date, Connection,
// CORS come by themselves. body is copied; content_type may be NULL where there is none.
void http_add_header(struct http_exchange *, const char *name, const char *value);
void http_respond(struct http_exchange *, int status, const char *content_type, const char *body, size_t len);

// The same with a body that is taken over rather than copied, however large; *body is empty afterwards.
void http_respond_buf(struct http_exchange *, int status, const char *content_type, struct buf *body);

// Why the answer to come is an error, for on_done.
void http_explain(struct http_exchange *, const char *why);

// A streamed answer: chunked for HTTP/1.1, until close for 1.0. Writes never block: what the peer has not taken yet is
// http_stream_backlog bytes; on_drained is called, from the loop, when it has fallen to a quarter of the high mark
// after exceeding it. Nothing else bounds the backlog: who writes must look at it. A peer that takes nothing for
// write_seconds is dropped, and so is one that takes less than HTTP_LEAST_RATE for so long while more than a quarter of
// the high mark is left to take.
void http_stream_open(struct http_exchange *, int status, const char *content_type);
void http_stream_write(struct http_exchange *, const char *data, size_t len);
size_t http_stream_backlog(const struct http_exchange *);
void http_stream_close(struct http_exchange *);

#define HTTP_BACKLOG_HIGH (256 * 1024)
#define HTTP_LEAST_RATE   1024 // bytes a second

void http_on_drained(struct http_exchange *, void (*drained)(struct http_exchange *, void *user), void *user);
void http_on_abort(struct http_exchange *, void (*aborted)(struct http_exchange *, void *user), void *user);

// One server-sent event: "event: name\n" (if name) and "data: ...\n\n". data must be one line.
void http_stream_event(struct http_exchange *, const char *name, const char *data, size_t len);

#endif
