// Unpacking an upload (adapt/archive.h) in two walks over it: the first reads everything, checks all that there is to
// check and learns where the adapter lies; the second writes its two files. Gzip is read through once before, because
// libarchive stops at the end of the tar and compares no checksum. All of them keep to the limits.
#include "adapt/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "adapt/entries.h"
#include "base/aside.h"

#define BLOCK         (128 * 1024)
#define RATIO_MATTERS (1024 * 1024) // bytes unpacked from which on the ratio counts

struct walk {
        struct archive *archive;
        const struct archive_limits *limits;
        uint64_t packed, unpacked; // bytes of the archive; of the entries so far
        char magic[5];             // how it begins
        bool raw;                  // it is only gunzipped
        struct entries entries;
        int dest;         // -1: writes nothing
        const char *root; // where the adapter lies; for dest
        unsigned written; // bits of the files that were created in dest
};

struct archive_limits archive_limits_default(void)
{
        return (struct archive_limits){
                .bytes = (uint64_t)8 << 30, .file_bytes = (uint64_t)4 << 30, .entries = 64, .ratio = 200};
}

// What it is that libarchive does not know.
static const char *found(const struct walk *w)
{
        static const struct {
                const char *begins, *what;
        } known[] = {{"PK\3\4", "a zip that ends before its directory of entries"}, {"PK\5\6", "a zip without entries"},
                {"\x1f\x8b", "gzip of something else"}};

        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
                if (strncmp(w->magic, known[i].begins, strlen(known[i].begins)) == 0)
                        return known[i].what;
        return w->packed == 0 ? "no bytes" : "something else, or the beginning of one";
}

static enum dyn_status fail_read(const struct walk *w, struct dyn_error *err)
{
        const char *why = archive_error_string(w->archive);

        if (archive_format(w->archive) == 0 && !w->raw)
                return dyn_fail(err, DYN_INVALID, "expected a complete tar, tar.gz or zip archive, found %s", found(w));
        return dyn_fail(
                err, DYN_INVALID, "the archive is damaged or cut short%s%.200s", why ? ": " : "", why ? why : "");
}

// An entry's bytes
// ----------------------------------------------------------------------------------------------------------------

static enum dyn_status check_size(const struct walk *w, uint64_t size, struct dyn_error *err)
{
        const struct archive_limits *l = w->limits;

        if (size > l->file_bytes)
                return dyn_fail(
                        err, DYN_INVALID, "expected at most %" PRIu64 " bytes in a file, found more", l->file_bytes);
        if (w->unpacked > l->bytes)
                return dyn_fail(
                        err, DYN_INVALID, "expected at most %" PRIu64 " bytes in an archive, found more", l->bytes);
        if (w->unpacked > RATIO_MATTERS && w->unpacked / (uint64_t)l->ratio > w->packed)
                return dyn_fail(err, DYN_INVALID,
                        "expected at most %d bytes from each byte of the archive, found more: an archive that unpacks "
                        "so far is not an adapter",
                        l->ratio);
        return DYN_OK;
}

static enum dyn_status write_block(int out, const char *data, size_t len, struct dyn_error *err)
{
        while (len > 0) {
                ssize_t n = write(out, data, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == ENOSPC || errno == EDQUOT
                                       ? dyn_fail(err, DYN_NO_MEMORY, "the disk or its quota is full")
                                       : dyn_fail(err, DYN_IO, "%s", strerror(errno));
                data += n;
                len -= (size_t)n;
        }
        return DYN_OK;
}

// All of the entry, to out if that is not -1. A hole is refused: no adapter has one, and it costs the sender nothing.
static enum dyn_status read_data(struct walk *w, struct archive_entry *e, int out, struct dyn_error *err)
{
        enum dyn_status st = DYN_OK;
        uint64_t size = 0;
        const void *data;
        la_int64_t at;
        size_t len;
        int r;

        while ((r = archive_read_data_block(w->archive, &data, &len, &at)) == ARCHIVE_OK) {
                if (at < 0 || (uint64_t)at != size)
                        return dyn_fail(err, DYN_INVALID, "expected a plain file, found one with holes");
                size += len;
                w->unpacked += len;
                st = check_size(w, size, err);
                if (st == DYN_OK && out >= 0)
                        st = write_block(out, data, len, err);
                if (st)
                        return st;
                aside_breathe();
        }
        if (r != ARCHIVE_EOF)
                return fail_read(w, err);
        if (archive_entry_size_is_set(e) && archive_entry_size(e) != (la_int64_t)size)
                return dyn_fail(err, DYN_INVALID, "expected %" PRId64 " bytes, found %" PRIu64,
                        (int64_t)archive_entry_size(e), size);
        return DYN_OK;
}

// A new file of the adapter.
static enum dyn_status write_file(struct walk *w, struct archive_entry *e, int file, struct dyn_error *err)
{
        int out = openat(
                w->dest, entries_files[file], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)0666);
        enum dyn_status st;

        if (out < 0)
                return dyn_fail(err, errno == ENOSPC || errno == EDQUOT ? DYN_NO_MEMORY : DYN_IO, "cannot be made: %s",
                        strerror(errno));
        w->written |= 1u << file;
        st = read_data(w, e, out, err);
        if (close(out) != 0 && st == DYN_OK)
                st = dyn_fail(err, errno == ENOSPC || errno == EDQUOT ? DYN_NO_MEMORY : DYN_IO, "%s", strerror(errno));
        return st;
}

// An entry
// ----------------------------------------------------------------------------------------------------------------

static enum dyn_status check_kind(struct archive_entry *e, struct dyn_error *err)
{
        mode_t type = archive_entry_filetype(e);

        if (archive_entry_is_encrypted(e))
                return dyn_fail(err, DYN_UNSUPPORTED, "encrypted archives are not read");
        if (archive_entry_hardlink(e) != NULL || archive_entry_hardlink_utf8(e) != NULL)
                return dyn_fail(err, DYN_INVALID, "expected a file or a folder, found a hard link");
        if (type == AE_IFREG || type == AE_IFDIR)
                return DYN_OK;
        return dyn_fail(err, DYN_INVALID, "expected a file or a folder, found %s",
                type == AE_IFLNK                        ? "a symbolic link"
                : type == AE_IFCHR || type == AE_IFBLK  ? "a device"
                : type == AE_IFIFO || type == AE_IFSOCK ? "a pipe or a socket"
                                                        : "something else");
}

static enum dyn_status take_entry(struct walk *w, struct archive_entry *e, struct dyn_error *err)
{
        const char *raw = archive_entry_pathname_utf8(e), *name;
        bool folder = archive_entry_filetype(e) == AE_IFDIR;
        enum dyn_status st;
        char shown[128];

        if (raw == NULL)
                raw = archive_entry_pathname(e);
        if (raw == NULL)
                return dyn_fail(err, DYN_INVALID, "expected names in UTF-8, found one that is not");
        if (check_kind(e, err))
                return dyn_fail_in(err, entries_show(raw, shown));
        st = entries_add(&w->entries, raw, folder, w->limits->entries, &name, err);
        if (st)
                return st;
        int file = folder || w->dest < 0 ? -1 : entries_file_of(name, w->root);

        if (archive_entry_size_is_set(e) && archive_entry_size(e) > 0)
                st = check_size(w, (uint64_t)archive_entry_size(e), err);
        if (st == DYN_OK)
                st = file >= 0 ? write_file(w, e, file, err) : read_data(w, e, -1, err);
        return st ? dyn_fail_in(err, entries_show(name, shown)) : DYN_OK;
}

// A walk
// ----------------------------------------------------------------------------------------------------------------------

static enum dyn_status begin(struct walk *w, int fd, bool raw, struct dyn_error *err)
{
        struct stat st;

        if (fstat(fd, &st) != 0 || lseek(fd, 0, SEEK_SET) != 0 || pread(fd, w->magic, 4, 0) < 0)
                return dyn_fail(err, DYN_IO, "the upload cannot be read again: %s", strerror(errno));
        w->packed = (uint64_t)st.st_size;
        w->raw = raw;
        w->archive = archive_read_new();
        archive_read_support_filter_gzip(w->archive);
        if (raw) {
                archive_read_support_format_raw(w->archive);
        } else {
                archive_read_support_format_tar(w->archive);
                // By its central directory, which a zip that was cut short does not have.
                archive_read_support_format_zip_seekable(w->archive);
        }
        return archive_read_open_fd(w->archive, fd, BLOCK) == ARCHIVE_OK ? DYN_OK : fail_read(w, err);
}

// The entries and their names stay in w.
static enum dyn_status walk(struct walk *w, int fd, struct dyn_error *err)
{
        enum dyn_status st = begin(w, fd, false, err);
        struct archive_entry *e;

        while (st == DYN_OK) {
                int r = archive_read_next_header(w->archive, &e);

                if (r == ARCHIVE_EOF)
                        break;
                st = r == ARCHIVE_OK ? take_entry(w, e, err) : fail_read(w, err); // what it warns of is refused too
        }
        archive_read_free(w->archive);
        w->archive = NULL;
        return st;
}

// Gzip
// ------------------------------------------------------------------------------------------------------------------------

// Source: RFC 1952, section 8.
static uint32_t crc32_of(uint32_t crc, const unsigned char *data, size_t len)
{
        static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4,
                0xa00ae278, 0xbdbdf21c};

        for (size_t i = 0; i < len; i++) {
                crc ^= data[i];
                crc = crc >> 4 ^ nibble[crc & 15];
                crc = crc >> 4 ^ nibble[crc & 15];
        }
        return crc;
}

static uint32_t little_endian(const unsigned char *p)
{
        return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// Everything that the gzip file holds, and the checksum of it.
static enum dyn_status read_through(struct walk *w, uint32_t *crc, struct dyn_error *err)
{
        struct archive_entry *e;
        const void *data;
        la_int64_t at;
        size_t len;
        int r = archive_read_next_header(w->archive, &e);

        if (archive_filter_count(w->archive) > 2)
                return dyn_fail(err, DYN_INVALID, "expected a tar archive in gzip, found gzip in gzip");
        *crc = ~0u;
        while (r == ARCHIVE_OK && (r = archive_read_data_block(w->archive, &data, &len, &at)) == ARCHIVE_OK) {
                *crc = crc32_of(*crc, data, len);
                w->unpacked += len;
                enum dyn_status st = check_size(w, 0, err);

                if (st)
                        return st;
                aside_breathe();
        }
        *crc = ~*crc;
        return r == ARCHIVE_EOF ? DYN_OK : fail_read(w, err);
}

// Whether the gzip file, if it is one, is whole: one member that ends with its own checksum and length.
static enum dyn_status check_gzip(int fd, const struct archive_limits *limits, struct dyn_error *err)
{
        struct walk w = {.limits = limits};
        unsigned char magic[2] = {0}, end[8] = {0};
        enum dyn_status st;
        uint32_t crc = 0;

        if (pread(fd, magic, 2, 0) != 2 || magic[0] != 0x1f || magic[1] != 0x8b)
                return DYN_OK;
        st = begin(&w, fd, true, err);
        if (st == DYN_OK)
                st = read_through(&w, &crc, err);
        if (st == DYN_OK && (pread(fd, end, 8, (off_t)w.packed - 8) != 8 || little_endian(end) != crc ||
                                    little_endian(end + 4) != (uint32_t)w.unpacked))
                st = dyn_fail(err, DYN_INVALID,
                        "the archive is damaged or cut short: its gzip checksum is not that of its content");
        archive_read_free(w.archive);
        return st;
}

static enum dyn_status unpack(int fd, int dest, const struct archive_limits *limits, struct dyn_error *err)
{
        struct walk first = {.limits = limits, .dest = -1}, second = {.limits = limits, .dest = dest};
        enum dyn_status st = check_gzip(fd, limits, err);
        char root[256];

        if (st == DYN_OK)
                st = walk(&first, fd, err);
        if (st == DYN_OK)
                st = entries_root(&first.entries, root, err);
        second.root = root;
        if (st == DYN_OK)
                st = walk(&second, fd, err);
        if (st == DYN_OK && second.written != 3)
                st = dyn_fail(err, DYN_IO, "the upload changed while it was read");
        for (int i = 0; i < 2 && st != DYN_OK; i++) {
                if (second.written & 1u << i)
                        unlinkat(dest, entries_files[i], 0);
        }
        entries_finish(&first.entries);
        entries_finish(&second.entries);
        return st;
}

enum dyn_status archive_unpack(int fd, int dest, const struct archive_limits *limits, struct dyn_error *err)
{
        // libarchive hands out names in the thread's locale.
        locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        locale_t before = utf8 != (locale_t)0 ? uselocale(utf8) : (locale_t)0;
        enum dyn_status st = unpack(fd, dest, limits, err);

        if (utf8 != (locale_t)0) {
                uselocale(before);
                freelocale(utf8);
        }
        return st;
}
