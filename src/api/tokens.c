#include "api/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define FILE_MAX (1024 * 1024)

struct text {
        char *data; // (FILE_MAX + 1)
        size_t len;
};

// Never waits: a pipe or a device is refused before it is read.
static enum dyn_status read_text(const char *path, struct text *t, bool *exposed, struct dyn_error *err)
{
        struct stat st;
        ssize_t n = 0;
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                return dyn_fail(err, errno == ENOENT ? DYN_NOT_FOUND : DYN_IO, "%s: %s", path, strerror(errno));
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
                close(fd);
                return dyn_fail(err, DYN_INVALID, "%s: expected a plain file", path);
        }
        *exposed = (st.st_mode & S_IROTH) != 0;
        while (t->len <= FILE_MAX && (n = read(fd, t->data + t->len, FILE_MAX + 1 - t->len)) > 0)
                t->len += (size_t)n;
        int error = errno;
        close(fd);
        if (n < 0)
                return dyn_fail(err, DYN_IO, "%s: %s", path, strerror(error));
        if (t->len > FILE_MAX)
                return dyn_fail(err, DYN_INVALID, "%s: expected at most %d bytes", path, FILE_MAX);
        return DYN_OK;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

// What stands between the blanks of a line can be sent if it is visible ASCII.
static bool is_token(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (s[i] <= ' ' || s[i] > '~')
                        return false;
        return true;
}

static enum dyn_status take_lines(const char *path, const struct text *t,
        void (*take)(void *ctx, const char *token, size_t len), void *ctx, struct dyn_error *err)
{
        int n_tokens = 0, line = 1;

        for (size_t at = 0, end; at < t->len; at = end + 1, line++) {
                const char *newline = memchr(t->data + at, '\n', t->len - at);
                size_t last = end = newline ? (size_t)(newline - t->data) : t->len;

                while (at < last && is_blank(t->data[at]))
                        at++;
                while (last > at && is_blank(t->data[last - 1]))
                        last--;
                if (at == last || t->data[at] == '#')
                        continue;
                if (!is_token(t->data + at, last - at))
                        return dyn_fail(err, DYN_INVALID,
                                "%s:%d: expected a token of visible ASCII characters, found others", path, line);
                take(ctx, t->data + at, last - at);
                n_tokens++;
        }
        if (n_tokens == 0)
                return dyn_fail(err, DYN_INVALID, "%s: expected a token on a line, found none", path);
        return DYN_OK;
}

enum dyn_status tokens_read(const char *path, void (*take)(void *ctx, const char *token, size_t len), void *ctx,
        bool *exposed, struct dyn_error *err)
{
        struct text t = {.data = mem_alloc(FILE_MAX + 1)};
        enum dyn_status st = read_text(path, &t, exposed, err);

        if (st == DYN_OK)
                st = take_lines(path, &t, take, ctx, err);
        OPENSSL_cleanse(t.data, t.len);
        mem_free(t.data);
        return st;
}
