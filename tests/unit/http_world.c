#include "http_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"

static struct world *world_of(void *ctx)
{
        return ctx;
}

static void handle_health(struct http_exchange *e, void *ctx)
{
        http_respond(e, 200, "text/plain", "ok", 2);
}

static void handle_echo(struct http_exchange *e, void *ctx)
{
        size_t len;
        const char *body = http_body(e, &len);

        assert_int_equal(body[len], 0);
        uv_mutex_lock(&world_of(ctx)->mutex);
        world_of(ctx)->n_handled++;
        uv_mutex_unlock(&world_of(ctx)->mutex);
        http_respond(e, 200, "application/octet-stream", body, len);
}

static void handle_item(struct http_exchange *e, void *ctx)
{
        http_respond(e, 200, "text/plain", http_param(e), strlen(http_param(e)));
}

// What the request is made of, as the handler sees it.
static void handle_show(struct http_exchange *e, void *ctx)
{
        const char *q = http_query(e, "q"), *x = http_header(e, "X-TEST");
        struct buf b = {0};

        buf_printf(&b, "%s %s q=%s x=%s", http_method(e), http_path(e), q ? q : "none", x ? x : "none");
        http_respond(e, 200, "text/plain", b.data, b.len);
        buf_free(&b);
}

static void on_aborted(struct http_exchange *e, void *user)
{
        struct world *w = user;

        uv_mutex_lock(&w->mutex);
        for (int i = 0; i < w->n_held; i++)
                if (w->held[i] == e) {
                        memmove(w->held + i, w->held + i + 1, (size_t)(--w->n_held - i) * sizeof *w->held);
                        break;
                }
        w->n_aborted++;
        uv_cond_broadcast(&w->cond);
        uv_mutex_unlock(&w->mutex);
}

static void handle_later(struct http_exchange *e, void *ctx)
{
        struct world *w = ctx;

        http_on_abort(e, on_aborted, w);
        if (http_query(e, "stream") != NULL)
                http_stream_open(e, 200, "text/event-stream");
        uv_mutex_lock(&w->mutex);
        w->held[w->n_held++] = e;
        uv_cond_broadcast(&w->cond);
        uv_mutex_unlock(&w->mutex);
}

static void handle_failure(struct http_exchange *e, void *ctx)
{
        http_explain(e, "no room");
        http_respond(e, 507, NULL, "", 0);
}

static void handle_stream(struct http_exchange *e, void *ctx)
{
        http_stream_open(e, 200, "text/event-stream");
        http_stream_event(e, NULL, "{\"a\":1}", 7);
        http_stream_event(e, "error", "[DONE]", 6);
        http_stream_write(e, "", 0);
        http_stream_close(e);
}

// A stream of `left` bytes that respects the high mark.
struct flood {
        size_t left, total;
        struct world *world;
};

static void flood_on(struct http_exchange *e, void *user)
{
        struct flood *f = user;
        char block[1000];
        size_t backlog = http_stream_backlog(e);

        while (f->left > 0 && http_stream_backlog(e) <= HTTP_BACKLOG_HIGH) {
                size_t n = f->left < sizeof block ? f->left : sizeof block;

                for (size_t i = 0; i < n; i++)
                        block[i] = (char)('a' + (f->total - f->left + i) % 23);
                http_stream_write(e, block, n);
                f->left -= n;
        }
        uv_mutex_lock(&f->world->mutex);
        if (backlog > f->world->max_when_drained)
                f->world->max_when_drained = backlog;
        if (http_stream_backlog(e) > f->world->max_backlog)
                f->world->max_backlog = http_stream_backlog(e);
        f->world->n_drained_calls++;
        uv_cond_broadcast(&f->world->cond);
        uv_mutex_unlock(&f->world->mutex);
        if (f->left == 0) {
                http_stream_close(e);
                mem_free(f);
        }
}

static void flood_aborted(struct http_exchange *e, void *user)
{
        struct flood *f = user;
        struct world *w = f->world;

        mem_free(f);
        uv_mutex_lock(&w->mutex);
        w->n_aborted++;
        uv_cond_broadcast(&w->cond);
        uv_mutex_unlock(&w->mutex);
}

static void handle_flood(struct http_exchange *e, void *ctx)
{
        struct flood *f = mem_zalloc(sizeof *f);

        f->world = ctx;
        f->left = f->total = strtoull(http_query(e, "n"), NULL, 10);
        http_on_abort(e, flood_aborted, f);
        http_on_drained(e, flood_on, f);
        http_stream_open(e, 200, "application/octet-stream");
        flood_on(e, f);
}

static void handle_headers(struct http_exchange *e, void *ctx)
{
        http_add_header(e, "X-One", "a\r\nX-Evil: b");
        http_add_header(e, "Retry-After", "7");
        http_respond(e, 429, "application/json", "{}", 2);
}

static void handle_nothing(struct http_exchange *e, void *ctx)
{
        http_respond(e, 204, NULL, "", 0);
}

// What arrived in the file, read back.
static void handle_upload(struct http_exchange *e, void *ctx)
{
        struct buf b = {0};
        int fd = http_body_file(e);
        ssize_t n;

        while ((n = read(fd, buf_reserve(&b, 4096), 4096)) > 0)
                b.len += (size_t)n;
        close(fd);
        http_respond(e, http_body_file(e) < 0 ? 200 : 500, "application/octet-stream", b.data, b.len);
        buf_free(&b);
}

static const struct http_route routes[] = {
        {"GET", "/health", handle_health},
        {"POST", "/echo", handle_echo},
        {"GET", "/guarded", handle_health, .access = 2},
        {"POST", "/guarded", handle_echo, .access = 2},
        {"PUT", "/guarded", handle_upload, .access = 2, .upload = true},
        {"GET", "/item/{id}", handle_item},
        {"DELETE", "/item/{id}", handle_item},
        {"GET", "/item/{id}/more", handle_item},
        {"GET", "/show", handle_show},
        {"GET", "/later", handle_later},
        {"GET", "/failure", handle_failure},
        {"POST", "/later", handle_later},
        {"GET", "/stream", handle_stream},
        {"GET", "/flood", handle_flood},
        {"GET", "/headers", handle_headers},
        {"GET", "/nothing", handle_nothing},
        {"GET", "/local", handle_health, .access = 1},
        {"PUT", "/upload", handle_upload, .upload = true},
        {"GET", "/", handle_health},
};

// Access 1 is for this machine, 2 for those who send a pass.
static int admit(void *ctx, struct http_exchange *e, int access, const char **why)
{
        *why = access == 1 ? "only on this machine" : "no pass";
        if (access == 2 && http_header(e, "x-pass") == NULL) {
                http_add_header(e, "X-Wanted", "x-pass");
                return 401;
        }
        return access == 1 && !http_peer_is_local(e) ? 403 : 0;
}

static void error_body(int status, const char *message, struct buf *out)
{
        buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"%s\"}}", status, message);
}

static void on_done(void *ctx, const char *method, const char *path, int status, const char *why, double seconds)
{
        struct world *w = ctx;

        uv_mutex_lock(&w->mutex);
        if (w->n_done < WORLD_DONE_MAX) {
                w->done_status[w->n_done] = status;
                w->done_seconds[w->n_done] = seconds;
                snprintf(w->done_line[w->n_done], sizeof w->done_line[0], "%s %s", method, path);
                snprintf(w->done_why[w->n_done], sizeof w->done_why[0], "%s", why ? why : "");
        }
        w->n_done++;
        uv_cond_broadcast(&w->cond);
        uv_mutex_unlock(&w->mutex);
}

void world_init(struct world *w)
{
        memset(w, 0, sizeof *w);
        w->options = (struct http_options){
                .listen = "127.0.0.1:0",
                .routes = routes,
                .n_routes = sizeof routes / sizeof *routes,
                .ctx = w,
                .max_header = 8192,
                .max_body = 1 << 20,
                .max_upload = 4 << 20,
                .max_connections = 10000,
                .header_seconds = 30,
                .body_seconds = 30,
                .idle_seconds = 30,
                .write_seconds = 30,
                .admit = admit,
                .error_body = error_body,
                .on_done = on_done,
        };
}

static void on_call(uv_async_t *call)
{
        struct world *w = call->data;

        uv_mutex_lock(&w->mutex);
        void (*work)(struct world *, void *) = w->work;
        uv_mutex_unlock(&w->mutex);
        if (work == NULL)
                return;
        work(w, w->arg);
        uv_mutex_lock(&w->mutex);
        w->work = NULL;
        uv_cond_broadcast(&w->cond);
        uv_mutex_unlock(&w->mutex);
}

static void run(void *arg)
{
        uv_run(&((struct world *)arg)->loop, UV_RUN_DEFAULT);
}

void world_open(struct world *w)
{
        struct dyn_error err = {0};

        assert_int_equal(uv_loop_init(&w->loop), 0);
        uv_mutex_init(&w->mutex);
        uv_cond_init(&w->cond);
        uv_async_init(&w->loop, &w->call, on_call);
        w->call.data = w;
        if (http_listen(&w->server, &w->loop, &w->options, &err) != DYN_OK)
                fail_msg("%s", err.text);
        uv_thread_create(&w->thread, run, w);
}

void world_do(struct world *w, void (*work)(struct world *, void *arg), void *arg)
{
        uv_mutex_lock(&w->mutex);
        w->work = work;
        w->arg = arg;
        uv_async_send(&w->call);
        while (w->work != NULL)
                uv_cond_wait(&w->cond, &w->mutex);
        uv_mutex_unlock(&w->mutex);
}

static void close_all(struct world *w, void *arg)
{
        http_close(w->server);
        uv_close((uv_handle_t *)&w->call, NULL);
}

void world_close(struct world *w)
{
        world_do(w, close_all, NULL);
        uv_thread_join(&w->thread);
        assert_int_equal(uv_loop_close(&w->loop), 0);
        uv_cond_destroy(&w->cond);
        uv_mutex_destroy(&w->mutex);
}

void world_wait(struct world *w, const int *counter, int n)
{
        uint64_t end = uv_hrtime() + 10000000000u;
        bool reached = true;

        uv_mutex_lock(&w->mutex);
        while (reached && *counter < n)
                reached = uv_hrtime() < end && (uv_cond_timedwait(&w->cond, &w->mutex, 1000000000u), true);
        uv_mutex_unlock(&w->mutex);
        if (!reached)
                fail_msg("waited in vain for %d, found %d", n, *counter);
}

static void release(struct world *w, void *arg)
{
        uv_mutex_lock(&w->mutex);
        assert_true(w->n_held > 0);
        struct http_exchange *e = w->held[0];
        memmove(w->held, w->held + 1, (size_t)--w->n_held * sizeof *w->held);
        uv_mutex_unlock(&w->mutex);
        const char *q = http_query(e, "q");
        char text[64];
        snprintf(text, sizeof text, "later %s", q ? q : "");
        if (http_query(e, "stream") != NULL) {
                http_stream_event(e, NULL, text, strlen(text));
                http_stream_close(e);
        } else {
                http_respond(e, 200, "text/plain", text, strlen(text));
        }
}

void world_release(struct world *w)
{
        world_do(w, release, NULL);
}

int client_open_at(const char *address)
{
        struct timeval patience = {.tv_sec = 10};
        int fd;

        if (strncmp(address, "unix:", 5) == 0) {
                struct sockaddr_un a = {.sun_family = AF_UNIX};
                snprintf(a.sun_path, sizeof a.sun_path, "%s", address + 5);
                fd = socket(AF_UNIX, SOCK_STREAM, 0);
                assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        } else if (address[0] == '[') {
                struct sockaddr_in6 a;
                assert_int_equal(uv_ip6_addr("::1", atoi(strrchr(address, ':') + 1), &a), 0);
                fd = socket(AF_INET6, SOCK_STREAM, 0);
                assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        } else {
                struct sockaddr_in a;
                int on = 1;
                assert_int_equal(uv_ip4_addr("127.0.0.1", atoi(strrchr(address, ':') + 1), &a), 0);
                fd = socket(AF_INET, SOCK_STREAM, 0);
                assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        return fd;
}

int client_open(struct world *w)
{
        return client_open_at(http_address(w->server));
}

void client_send_n(int fd, const void *bytes, size_t len)
{
        const char *p = bytes;

        while (len > 0) {
                ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
                if (n <= 0)
                        fail_msg("send: %s", strerror(errno));
                p += n;
                len -= (size_t)n;
        }
}

void client_send(int fd, const char *bytes)
{
        client_send_n(fd, bytes, strlen(bytes));
}

static void receive(int fd, struct buf *b, size_t n)
{
        while (n > 0) {
                ssize_t got = recv(fd, buf_reserve(b, n), n, 0);
                if (got <= 0)
                        fail_msg("the answer ended early (%s) after: %s", got ? strerror(errno) : "end of file",
                                b->data ? b->data : "");
                b->len += (size_t)got;
                b->data[b->len] = 0;
                n -= (size_t)got;
        }
}

static void receive_line(int fd, struct buf *b, const char *until)
{
        do
                receive(fd, b, 1);
        while (b->len < strlen(until) || strcmp(b->data + b->len - strlen(until), until) != 0);
}

const char *answer_header(const struct answer *a, const char *name)
{
        static char value[512];
        size_t len = strlen(name);

        for (const char *line = strstr(a->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
                        snprintf(value, sizeof value, "%.*s", (int)strcspn(line + len + 2, "\r"), line + len + 2);
                        return value;
                }
        }
        return NULL;
}

static void receive_chunks(int fd, struct answer *a, struct buf *body)
{
        size_t n;

        a->chunked = true;
        do {
                struct buf line = {0}, end = {0};
                receive_line(fd, &line, "\r\n");
                n = strtoul(line.data, NULL, 16);
                receive(fd, body, n);
                receive(fd, &end, 2);
                assert_string_equal(end.data, "\r\n");
                a->n_chunks += n > 0;
                buf_free(&line);
                buf_free(&end);
        } while (n > 0);
}

struct answer client_answer(int fd, bool head_only)
{
        struct answer a = {0};
        struct buf head = {0}, body = {0};

        receive_line(fd, &head, "\r\n\r\n");
        a.head = head.data;
        assert_int_equal(strncmp(a.head, "HTTP/1.1 ", 9), 0);
        a.status = atoi(a.head + 9);
        buf_reserve(&body, 0);
        body.data[0] = 0;
        if (!head_only && a.status >= 200) {
                const char *length = answer_header(&a, "content-length");

                if (answer_header(&a, "transfer-encoding") != NULL)
                        receive_chunks(fd, &a, &body);
                else if ((length = answer_header(&a, "content-length")) != NULL)
                        receive(fd, &body, strtoul(length, NULL, 10));
        }
        a.body = body.data;
        a.len = body.len;
        return a;
}

void answer_free(struct answer *a)
{
        mem_free(a->head);
        mem_free(a->body);
}

void expect_status(int fd, const char *request, int status)
{
        client_send(fd, request);
        struct answer a = client_answer(fd, strncmp(request, "HEAD", 4) == 0);
        if (a.status != status)
                fail_msg("expected %d, found %s%s to %s", status, a.head, a.body, request);
        answer_free(&a);
}

bool client_sees_end(int fd)
{
        char byte;

        return recv(fd, &byte, 1, 0) == 0;
}

int open_descriptors(void)
{
        DIR *d = opendir("/proc/self/fd");
        int n = -1;

        while (readdir(d) != NULL)
                n++;
        closedir(d);
        return n;
}
