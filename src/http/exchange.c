// The life of an exchange and what a handler may ask of its request. Handlers and the api room come in here.
#include "http/exchange.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"

struct http_exchange *http_exchange_create(struct http_conn *c)
{
        struct http_exchange *e = mem_zalloc(sizeof *e);

        e->conn = c;
        e->file = -1;
        e->started = uv_hrtime();
        return e;
}

void http_exchange_destroy(struct http_exchange *e)
{
        if (e == NULL)
                return;
        buf_free(&e->target);
        buf_free(&e->query);
        buf_free(&e->param);
        buf_free(&e->headers);
        buf_free(&e->body);
        buf_free(&e->extra);
        if (e->file >= 0)
                close(e->file);
        mem_free(e);
}

void http_exchange_finish(struct http_exchange *e, int status)
{
        const struct http_options *o = &e->conn->server->options;

        if (o->on_done != NULL)
                o->on_done(o->ctx, http_method(e), http_path(e), status, e->refusal[0] ? e->refusal : NULL,
                        (double)(uv_hrtime() - e->started) / 1e9);
        http_exchange_destroy(e);
}

const char *http_method(const struct http_exchange *e)
{
        return e->method ? e->method : "-";
}

const char *http_path(const struct http_exchange *e)
{
        return e->path ? e->path : "-";
}

const char *http_param(const struct http_exchange *e)
{
        return e->has_param ? e->param.data : NULL;
}

// The value after a name in "name\0value\0name\0value\0"; compare tells names apart.
static const char *lookup(const struct buf *pairs, const char *name, int (*compare)(const char *, const char *))
{
        for (size_t at = 0; at < pairs->len;) {
                const char *key = pairs->data + at, *value = key + strlen(key) + 1;

                if (compare(key, name) == 0)
                        return value;
                at = (size_t)(value - pairs->data) + strlen(value) + 1;
        }
        return NULL;
}

const char *http_query(const struct http_exchange *e, const char *name)
{
        return lookup(&e->query, name, strcmp);
}

const char *http_query_unknown(const struct http_exchange *e, const char **taken)
{
        *taken = e->route->query;
        for (size_t at = 0; at < e->query.len && !e->route->any_query;) {
                const char *key = e->query.data + at, *value = key + strlen(key) + 1;

                if (*taken == NULL || strcmp(key, *taken) != 0)
                        return key;
                at = (size_t)(value - e->query.data) + strlen(value) + 1;
        }
        return NULL;
}

const char *http_header(const struct http_exchange *e, const char *name)
{
        // A refusal may come before the last one has its value.
        struct buf whole = {.data = e->headers.data, .len = e->headers_whole};

        return lookup(&whole, name, strcasecmp);
}

const char *http_body(const struct http_exchange *e, size_t *len)
{
        if (len != NULL)
                *len = e->body.len;
        return e->body.data ? e->body.data : "";
}

struct buf http_take_body(struct http_exchange *e)
{
        struct buf body = e->body;

        e->body = (struct buf){0};
        return body;
}

// A browser names the page that a request comes from; only this server's own pages speak for somebody on this machine.
static bool from_own_page(const struct http_exchange *e)
{
        const char *origin = http_header(e, "origin"), *host = http_header(e, "host");

        if (origin == NULL)
                return true;
        const char *authority = strstr(origin, "://");
        return authority != NULL && host != NULL && strcasecmp(authority + 3, host) == 0;
}

// Anybody's name can be pointed at this machine, and a browser then takes that name's pages for this server's own (DNS
// rebinding). What is asked for by address or as localhost was meant for this machine; a Unix socket has no browsers.
static bool has_own_name(const struct http_exchange *e)
{
        const char *host = http_header(e, "host");
        char name[INET_ADDRSTRLEN];
        struct in_addr address;

        if (host == NULL || host[0] == '[' || e->conn->socket.handle.type == UV_NAMED_PIPE)
                return true;
        size_t len = strcspn(host, ":");
        if (len >= sizeof name)
                return false;
        snprintf(name, sizeof name, "%.*s", (int)len, host);
        return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &address) == 1;
}

bool http_peer_is_local(const struct http_exchange *e)
{
        return http_conn_is_local(e->conn) && http_header(e, "forwarded") == NULL &&
               http_header(e, "x-forwarded-for") == NULL && has_own_name(e) && from_own_page(e);
}

size_t http_stream_backlog(const struct http_exchange *e)
{
        return http_conn_backlog(e->conn);
}

void http_on_drained(struct http_exchange *e, void (*drained)(struct http_exchange *, void *user), void *user)
{
        e->drained = drained;
        e->drained_user = user;
}

void http_on_abort(struct http_exchange *e, void (*aborted)(struct http_exchange *, void *user), void *user)
{
        e->aborted = aborted;
        e->aborted_user = user;
}
