#include "io/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

// A regular file opened for reading, with its size. Not blocking, so that a pipe in the place of a file cannot hang us.
static enum dyn_status open_regular(int *fd, size_t *size, const char *path, struct dyn_error *err)
{
        struct stat st;

        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (*fd < 0)
                return dyn_fail(err, errno == ENOENT || errno == ENOTDIR ? DYN_NOT_FOUND : DYN_IO, "%s: %s", path,
                        strerror(errno));
        if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) {
                *size = (size_t)st.st_size;
                return DYN_OK;
        }
        close(*fd);
        return dyn_fail(err, DYN_INVALID, "%s: expected a regular file, found %s", path,
                S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
}

enum dyn_status mapfile_open(struct mapfile *m, const char *path, struct dyn_error *err)
{
        int fd;

        *m = (struct mapfile){0};
        enum dyn_status st = open_regular(&fd, &m->size, path, err);
        if (st != DYN_OK)
                return st;
        if (m->size != 0) {
                m->data = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0);
                if (m->data == MAP_FAILED) {
                        int why = errno;

                        close(fd);
                        *m = (struct mapfile){0};
                        return dyn_fail(err, DYN_IO, "%s: cannot map: %s", path, strerror(why));
                }
        }
        close(fd);
        return DYN_OK;
}

void mapfile_close(struct mapfile *m)
{
        if (m == NULL)
                return;
        if (m->data != NULL)
                munmap(m->data, m->size);
        *m = (struct mapfile){0};
}

// Reads until the end or until cap bytes are there, whatever size the file said it had.
static ssize_t read_all(int fd, char *data, size_t cap)
{
        size_t n = 0;

        while (n < cap) {
                ssize_t got = read(fd, data + n, cap - n);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -1;
                if (got == 0)
                        break;
                n += (size_t)got;
        }
        return (ssize_t)n;
}

enum dyn_status mapfile_read_text(const char *path, size_t max_bytes, char **text, size_t *len, struct dyn_error *err)
{
        size_t size;
        int fd;

        enum dyn_status st = open_regular(&fd, &size, path, err);
        if (st != DYN_OK)
                return st;
        if (size > max_bytes) {
                close(fd);
                return dyn_fail(err, DYN_INVALID, "%s: expected at most %zu bytes, found %zu", path, max_bytes, size);
        }
        char *data = mem_alloc(size + 1);
        ssize_t got = read_all(fd, data, size);
        int why = errno;

        close(fd);
        if (got < 0) {
                mem_free(data);
                return dyn_fail(err, DYN_IO, "%s: %s", path, strerror(why));
        }
        data[got] = 0;
        *text = data;
        *len = (size_t)got;
        return DYN_OK;
}
