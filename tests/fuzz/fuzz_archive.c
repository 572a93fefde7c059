// Archives: whatever the bytes are, an upload that is taken leaves exactly the two files in its folder, and one that is
// refused leaves nothing and says why.
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapt/archive.h"
#include "adapt/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dest[] = "/tmp/fuzz-archive-XXXXXX";
static int dest_fd = -1;

static void remove_dest(void)
{
        rmdir(dest);
}

static int count(void)
{
        DIR *d = opendir(dest);
        int n = -2;

        if (d == NULL)
                abort();
        while (readdir(d) != NULL)
                n++;
        closedir(d);
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct archive_limits limits = {.bytes = 1 << 20, .file_bytes = 1 << 19, .entries = 8, .ratio = 100};
        struct dyn_error err = {0};
        int fd = memfd_create("upload", MFD_CLOEXEC);

        if (dest_fd < 0) {
                if (mkdtemp(dest) == NULL || (dest_fd = open(dest, O_RDONLY | O_DIRECTORY)) < 0)
                        abort();
                atexit(remove_dest);
        }
        if (fd < 0 || write(fd, data, size) != (ssize_t)size)
                abort();
        enum dyn_status st = archive_unpack(fd, dest_fd, &limits, &err);

        close(fd);
        if (st == DYN_OK && (unlinkat(dest_fd, FOLDER_CONFIG, 0) != 0 || unlinkat(dest_fd, FOLDER_WEIGHTS, 0) != 0))
                abort();
        if ((st != DYN_OK && err.text[0] == 0) || count() != 0)
                abort();
        return 0;
}
