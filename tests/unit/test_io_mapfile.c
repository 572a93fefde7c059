// Mapped files and texts: regular files only, whole, and independent of what happens to the name afterwards.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "io/mapfile.h"
#include "scratch.h"

static void a_mapping_outlives_the_name(void **state)
{
        const char *path = scratch_write("a", "hello", 5);
        struct mapfile m;

        assert_int_equal(mapfile_open(&m, path, NULL), DYN_OK);
        unlink(path);
        assert_int_equal(m.size, 5);
        assert_memory_equal(m.data, "hello", 5);
        mapfile_close(&m);
        assert_null(m.data);
        mapfile_close(&m);
        mapfile_close(NULL);
}

static void pages_written_later_are_ours_and_not_the_files(void **state)
{
        const char *path = scratch_write("a", "hello", 5);
        struct mapfile m, again;

        assert_int_equal(mapfile_open(&m, path, NULL), DYN_OK);
        assert_int_equal(mprotect(m.data, m.size, PROT_READ | PROT_WRITE), 0);
        memcpy(m.data, "HELLO", 5);
        assert_int_equal(mapfile_open(&again, path, NULL), DYN_OK);
        assert_memory_equal(again.data, "hello", 5);
        mapfile_close(&again);
        mapfile_close(&m);
}

// Whether the page that p lies in is mapped into this process (Linux, pagemap: bit 63).
static bool is_present(const void *p)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uint64_t entry = 0;
        FILE *f = fopen("/proc/self/pagemap", "rb");

        assert_non_null(f);
        fseek(f, (long)((uintptr_t)p / page * sizeof entry), SEEK_SET);
        assert_int_equal(fread(&entry, sizeof entry, 1, f), 1);
        fclose(f);
        return entry >> 63 != 0;
}

static void what_is_dropped_leaves_the_process_and_comes_back_when_read(void **state)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 4 * page;
        char *text = mem_alloc(size);
        struct mapfile m;

        for (size_t i = 0; i < size; i++)
                text[i] = (char)('a' + i % 23);
        assert_int_equal(mapfile_open(&m, scratch_write("a", text, size), NULL), DYN_OK);
        assert_memory_equal(m.data, text, size);
        mem_drop((char *)m.data + 1, size - 2); // the first and the last page are not whole
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(is_present((char *)m.data + i * page), i == 0 || i == 3);
        mem_drop(m.data, page - 1);
        assert_true(is_present(m.data));
        assert_memory_equal(m.data, text, size);
        mapfile_close(&m);
        mem_free(text);
}

static void an_empty_file_has_size_0(void **state)
{
        const char *path = scratch_write("empty", "", 0);
        struct mapfile m;
        char *text;
        size_t len;

        assert_int_equal(mapfile_open(&m, path, NULL), DYN_OK);
        assert_int_equal(m.size, 0);
        mapfile_close(&m);
        assert_int_equal(mapfile_read_text(path, 0, &text, &len, NULL), DYN_OK);
        assert_int_equal(len, 0);
        assert_string_equal(text, "");
        mem_free(text);
}

static void a_text_is_whole_ends_with_nul_and_has_a_limit(void **state)
{
        const char *path = scratch_write("text", "a\0bc", 4);
        struct dyn_error err;
        char *text;
        size_t len;

        assert_int_equal(mapfile_read_text(path, 4, &text, &len, &err), DYN_OK);
        assert_int_equal(len, 4);
        assert_memory_equal(text, "a\0bc", 5);
        mem_free(text);
        assert_int_equal(mapfile_read_text(path, 3, &text, &len, &err), DYN_INVALID);
        assert_non_null(strstr(err.text, "text: expected at most 3 bytes, found 4"));
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
        static const struct {
                const char *name;
                enum dyn_status status;
                const char *words;
        } rows[] = {{"none", DYN_NOT_FOUND, "none: No such file"}, {"a file/x", DYN_NOT_FOUND, "Not a directory"},
                {"fifo", DYN_INVALID, "expected a regular file, found a device, pipe or socket"},
                {"folder", DYN_INVALID, "expected a regular file, found a folder"}};
        struct dyn_error err;
        struct mapfile m;
        char *text;
        size_t len;

        scratch_write("a file", "", 0);
        mkfifo(scratch_path("fifo"), 0600); // opening it would wait for a writer
        mkdir(scratch_path("folder"), 0700);
        for (int i = 0; i < 4; i++) {
                assert_int_equal(mapfile_open(&m, scratch_path(rows[i].name), &err), rows[i].status);
                assert_non_null(strstr(err.text, rows[i].words));
                assert_int_equal(mapfile_open(&m, scratch_path(rows[i].name), NULL), rows[i].status);
                assert_int_equal(mapfile_read_text(scratch_path(rows[i].name), 9, &text, &len, &err), rows[i].status);
                assert_non_null(strstr(err.text, rows[i].words));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_mapping_outlives_the_name),
                cmocka_unit_test(pages_written_later_are_ours_and_not_the_files),
                cmocka_unit_test(what_is_dropped_leaves_the_process_and_comes_back_when_read),
                cmocka_unit_test(an_empty_file_has_size_0),
                cmocka_unit_test(a_text_is_whole_ends_with_nul_and_has_a_limit),
                cmocka_unit_test(what_is_no_regular_file_is_refused_at_once),
        };

        return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
