// Bodies of routes that take uploads: written to a file without a name as they come, so that a large one takes no
// memory and leaves nothing behind whatever happens.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "http/exchange.h"
#include "http/server.h"

static int open_unnamed(const char *folder)
{
        int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
                return fd;
        // A file system that knows no unnamed files.
        char *path = mem_printf("%s/.upload-XXXXXX", folder);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
                unlink(path);
        mem_free(path);
        return fd;
}

int http_upload_write(struct http_exchange *e, const char *data, size_t len)
{
        const char *folder = e->conn->server->options.upload_folder;

        if (e->file < 0 && (e->file = open_unnamed(folder ? folder : "/tmp")) < 0)
                return -1;
        while (len > 0) {
                ssize_t n = write(e->file, data, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                data += n;
                len -= (size_t)n;
                e->uploaded += (size_t)n;
        }
        return 0;
}

int http_body_file(struct http_exchange *e)
{
        const char *folder = e->conn->server->options.upload_folder;
        int fd;

        if (e->file_taken)
                return -1;
        fd = e->file >= 0 ? e->file : open_unnamed(folder ? folder : "/tmp");
        e->file = -1;
        e->file_taken = true;
        if (fd >= 0)
                lseek(fd, 0, SEEK_SET);
        return fd;
}
