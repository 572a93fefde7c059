// One request and its answer, as the files of this room see it. Made at the first byte of a request, gone when it is
// answered or aborted; the connection points at it in between.
#ifndef DYNLORA_HTTP_EXCHANGE_H
#define DYNLORA_HTTP_EXCHANGE_H

#include "http/conn.h"

struct http_exchange {
        struct http_conn *conn;
        const struct http_route *route;
        uint64_t started; // uv_hrtime at the first byte

        // The request.
        const char *method;
        struct buf target;    // as sent; after the head is complete it ends at the '?'
        char *path;           // inside target: without "http://host"
        struct buf query;     // "name\0value\0" for each, decoded
        struct buf param;     // what {..} matched, decoded
        struct buf headers;   // "name\0value\0" for each
        size_t headers_whole; // bytes of headers that are whole pairs
        int n_headers;
        bool target_complete, has_param;
        struct buf body;
        int file;        // what an upload is written to, -1 if none
        bool file_taken; // by http_body_file
        size_t uploaded; // bytes in it

        // What http has against it: answered without a handler when the request is complete, or at once.
        int refused;                                       // a status, or 0
        char refusal[sizeof((struct dyn_error *)0)->text]; // why; or why a handler answers an error
        bool preflight;

        // The answer.
        bool keep_alive, head_only;
        bool streaming, chunked, over_high;
        int status;
        struct buf extra; // header lines
        void (*drained)(struct http_exchange *, void *user);
        void (*aborted)(struct http_exchange *, void *user);
        void *drained_user, *aborted_user;
};

struct http_exchange *http_exchange_create(struct http_conn *);

// Tells on_done and frees it.
void http_exchange_finish(struct http_exchange *, int status);

// Frees one that on_done shall not hear of.
void http_exchange_destroy(struct http_exchange *);

// Finds the route and fills param; NULL and the methods that the path has in allow ("GET, HEAD"), empty if the path has
// none. The first row that fits wins.
const struct http_route *http_route_find(const struct http_options *, const char *method, const char *path,
        struct buf *param, bool *has_param, struct buf *allow);

// Splits the target of a request into path and query and checks its escapes; a message if it is malformed.
const char *http_target_split(struct http_exchange *);

// Decodes %XX, and '+' as a space if asked. false for a broken escape or a NUL.
bool http_percent_decode(struct buf *out, const char *s, size_t len, bool plus);

// upload.c: more of an upload's body; errno and -1 if the disk has no room.
int http_upload_write(struct http_exchange *, const char *data, size_t len);

// Answers what no handler sees: the body comes from options.error_body.
void http_refuse(struct http_conn *, int status, const char *message);

// The connection's part of http_cut_off.
void http_cut_off_conn(struct http_conn *, int status, const struct buf *body);

// cors.c: whether this OPTIONS request is a preflight to be answered; if so its headers are added. allow is as
// http_route_find tells it.
bool http_cors_preflight(struct http_exchange *, const char *allow);

// The header lines that every answer to a browser of another origin needs.
void http_cors_put(const struct http_exchange *, struct buf *head);

#endif
