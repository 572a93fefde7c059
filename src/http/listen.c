// Opens the socket that options.listen names: TCP over IPv4 or IPv6, or a unix socket. Called once by http_listen; it
// knows addresses and files, not connections. The socket is made with plain system calls, so that a failure leaves no
// handle behind.
#include "http/server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"

#define ACCEPT_QUEUE 4096

static int bound(int family, const struct sockaddr *address, socklen_t len)
{
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

        if (fd < 0)
                return -1;
        if (family != AF_UNIX)
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, address, len) == 0 && listen(fd, ACCEPT_QUEUE) == 0)
                return fd;
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
}

// Removes the file of a server that died. A live one, or a file that is no socket, is an error.
static enum dyn_status clear_stale(const struct sockaddr_un *address, struct dyn_error *err)
{
        struct stat st;

        if (lstat(address->sun_path, &st) != 0)
                return DYN_OK;
        if (!S_ISSOCK(st.st_mode))
                return dyn_fail(
                        err, DYN_CONFLICT, "listen: %s: expected a socket or no file, found a file", address->sun_path);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        bool stale = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
        close(fd);
        if (!stale)
                return dyn_fail(err, DYN_CONFLICT, "listen: %s: another server listens there", address->sun_path);
        unlink(address->sun_path);
        return DYN_OK;
}

static enum dyn_status open_unix(struct http_endpoint *e, const char *path, struct dyn_error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct stat st;

        if (path[0] == 0 || strlen(path) >= sizeof address.sun_path)
                return dyn_fail(err, DYN_INVALID, "listen: a unix socket's path has 1 to %zu bytes, this one %zu",
                        sizeof address.sun_path - 1, strlen(path));
        strcpy(address.sun_path, path);
        if (clear_stale(&address, err) != DYN_OK)
                return err ? err->status : DYN_CONFLICT;
        e->fd = bound(AF_UNIX, (struct sockaddr *)&address, sizeof address);
        if (e->fd < 0)
                return dyn_fail(err, DYN_IO, "listen: %s: %s", path, strerror(errno));
        if (lstat(path, &st) == 0) {
                e->dev = st.st_dev;
                e->ino = st.st_ino;
        }
        e->unix_path = mem_strdup(path);
        e->address = mem_printf("unix:%s", path);
        return DYN_OK;
}

static char *printed(int fd)
{
        struct sockaddr_storage a = {0};
        socklen_t len = sizeof a;
        char host[INET6_ADDRSTRLEN] = "";

        getsockname(fd, (struct sockaddr *)&a, &len);
        if (a.ss_family == AF_INET6) {
                const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a;
                uv_ip6_name(v6, host, sizeof host);
                return mem_printf("[%s]:%d", host, ntohs(v6->sin6_port));
        }
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a;
        uv_ip4_name(v4, host, sizeof host);
        return mem_printf("%s:%d", host, ntohs(v4->sin_port));
}

static enum dyn_status open_tcp(struct http_endpoint *e, const char *host, const char *port, struct dyn_error *err)
{
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found, *best;
        int rc = getaddrinfo(host, port, &hints, &found);

        if (rc != 0)
                return dyn_fail(err, DYN_INVALID, "listen: %s: %s", host, gai_strerror(rc));
        // A name such as localhost may have addresses of both families; one socket serves one of them.
        for (best = found; best->ai_next != NULL && best->ai_family != AF_INET;)
                best = best->ai_next;
        e->fd = bound(best->ai_family, best->ai_addr, best->ai_addrlen);
        int saved = errno;
        freeaddrinfo(found);
        if (e->fd < 0)
                return dyn_fail(err, saved == EADDRINUSE ? DYN_CONFLICT : DYN_IO, "listen: %s port %s: %s", host, port,
                        strerror(saved));
        e->address = printed(e->fd);
        return DYN_OK;
}

// "HOST:PORT" or "[V6]:PORT" cut in two; false for anything else.
static bool split_host_port(char *s, char **host, char **port)
{
        char *colon = strrchr(s, ':'), *end;

        if (colon == NULL || colon == s)
                return false;
        *port = colon + 1;
        *host = s;
        *colon = 0;
        if (s[0] == '[') {
                if (colon[-1] != ']')
                        return false;
                colon[-1] = 0;
                *host = s + 1;
        } else if (strchr(s, ':') != NULL) {
                return false;
        }
        return **port >= '0' && **port <= '9' && strtoul(*port, &end, 10) <= 65535 && *end == 0 && strlen(*port) <= 5;
}

enum dyn_status http_endpoint_open(struct http_endpoint *e, const char *listen_at, struct dyn_error *err)
{
        char *copy, *host, *port;
        enum dyn_status status;

        *e = (struct http_endpoint){.fd = -1};
        if (strncmp(listen_at, "unix:", 5) == 0)
                return open_unix(e, listen_at + 5, err);
        copy = mem_strdup(listen_at);
        if (split_host_port(copy, &host, &port))
                status = open_tcp(e, host, port, err);
        else
                status = dyn_fail(err, DYN_INVALID,
                        "listen: expected HOST:PORT, [IPV6]:PORT or unix:PATH, found \"%s\"", listen_at);
        mem_free(copy);
        return status;
}

void http_endpoint_close(struct http_endpoint *e)
{
        struct stat st;

        if (e->unix_path != NULL && lstat(e->unix_path, &st) == 0 && st.st_dev == e->dev && st.st_ino == e->ino)
                unlink(e->unix_path);
        mem_free(e->unix_path);
        e->unix_path = NULL;
        close(e->fd);
}
