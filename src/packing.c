#include "packing.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/entries.h"
#include "base/alloc.h"

#define CHUNK (256 * 1024)

static enum dyn_status fail_write(struct archive *a, const char *path, struct dyn_error *err)
{
        const char *why = archive_error_string(a);

        return dyn_fail(err, DYN_IO, "%s: cannot be packed: %s", path, why ? why : "unknown error");
}

// As many bytes as the header says: a file that changes meanwhile is an error, not a damaged archive.
static enum dyn_status copy(struct archive *a, int fd, int64_t size, const char *path, struct dyn_error *err)
{
        char *chunk = mem_alloc(CHUNK);
        enum dyn_status st = DYN_OK;

        while (size > 0 && st == DYN_OK) {
                ssize_t n = read(fd, chunk, size < CHUNK ? (size_t)size : CHUNK);

                if (n < 0)
                        st = dyn_fail(err, DYN_IO, "%s: %s", path, strerror(errno));
                else if (n == 0)
                        st = dyn_fail(err, DYN_IO, "%s: became shorter while it was read", path);
                else if (archive_write_data(a, chunk, (size_t)n) != n)
                        st = fail_write(a, path, err);
                size -= n;
        }
        mem_free(chunk);
        return st;
}

static enum dyn_status add_file(struct archive *a, const char *path, const char *name, struct dyn_error *err)
{
        struct stat st;
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        enum dyn_status status;

        if (fd < 0)
                return dyn_fail(err, DYN_NOT_FOUND, "%s: %s", path, strerror(errno));
        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
                close(fd);
                return dyn_fail(err, DYN_INVALID, "%s: expected a plain file", path);
        }
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, name);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, st.st_size);
        if (archive_write_header(a, e) != ARCHIVE_OK)
                status = fail_write(a, path, err);
        else
                status = copy(a, fd, st.st_size, path, err);
        archive_entry_free(e);
        close(fd);
        return status;
}

enum dyn_status packing_tar(FILE **out, const char *folder, struct dyn_error *err)
{
        FILE *file = tmpfile();
        enum dyn_status st = DYN_OK;

        if (file == NULL)
                return dyn_fail(err, DYN_IO, "%s: no room to pack it: %s", folder, strerror(errno));
        struct archive *a = archive_write_new();
        archive_write_set_format_ustar(a);
        archive_write_set_bytes_in_last_block(a, 1);
        if (archive_write_open_fd(a, fileno(file)) != ARCHIVE_OK)
                st = fail_write(a, folder, err);
        for (int i = 0; i < 2 && st == DYN_OK; i++) {
                char *path = mem_printf("%s/%s", folder, entries_files[i]);

                st = add_file(a, path, entries_files[i], err);
                mem_free(path);
        }
        if (st == DYN_OK && archive_write_close(a) != ARCHIVE_OK)
                st = fail_write(a, folder, err);
        archive_write_free(a);
        if (st == DYN_OK)
                *out = file;
        else
                fclose(file);
        return st;
}
