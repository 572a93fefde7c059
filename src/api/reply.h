// The out-door: how this room answers when it is not streaming, and the only place where a status becomes an HTTP
// status. After a call of these the exchange is gone. Loop thread.
#ifndef DYNLORA_API_REPLY_H
#define DYNLORA_API_REPLY_H

#include "api/problem.h"
#include "base/buf.h"
#include "http/http.h"

int reply_status(const struct problem *);

void reply_problem(struct http_exchange *, const struct problem *);

// The body {"error": {...}} alone: for a problem, and for an error that http finds by itself.
void reply_problem_body(const struct problem *, struct buf *out);
void reply_http_body(int status, const char *message, struct buf *out);

void reply_json(struct http_exchange *, int status, const struct buf *body);

// The same with a body that may be large: it is taken over and *body is empty afterwards.
void reply_json_buf(struct http_exchange *, int status, struct buf *body);

#endif
