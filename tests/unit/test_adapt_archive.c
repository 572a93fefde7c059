// Unpacking uploads: what libarchive's own writer makes is unpacked, whatever else is refused by name, and nothing is
// ever written but the two files. What no writer makes is put together by hand.
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "adapt/archive.h"
#include "scratch.h"

#define CONFIG  "adapter_config.json"
#define WEIGHTS "adapter_model.safetensors"
#define N       3000 // bytes of weights

static struct dyn_error err;
static char dest[300];
static int dest_fd;
static char weights[N + 1];

struct item {
        const char *name, *data; // data NULL: a folder, or what type says
        size_t len;              // of data; 0: a string
        int type;                // 0: by data
        const char *link;
        bool hard;
};

#define TWO                                                                                                            \
        {CONFIG, "{}"},                                                                                                \
        {                                                                                                              \
                WEIGHTS, weights, N                                                                                    \
        }

struct bytes {
        char *data;
        size_t len;
};

// Making archives
// --------------------------------------------------------------------------------------------------------------

static void add(struct archive *a, const struct item *i)
{
        struct archive_entry *e = archive_entry_new();
        size_t len = i->data == NULL ? 0 : i->len ? i->len : strlen(i->data);

        archive_entry_set_pathname(e, i->name);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_filetype(e, i->type ? (mode_t)i->type : i->data != NULL ? AE_IFREG : AE_IFDIR);
        archive_entry_set_size(e, (la_int64_t)len);
        if (i->link != NULL && i->hard)
                archive_entry_set_hardlink(e, i->link);
        else if (i->link != NULL)
                archive_entry_set_symlink(e, i->link);
        if (archive_write_header(a, e) < ARCHIVE_WARN)
                fail_msg("%s: %s", i->name, archive_error_string(a));
        if (len > 0)
                assert_int_equal(archive_write_data(a, i->data, len), len);
        archive_entry_free(e);
}

// The items up to the one without a name. filter: "none", "gzip", ...
static struct bytes make(const char *format, const char *filter, const char *options, const struct item *items)
{
        struct archive *a = archive_write_new();
        struct bytes b = {.data = malloc(1 << 22)};

        assert_int_equal(archive_write_set_format_by_name(a, format), ARCHIVE_OK);
        if (strcmp(filter, "none") != 0 && archive_write_add_filter_by_name(a, filter) != ARCHIVE_OK)
                fail_msg("%s: %s", filter, archive_error_string(a));
        archive_write_set_bytes_in_last_block(a, 1);
        if (options != NULL) {
                assert_int_equal(archive_write_set_options(a, options), ARCHIVE_OK);
                assert_int_equal(archive_write_set_passphrase(a, "secret"), ARCHIVE_OK);
        }
        assert_int_equal(archive_write_open_memory(a, b.data, 1 << 22, &b.len), ARCHIVE_OK);
        for (; items->name != NULL; items++)
                add(a, items);
        assert_int_equal(archive_write_close(a), ARCHIVE_OK);
        archive_write_free(a);
        return b;
}

// Adds a block of 512 bytes as POSIX describes it (ustar), for what libarchive does not write.
static void header(struct bytes *b, const char *name, size_t name_len, char type, unsigned size)
{
        unsigned char *h = (unsigned char *)b->data + b->len;
        unsigned sum = 0;

        memset(h, 0, 512);
        memcpy(h, name, name_len);
        memcpy(h + 100, "0000644\0000000000\0000000000", 23);
        snprintf((char *)h + 124, 12, "%011o", size);
        memcpy(h + 136, "00000000000", 11);
        memset(h + 148, ' ', 8);
        h[156] = (unsigned char)type;
        memcpy(h + 257, "ustar\00000", 8);
        for (int i = 0; i < 512; i++)
                sum += h[i];
        snprintf((char *)h + 148, 8, "%06o", sum);
        b->len += 512;
}

static void body(struct bytes *b, const char *data, size_t len)
{
        memset(b->data + b->len, 0, (len + 511) / 512 * 512);
        memcpy(b->data + b->len, data, len);
        b->len += (len + 511) / 512 * 512;
}

// Unpacking
// --------------------------------------------------------------------------------------------------------------------

static const struct archive_limits limits = {.bytes = 1 << 20, .file_bytes = 1 << 19, .entries = 12, .ratio = 200};

static int spool(struct bytes b)
{
        int fd = memfd_create("upload", MFD_CLOEXEC);

        assert_int_equal(write(fd, b.data, b.len), b.len); // and the offset stays at the end
        return fd;
}

static enum dyn_status unpack_within(struct bytes b, const struct archive_limits *l)
{
        int fd = spool(b);

        memset(&err, 0, sizeof err);
        enum dyn_status st = archive_unpack(fd, dest_fd, l, &err);

        close(fd);
        return st;
}

static enum dyn_status unpack(struct bytes b)
{
        return unpack_within(b, &limits);
}

static int count(void)
{
        DIR *d = opendir(dest);
        const struct dirent *e;
        int n = -2;

        while ((e = readdir(d)) != NULL)
                n++;
        closedir(d);
        return n;
}

static bool holds(const char *name, const char *data, size_t len)
{
        static char text[1 << 16];
        int fd = openat(dest_fd, name, O_RDONLY);
        ssize_t n = read(fd, text, sizeof text);

        close(fd);
        return n == (ssize_t)len && memcmp(text, data, len) == 0;
}

// Whether exactly the two files are there; takes them away.
static bool whole(void)
{
        bool ok = count() == 2 && holds(CONFIG, "{}", 2) && holds(WEIGHTS, weights, N);

        unlinkat(dest_fd, CONFIG, 0);
        unlinkat(dest_fd, WEIGHTS, 0);
        return ok && count() == 0;
}

static void has(const char *part)
{
        if (strstr(err.text, part) == NULL)
                fail_msg("expected \"%s\" in \"%s\"", part, err.text);
}

// Frees the archive.
static void refused(struct bytes b, enum dyn_status status, const char *part)
{
        enum dyn_status st = unpack(b);

        free(b.data);
        if (st != status)
                fail_msg("expected status %d and \"%s\", found %d: %s", status, part, st, err.text);
        has(part);
        assert_int_equal(count(), 0);
}

static void unpacked(struct bytes b)
{
        enum dyn_status st = unpack(b);

        free(b.data);
        if (st)
                fail_msg("%s", err.text);
        assert_true(whole());
}

static const struct format {
        const char *name, *filter;
} formats[] = {{"ustar", "none"}, {"pax", "none"}, {"gnutar", "none"}, {"v7tar", "none"}, {"ustar", "gzip"},
        {"pax", "gzip"}, {"zip", "none"}};
#define N_FORMATS (sizeof formats / sizeof *formats)

static void every_format_unpacks_from_the_top_or_a_single_folder(void **state)
{
        static const struct item rows[][6] = {
                {TWO, {0}},
                {{WEIGHTS, weights, N}, {CONFIG, "{}"}, {0}},
                {{"./", NULL}, {"./" CONFIG, "{}"}, {"./" WEIGHTS, weights, N}, {0}},
                {{"sql/", NULL}, {"sql/" CONFIG, "{}"}, {"sql/" WEIGHTS, weights, N}, {0}},
                {{"README.md", "x"}, {"./sql/" CONFIG, "{}"}, {"sql//" WEIGHTS, weights, N}, {0}},
        };

        for (size_t f = 0; f < N_FORMATS; f++)
                for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                        unpacked(make(formats[f].name, formats[f].filter, NULL, rows[i]));
}

static void other_files_are_passed_over(void **state)
{
        const struct item items[] = {{"checkpoint-9/", NULL}, {"checkpoint-9/" CONFIG, "other"},
                {"checkpoint-9/" WEIGHTS, "other"}, TWO, {"tokenizer.json", "{}"}, {"training_args.bin", "x"},
                {"r\xc3\xa9sum\xc3\xa9.md", "x"}, {"._" CONFIG, "x"}, {"__MACOSX/._" CONFIG, "x"}, {0}};
        const struct item folder[] = {{"__MACOSX/a/._b.pt", "x"}, {"a/" CONFIG, "{}"}, {"a/" WEIGHTS, weights, N},
                {"a/x/" CONFIG, "{ }"}, {"._a", "x"}, {0}};

        for (size_t f = 0; f < N_FORMATS; f++) {
                unpacked(make(formats[f].name, formats[f].filter, NULL, items));
                unpacked(make(formats[f].name, formats[f].filter, NULL, folder));
        }
}

// Names and kinds
// --------------------------------------------------------------------------------------------------------------

static void what_is_no_plain_file_is_refused_by_name(void **state)
{
        static const struct {
                struct item item;
                const char *part;
                bool tar_only;
                enum dyn_status status;
        } rows[] = {
                {{.name = "x", .type = AE_IFLNK, .link = "/etc/passwd"},
                        "x: expected a file or a folder, found a symb"},
                {{.name = WEIGHTS "2", .type = AE_IFREG, .link = CONFIG, .hard = true}, "found a hard link", true},
                {{.name = "x", .type = AE_IFCHR}, "x: expected a file or a folder, found a device", true},
                {{.name = "x", .type = AE_IFBLK}, "found a device", true},
                {{.name = "x", .type = AE_IFIFO}, "found a pipe", true},
                {{"/etc/x", "x"}, "/etc/x: expected a relative name"},
                {{"C:/x", "x"}, "C:/x: expected a relative name"},
                {{"../x", "x"}, "../x: expected a name within the archive"},
                {{"a/../../x", "x"}, "a/../../x: expected a name within"},
                {{"a/..", NULL}, "a/../: expected a name within"},
                {{"..", NULL}, "../: expected a name within"},
                {{"a\\b", "x"}, "backslash", true}, // in a zip it is a slash
                {{"a\nb", "x"}, "a?b: expected a name in UTF-8 without control"},
                {{"a\x1b[31m", "x"}, "a?[31m: expected a name in UTF-8 without control"},
                {{CONFIG, "{}"}, "stands twice", true},
                {{"./" CONFIG, "{}"}, "stands twice"},
                {{"ADAPTER_config.json", "{}"}, "stands twice in the archive, in upper and lower case"},
                {{"adapter_model.bin", "x"}, "adapter_model.bin: a pickle can run code", false, DYN_UNSUPPORTED},
                {{"sub/Adapter_Model.BIN", "x"}, "a pickle can run code", false, DYN_UNSUPPORTED},
                {{"optimizer.pt", "x"}, "optimizer.pt: a pickle can run code", false, DYN_UNSUPPORTED},
                {{"a/b.pkl", "x"}, "a/b.pkl: a pickle can run code", false, DYN_UNSUPPORTED},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const struct item items[] = {TWO, rows[i].item, {0}}, first[] = {rows[i].item, TWO, {0}};
                enum dyn_status status = rows[i].status ? rows[i].status : DYN_INVALID;

                for (size_t f = 0; f < N_FORMATS; f++) {
                        if (rows[i].tar_only &&
                                (strcmp(formats[f].name, "zip") == 0 || strcmp(formats[f].name, "v7tar") == 0))
                                continue;
                        refused(make(formats[f].name, formats[f].filter, NULL, items), status, rows[i].part);
                        if (strstr(rows[i].part, "twice") == NULL)
                                refused(make(formats[f].name, formats[f].filter, NULL, first), status, rows[i].part);
                }
        }
}

static void a_file_with_holes_is_refused(void **state)
{
        struct bytes b = {.data = malloc(1 << 20)};
        unsigned char *h;
        unsigned sum = 0;

        // GNU's old sparse format: at 386 pairs of offset and length, at 483 the real size.
        header(&b, CONFIG, strlen(CONFIG), 'S', 512);
        h = (unsigned char *)b.data;
        memcpy(h + 257, "ustar  ", 8);
        memcpy(h + 386, "00000200000\00000000001000", 23);
        memcpy(h + 483, "00000201000", 11);
        memset(h + 148, ' ', 8);
        for (int i = 0; i < 512; i++)
                sum += h[i];
        snprintf((char *)h + 148, 8, "%06o", sum);
        body(&b, weights, 512);
        header(&b, WEIGHTS, strlen(WEIGHTS), '0', N);
        body(&b, weights, N);
        body(&b, "", 0);
        refused(b, DYN_INVALID, CONFIG ": expected a plain file, found one with holes");
}

static void what_follows_a_nul_in_a_name_does_not_count(void **state)
{
        struct bytes b = {.data = malloc(1 << 20)};

        header(&b, CONFIG "\0../../x", strlen(CONFIG) + 9, '0', 2);
        body(&b, "{}", 2);
        header(&b, WEIGHTS, strlen(WEIGHTS), '0', N);
        body(&b, weights, N);
        memset(b.data + b.len, 0, 1024);
        b.len += 1024;
        unpacked(b);
}

// As tar programs write it where names are in UTF-8; libarchive's writer here says that it does not know.
static void a_name_beyond_ascii_is_read_in_any_locale(void **state)
{
        static const char record[] = "17 path=r\xc3\xa9su.md\n";
        struct bytes b = {.data = malloc(1 << 20)};

        assert_int_equal(strlen(record), 17);
        header(&b, "PaxHeaders/x", 12, 'x', 17);
        body(&b, record, 17);
        header(&b, "x", 1, '0', 0);
        header(&b, CONFIG, strlen(CONFIG), '0', 2);
        body(&b, "{}", 2);
        header(&b, WEIGHTS, strlen(WEIGHTS), '0', N);
        body(&b, weights, N);
        unpacked(b);
}

static void a_name_that_is_too_long_or_not_utf8_is_refused(void **state)
{
        char name[300];
        const struct item longest[] = {{name, "x"}, TWO, {0}};
        struct bytes b = {.data = malloc(1 << 20)};

        memset(name, 'n', sizeof name);
        name[256] = 0;
        refused(make("pax", "none", NULL, longest), DYN_INVALID, "at most 255 bytes");
        name[255] = 0;
        unpacked(make("pax", "none", NULL, longest));
        header(&b, "a\xff", 2, '0', 0);
        body(&b, "", 0);
        refused(b, DYN_INVALID, "UTF-8");
}

static void both_files_must_be_there_once_in_one_place(void **state)
{
        static const struct {
                struct item items[5];
                const char *part;
        } rows[] = {
                {{{CONFIG, "{}"}, {0}}, "found no " WEIGHTS},
                {{{WEIGHTS, "x"}, {0}}, "found no " CONFIG},
                {{{"README.md", "x"}, {0}}, "found neither"},
                {{{"a/" CONFIG, "{}"}, {WEIGHTS, "x"}, {0}}, "found no " CONFIG},
                {{{"a/" CONFIG, "{}"}, {"a/" WEIGHTS, "x"}, {"b/" CONFIG, "{}"}, {0}}, "found neither"},
                {{{"a/b/" CONFIG, "{}"}, {"a/b/" WEIGHTS, "x"}, {0}}, "found neither"},
                {{{CONFIG "/", NULL}, {WEIGHTS, "x"}, {0}}, "found no " CONFIG},
                {{{CONFIG ".bak", "{}"}, {WEIGHTS, "x"}, {0}}, "found no " CONFIG},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                for (size_t f = 0; f < N_FORMATS; f++)
                        refused(make(formats[f].name, formats[f].filter, NULL, rows[i].items), DYN_INVALID,
                                rows[i].part);
}

// Limits
// -----------------------------------------------------------------------------------------------------------------------

static void each_limit_is_kept(void **state)
{
        static char zeros[1 << 21];
        struct item many[15] = {TWO};
        const struct item small[] = {TWO, {"x", weights, 2000}, {0}};
        const struct item bomb[] = {TWO, {"x", zeros, sizeof zeros}, {0}};
        const struct archive_limits wide = {.bytes = 1 << 23, .file_bytes = 1 << 22, .entries = 12, .ratio = 200};

        for (int i = 2; i < 14; i++)
                many[i] = (struct item){&"abcdefghijklmn"[i], ""};
        for (size_t f = 0; f < N_FORMATS; f++) {
                const char *name = formats[f].name, *filter = formats[f].filter;
                bool packs = strcmp(filter, "gzip") == 0 || strcmp(name, "zip") == 0;
                struct bytes b = make(name, filter, NULL, small);

                assert_int_equal(unpack_within(b, &(struct archive_limits){1 << 20, N - 1, 12, 200}), DYN_INVALID);
                has("bytes in a file, found more");
                assert_int_equal(unpack_within(b, &(struct archive_limits){N + 1000, N, 12, 200}), DYN_INVALID);
                has("bytes in an archive, found more");
                assert_int_equal(unpack_within(b, &(struct archive_limits){1 << 20, N, 2, 200}), DYN_INVALID);
                has("at most 2 files and folders");
                assert_int_equal(count(), 0);
                assert_int_equal(unpack_within(b, &(struct archive_limits){1 << 20, N, 3, 200}), DYN_OK);
                assert_true(whole());
                free(b.data);
                refused(make(name, filter, NULL, many), DYN_INVALID, "at most 12 files and folders");
                b = make(name, filter, NULL, bomb);
                assert_int_equal(unpack_within(b, &wide), packs ? DYN_INVALID : DYN_OK);
                if (packs)
                        has("expected at most 200 bytes from each byte of the archive");
                assert_true(packs ? count() == 0 : whole());
                free(b.data);
        }
}

// A tar header that promises more than the archive has.
static void a_size_that_lies_is_refused(void **state)
{
        static const unsigned sizes[] = {N + 600, 1 << 19, (1 << 19) + 1, 017777777777u};

        for (size_t i = 0; i < 4; i++) {
                struct bytes b = {.data = malloc(1 << 20)};

                header(&b, CONFIG, strlen(CONFIG), '0', 2);
                body(&b, "{}", 2);
                header(&b, WEIGHTS, strlen(WEIGHTS), '0', sizes[i]);
                body(&b, weights, N);
                refused(b, DYN_INVALID, i < 2 ? "cut short" : "bytes in a file");
        }
}

// Damage
// -----------------------------------------------------------------------------------------------------------------------

static const struct item plain[] = {TWO, {"README.md", "about"}, {0}};

static void an_archive_cut_short_is_refused_wherever_it_is_cut(void **state)
{
        for (size_t f = 0; f < N_FORMATS; f++) {
                struct bytes b = make(formats[f].name, formats[f].filter, NULL, plain);
                // A plain tar says nothing at its end but zeros.
                bool tar = strcmp(formats[f].filter, "none") == 0 && strcmp(formats[f].name, "zip") != 0;
                size_t end = b.len;

                while (tar && b.data[end - 1] == 0)
                        end--;
                for (size_t len = 0; len < end; len += len < 64 || len + 64 > end ? 1 : 13) {
                        // Between two entries a tar cut short is a whole one with fewer.
                        if (unpack((struct bytes){b.data, len}) == DYN_OK && !(tar && whole()))
                                fail_msg("%s, %s: %zu of %zu bytes were taken", formats[f].name, formats[f].filter, len,
                                        b.len);
                        assert_int_equal(count(), 0);
                }
                free(b.data);
        }
}

static void a_zip_cut_short_is_told_from_other_files(void **state)
{
        static const char missing[] =
                "expected a complete tar, tar.gz or zip archive, found a zip that ends before its "
                "directory of entries";
        struct bytes b = make("zip", "none", NULL, plain);

        for (size_t len = 4; len < b.len; len++) {
                char *part = malloc(len);

                memcpy(part, b.data, len);
                refused((struct bytes){part, len}, DYN_INVALID, missing);
        }
        free(b.data);
}

static void a_damaged_archive_is_refused_or_does_not_matter(void **state)
{
        int n_taken = 0, n = 0;

        for (size_t f = 4; f < N_FORMATS; f++) { // those with checksums
                struct bytes b = make(formats[f].name, formats[f].filter, NULL, plain);

                for (size_t i = 0; i < b.len; i++, n++) {
                        char was = b.data[i];

                        b.data[i] = (char)(was ^ 1 << (i % 8));
                        if (unpack(b) == DYN_OK) {
                                if (!whole())
                                        fail_msg("%s: byte %zu of %zu", formats[f].name, i, b.len);
                                n_taken++;
                        }
                        assert_int_equal(count(), 0);
                        b.data[i] = was;
                }
                free(b.data);
        }
        assert_true(n_taken < n / 4);
}

static void what_is_no_such_archive_is_refused(void **state)
{
        static const char *const others[][2] = {{"7zip", "none"}, {"cpio", "none"}, {"iso9660", "none"}, {"ar", "none"},
                {"mtree", "none"}, {"ustar", "bzip2"}, {"ustar", "xz"}, {"ustar", "zstd"}, {"ustar", "compress"},
                {"ustar", "lz4"}, {"ustar", "uuencode"}, {"raw", "gzip"}};
        static const char *const texts[] = {"", "x", "PK\5\6", "\x1f\x8b", "{\"name\": \"a\"}"};
        const struct item one[] = {{WEIGHTS, weights, N}, {0}};
        struct item nested[] = {{"a.tar.gz", NULL}, {0}};

        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
                refused(make(others[i][0], others[i][1], NULL, one), DYN_INVALID, "");
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
                char *text = calloc(1, 1000);

                strcpy(text, texts[i]);
                refused((struct bytes){text, strlen(text)}, DYN_INVALID, "");
        }
        struct bytes inner = make("ustar", "gzip", NULL, plain);

        nested[0].data = inner.data;
        nested[0].len = inner.len;
        refused(make("raw", "gzip", NULL, nested), DYN_INVALID, "gzip in gzip");
        free(inner.data);
}

static void an_encrypted_archive_is_refused_as_such(void **state)
{
        refused(make("zip", "none", "zip:encryption=traditional", plain), DYN_UNSUPPORTED, "encrypted");
        refused(make("zip", "none", "zip:encryption=aes256", plain), DYN_UNSUPPORTED, "encrypted");
}

static void what_lies_in_the_way_is_neither_followed_nor_changed(void **state)
{
        const char *outside = scratch_write("outside", "mine", 4);
        struct bytes b = make("pax", "none", NULL, plain);
        char text[8] = {0};

        assert_int_equal(symlinkat(outside, dest_fd, WEIGHTS), 0);
        assert_int_equal(unpack(b), DYN_IO);
        has(WEIGHTS);
        free(b.data);
        assert_int_equal(count(), 1);
        assert_int_equal(unlinkat(dest_fd, WEIGHTS, 0), 0);
        int fd = open(outside, O_RDONLY);

        assert_int_equal(read(fd, text, 8), 4);
        close(fd);
        assert_string_equal(text, "mine");
}

static int begin(void **state)
{
        for (int i = 0; i < N; i++)
                weights[i] = (char)(i * i % 251 ^ i >> 3);
        snprintf(dest, sizeof dest, "%s/dest", scratch_dir());
        if (mkdir(dest, 0777) != 0)
                return -1;
        dest_fd = open(dest, O_RDONLY | O_DIRECTORY);
        return dest_fd < 0;
}

static int end(void **state)
{
        close(dest_fd);
        return scratch_remove(state);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_format_unpacks_from_the_top_or_a_single_folder),
                cmocka_unit_test(other_files_are_passed_over),
                cmocka_unit_test(what_is_no_plain_file_is_refused_by_name),
                cmocka_unit_test(a_file_with_holes_is_refused),
                cmocka_unit_test(what_follows_a_nul_in_a_name_does_not_count),
                cmocka_unit_test(a_name_beyond_ascii_is_read_in_any_locale),
                cmocka_unit_test(a_name_that_is_too_long_or_not_utf8_is_refused),
                cmocka_unit_test(both_files_must_be_there_once_in_one_place),
                cmocka_unit_test(each_limit_is_kept),
                cmocka_unit_test(a_size_that_lies_is_refused),
                cmocka_unit_test(an_archive_cut_short_is_refused_wherever_it_is_cut),
                cmocka_unit_test(a_zip_cut_short_is_told_from_other_files),
                cmocka_unit_test(a_damaged_archive_is_refused_or_does_not_matter),
                cmocka_unit_test(what_is_no_such_archive_is_refused),
                cmocka_unit_test(an_encrypted_archive_is_refused_as_such),
                cmocka_unit_test(what_lies_in_the_way_is_neither_followed_nor_changed),
        };

        return cmocka_run_group_tests_name("adapt/archive", tests, begin, end);
}
