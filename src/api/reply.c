#include "api/reply.h"

#include <stdio.h>

#include "api/writer.h"

// Columns: ABOUT_REQUEST, ABOUT_ADAPTER, ABOUT_SERVER.
static const struct {
        int http[3];
        const char *code;
} by_status[] = {
        [DYN_OK] = {{200, 200, 200}, NULL},
        [DYN_INVALID] = {{400, 422, 500}, "invalid_value"},
        [DYN_NOT_FOUND] = {{404, 422, 404}, "not_found"},
        [DYN_CONFLICT] = {{409, 409, 409}, "conflict"},
        [DYN_FORBIDDEN] = {{403, 403, 403}, "forbidden"},
        [DYN_UNSUPPORTED] = {{400, 422, 500}, "unsupported"},
        [DYN_NO_MEMORY] = {{507, 507, 507}, "out_of_memory"},
        [DYN_IO] = {{500, 422, 500}, "io_error"},
        [DYN_BUSY] = {{429, 503, 503}, "busy"},
};

int reply_status(const struct problem *p)
{
        return by_status[p->err.status].http[p->about];
}

static const char *type_of(int status)
{
        switch (status) {
        case 401:
                return "authentication_error";
        case 403:
                return "permission_error";
        case 429:
                return "rate_limit_error";
        default:
                return status >= 500 ? "server_error" : "invalid_request_error";
        }
}

// A message is one line, whatever it quotes.
static void write_message(struct writer *w, const char *message)
{
        char line[sizeof((struct dyn_error *)0)->text];

        snprintf(line, sizeof line, "%s", message);
        for (char *c = line; *c != 0; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        *c = '?';
        writer_member_string(w, "message", line);
}

static void error_body(int status, const char *message, const char *param, const char *code, struct buf *out)
{
        struct writer w = {out};

        writer_open(&w, '{');
        writer_key(&w, "error");
        writer_open(&w, '{');
        write_message(&w, message);
        writer_member_string(&w, "type", type_of(status));
        writer_member_string(&w, "param", param);
        writer_member_string(&w, "code", code);
        writer_close(&w, '}');
        writer_close(&w, '}');
}

void reply_problem_body(const struct problem *p, struct buf *out)
{
        error_body(reply_status(p), p->err.text, p->param[0] ? p->param : NULL,
                p->code ? p->code : by_status[p->err.status].code, out);
}

void reply_http_body(int status, const char *message, struct buf *out)
{
        error_body(status, message, NULL, status == 401 ? "invalid_api_key" : NULL, out);
}

void reply_json(struct http_exchange *x, int status, const struct buf *body)
{
        http_respond(x, status, "application/json", body->data, body->len);
}

void reply_json_buf(struct http_exchange *x, int status, struct buf *body)
{
        http_respond_buf(x, status, "application/json", body);
}

void reply_problem(struct http_exchange *x, const struct problem *p)
{
        int status = reply_status(p);
        struct buf body = {0};

        if (status == 429)
                http_add_header(x, "Retry-After", "1");
        if (status == 503)
                http_add_header(x, "Retry-After", "5");
        reply_problem_body(p, &body);
        http_explain(x, p->err.text);
        reply_json(x, status, &body);
        buf_free(&body);
}
