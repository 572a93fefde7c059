// Fuzzes the http room from outside: the input's bytes go to a real server over a unix socket, cut where the input
// says, and answers are read and thrown away. Whatever comes, the server must neither break a contract of its own
// (asserts, sanitizers) nor keep the connection after the peer left. Built with libFuzzer, or with -DFUZZ_MAIN as a
// program that runs the files it is given.
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uv_loop_t loop;
static struct http_server *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct http_exchange *open_exchange; // the one of /later
static int n_open;

static void handle_now(struct http_exchange *e, void *ctx)
{
        size_t len;
        const char *body = http_body(e, &len), *q = http_query(e, "q"), *x = http_header(e, "x");

        assert(body[len] == 0);
        http_add_header(e, "X-Echo", q ? q : x ? x : http_path(e));
        http_respond(e, 200, "text/plain", body, len);
}

static void gone(struct http_exchange *e, void *user)
{
        assert(e == open_exchange);
        open_exchange = NULL;
        n_open--;
}

static void handle_later(struct http_exchange *e, void *ctx)
{
        assert(n_open == 0);
        n_open++;
        open_exchange = e;
        http_on_abort(e, gone, NULL);
}

static void handle_stream(struct http_exchange *e, void *ctx)
{
        const char *param = http_param(e);

        http_stream_open(e, 200, "text/plain");
        http_stream_write(e, param, strlen(param));
        http_stream_event(e, "name", "data", 4);
        http_stream_close(e);
}

static void handle_upload(struct http_exchange *e, void *ctx)
{
        int fd = http_body_file(e);

        assert(fd >= 0 && http_body_file(e) < 0);
        close(fd);
        http_respond(e, 201, NULL, "", 0);
}

static int admit(void *ctx, struct http_exchange *e, int access, const char **why)
{
        *why = "not you";
        return access == 1 && !http_peer_is_local(e) ? 403 : 0;
}

static void error_body(int status, const char *message, struct buf *out)
{
        buf_printf(out, "%d %s", status, message);
}

static const struct http_route routes[] = {
        {"GET", "/", handle_now},
        {"POST", "/", handle_now},
        {"POST", "/later", handle_later},
        {"GET", "/later", handle_later},
        {"GET", "/s/{id}", handle_stream},
        {"PUT", "/s/{id}/x", handle_stream, .access = 1},
        {"PUT", "/u", handle_upload, .upload = true},
};

static void start(void)
{
        static char listen_at[64] = "unix:/tmp/fuzz_http.XXXXXX";
        struct dyn_error err;
        struct http_options o = {
                .routes = routes,
                .n_routes = sizeof routes / sizeof *routes,
                .max_header = 1024,
                .max_body = 2048,
                .max_upload = 3000,
                .max_connections = 10,
                .header_seconds = 60,
                .body_seconds = 60,
                .idle_seconds = 60,
                .write_seconds = 60,
                .cors_origin = "*",
                .admit = admit,
                .error_body = error_body,
        };

        if (mkdtemp(listen_at + 5) == NULL)
                abort();
        strcat(listen_at, "/s");
        o.listen = listen_at;
        strcpy(address.sun_path, listen_at + 5);
        uv_loop_init(&loop);
        if (http_listen(&server, &loop, &o, &err) != DYN_OK)
                abort();
}

static void turn(int fd)
{
        static char sink[65536];

        uv_run(&loop, UV_RUN_NOWAIT);
        while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
                uv_run(&loop, UV_RUN_NOWAIT);
}

// The first byte says how long the pieces are (0: one piece) and whether /later is answered; the rest is sent.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        if (len == 0)
                return 0;
        if (server == NULL)
                start();
        size_t piece = data[0] & 0x3f ? data[0] & 0x3f : len;
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
                abort();
        turn(fd);
        for (size_t at = 1, n; at < len; at += n) {
                n = len - at < piece ? len - at : piece;
                if (send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
                        break;
                turn(fd);
                if ((data[0] & 0x40) != 0 && open_exchange != NULL) {
                        struct http_exchange *e = open_exchange;
                        open_exchange = NULL;
                        n_open--;
                        http_respond(e, 200, "text/plain", "later", 5);
                        turn(fd);
                }
        }
        if ((data[0] & 0x80) != 0)
                shutdown(fd, SHUT_WR);
        else
                close(fd);
        for (int i = 0; i < 3; i++)
                uv_run(&loop, UV_RUN_NOWAIT);
        if ((data[0] & 0x80) != 0)
                close(fd);
        uv_run(&loop, UV_RUN_NOWAIT);
        assert(n_open == 0);
        return 0;
}
