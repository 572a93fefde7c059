// safetensors: good files read as they are, and every lie a header can tell is refused in one line that names it.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/safetensors.h"
#include "scratch.h"

// Writes a file of that header and n_data bytes 0, 1, 2, ...
static const char *file_of(const char *name, const char *header, size_t n_data)
{
        struct buf b = {0};
        uint64_t len = strlen(header);

        buf_append(&b, &len, 8);
        buf_append(&b, header, len);
        for (size_t i = 0; i < n_data; i++)
                buf_putc(&b, (char)i);
        const char *path = scratch_write(name, b.data, b.len);
        buf_free(&b);
        return path;
}

static struct safetensors *opened(const char *path)
{
        struct safetensors *s;
        struct dyn_error err;

        if (safetensors_open(&s, path, &err) != DYN_OK)
                fail_msg("%s", err.text);
        return s;
}

static void refused_path(const char *path, enum dyn_status status, const char *words)
{
        struct dyn_error err = {0};
        struct safetensors *s = (struct safetensors *)&err;

        if (safetensors_open(&s, path, &err) != status)
                fail_msg("%s: expected status %d with \"%s\", found %d: %s", path, status, words, err.status, err.text);
        assert_null(s);
        if (strstr(err.text, words) == NULL || strchr(err.text, '\n') != NULL)
                fail_msg("expected \"%s\" in \"%s\"", words, err.text);
}

static void refused(const char *header, size_t n_data, const char *words)
{
        refused_path(file_of("bad.safetensors", header, n_data), DYN_INVALID, words);
}

static void tensors_come_in_the_order_of_their_bytes(void **state)
{
        struct safetensors *s = opened(file_of("good.safetensors",
                "{\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
                "\"__metadata__\":{\"format\":\"pt\"},"
                "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                "\"ids\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[20,28]},"
                "\"deep\":{\"dtype\":\"BF16\",\"shape\":[1,1,1,1,1],\"data_offsets\":[28,30]},"
                "\"none\":{\"dtype\":\"BF16\",\"shape\":[0,4],\"data_offsets\":[30,30]},"
                "\"one\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[30,32]}}   ",
                32));
        static const char *const names[] = {"a", "b", "ids", "deep", "none", "one"};

        assert_int_equal(safetensors_count(s), 6);
        for (int i = 0; i < 6; i++) {
                assert_string_equal(safetensors_name(s, i), names[i]);
                assert_ptr_equal(safetensors_find(s, names[i]), safetensors_at(s, i));
        }
        const struct dyn_tensor *b = safetensors_find(s, "b");

        assert_true(b->dtype == DYN_F16 && b->n_dims == 2 && b->shape[0] == 2 && b->shape[1] == 3 && b->shape[2] == 1);
        assert_int_equal(b->bytes, 12);
        assert_memory_equal(b->data, "\x08\x09\x0a\x0b", 4);
        assert_int_equal(safetensors_find(s, "ids")->n_dims, -1);
        assert_null(safetensors_find(s, "ids")->data);
        assert_int_equal(safetensors_find(s, "deep")->n_dims, -1);
        assert_int_equal(safetensors_find(s, "none")->bytes, 0);
        assert_int_equal(safetensors_find(s, "one")->n_dims, 0);
        assert_null(safetensors_find(s, "c"));
        assert_null(safetensors_find(s, "__metadata__"));
        safetensors_close(s);
        safetensors_close(NULL);
}

#define ENTRY(dtype, shape, from, to) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"
#define ONE(dtype, shape, from, to)   "{\"t\":" ENTRY(dtype, shape, from, to) "}"

static void offsets_tile_the_data_exactly(void **state)
{
        refused(ONE("F32", "[2]", "0", "8"), 7, "whole numbers up to 7");
        refused(ONE("F32", "[2]", "0", "8"), 9, "expected 8 bytes of data, as its header says, found 9");
        refused(ONE("F32", "[2]", "4", "12"), 12, "t: expected its data to begin at 0");
        refused(ONE("F32", "[2]", "8", "0"), 8, "end after the start");
        refused(ONE("F32", "[2]", "-8", "0"), 8, "found -8");
        refused(ONE("F32", "[2]", "0.5", "8.5"), 9, "found 0.5");
        refused(ONE("F32", "[2]", "0", "1e300"), 8, "found 1.0000000000000001e+300");
        refused(ONE("F32", "[2]", "0", "\"8\""), 8, "found \"8\"");
        refused("{\"t\":" ENTRY("F32", "[1]", "0", "4") ",\"u\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "u");
        refused("{\"t\":" ENTRY("F32", "[1]", "0", "4") ",\"u\":" ENTRY("F32", "[1]", "2", "6") "}", 6,
                "u: expected its data to begin at 4");
        refused("{\"t\":" ENTRY("F32", "[1]", "0", "4") ",\"u\":" ENTRY("F32", "[1]", "8", "12") "}", 12,
                "u: expected its data to begin at 4");
        refused("{\"t\":" ENTRY("F32", "[0]", "2", "2") ",\"u\":" ENTRY("F32", "[1]", "0", "4") "}", 4, "begin at");
        refused("{}", 4, "expected 0 bytes of data");
}

static void sizes_are_shape_times_element(void **state)
{
        refused(ONE("F32", "[2]", "0", "4"), 4, "expected the bytes of 2 elements of F32, found 4");
        refused(ONE("F16", "[2,2]", "0", "16"), 16, "4 elements of F16");
        refused(ONE("F4", "[3]", "0", "1"), 1, "3 elements of F4");
        refused(ONE("F32", "[4294967296,4294967296]", "0", "0"), 0, "more elements");
        refused(ONE("F32", "[4611686018427387904,4]", "0", "0"), 0, "whole numbers");
        refused(ONE("F32", "[4503599627370496,512]", "0", "0"), 0, "elements of F32");
        refused(ONE("F32", "[-1,-8]", "0", "32"), 32, "found -1");
        refused(ONE("F32", "[1.5]", "0", "6"), 6, "found 1.5");
        refused(ONE("F32", "[\"2\"]", "0", "8"), 8, "found \"2\"");
        refused(ONE("F32", "8", "0", "8"), 8, "\"shape\": expected an array");
}

static void entries_have_three_fields_of_the_right_type(void **state)
{
        refused("{\"t\":7}", 0, "t: expected an object, found 7");
        refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[0]}}", 0, "\"data_offsets\": expected an array of 2");
        refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0]}}", 0, "expected an array of 2");
        refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0,0]}}", 0, "expected an array of 2");
        refused("{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,0]}}", 0, "\"shape\"");
        refused("{\"t\":{\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "\"dtype\"");
        refused("{\"t\":{\"dtype\":32,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "found 32");
        refused(ONE("Q7", "[0]", "0", "0"), 0, "found \"Q7\"");
        refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0],\"more\":1}}", 0, "\"more\"");
        refused("{\"__metadata__\":[]}", 0, "\"__metadata__\": expected an object");
        refused("{\"__metadata__\":{\"a\":1}}", 0, "\"a\": expected a string, found 1");
        refused("{\"t\":" ENTRY("F32", "[0]", "0", "0") ",\"t\":" ENTRY("F32", "[0]", "0", "0") "}", 0, "stands twice");
        refused("[]", 0, "header: expected an object");
        refused("{\"t\":", 0, "bad.safetensors: header: not JSON");
}

static void header_lengths_beyond_the_file_are_refused(void **state)
{
        static const uint64_t lengths[] = {3, 4, 1000, 100000001, UINT64_MAX, UINT64_MAX - 7, INT64_MAX};
        char bytes[10] = "";

        refused_path(scratch_write("bad.safetensors", "", 0), DYN_INVALID, "found 0 bytes");
        refused_path(scratch_write("bad.safetensors", "1234567", 7), DYN_INVALID, "found 7 bytes");
        memcpy(bytes + 8, "{}", 2);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
                memcpy(bytes, &lengths[i], 8);
                refused_path(scratch_write("bad.safetensors", bytes, 10), DYN_INVALID, "a header of at most 2 bytes");
        }
        bytes[0] = 0;
        memset(bytes, 0, 8);
        refused_path(scratch_write("bad.safetensors", bytes, 10), DYN_INVALID, "not JSON");
}

static void a_file_cut_anywhere_is_refused(void **state)
{
        const char *header = "{\"t\":" ENTRY("F32", "[1]", "0", "4") ",\"u\":" ENTRY("F16", "[2,1]", "4", "8") "}";
        char bytes[400];
        size_t len = 8 + strlen(header) + 8;

        memset(bytes, 0, sizeof bytes);
        bytes[0] = (char)strlen(header);
        memcpy(bytes + 8, header, strlen(header));
        safetensors_close(opened(scratch_write("cut.safetensors", bytes, len)));
        for (size_t n = 0; n < len; n++)
                refused_path(scratch_write("cut.safetensors", bytes, n), DYN_INVALID, "cut.safetensors");
}

// Any single byte of a header may be wrong: opening fails or succeeds, and what it then lists lies in the file.
static void a_changed_byte_never_reaches_outside_the_file(void **state)
{
        const char *header = "{\"t\":" ENTRY("F32", "[1]", "0", "4") ",\"u\":" ENTRY("F16", "[2,1]", "4", "8") "}";
        char bytes[400] = {0};
        size_t len = 8 + strlen(header) + 8;

        bytes[0] = (char)strlen(header);
        memcpy(bytes + 8, header, strlen(header));
        for (size_t n = 0; n < len; n++) {
                char kept = bytes[n];

                for (int flip = 1; flip < 256; flip += flip < 8 ? 1 : 31) {
                        struct safetensors *s;
                        unsigned sum = 0;

                        bytes[n] = (char)(kept ^ flip);
                        if (safetensors_open(&s, scratch_write("flip.safetensors", bytes, len), NULL) != DYN_OK)
                                continue;
                        for (int i = 0; i < safetensors_count(s); i++)
                                for (size_t k = 0; safetensors_at(s, i)->data && k < safetensors_at(s, i)->bytes; k++)
                                        sum += ((const unsigned char *)safetensors_at(s, i)->data)[k];
                        assert_true(sum < 8 * 255);
                        safetensors_close(s);
                }
                bytes[n] = kept;
        }
}

static void index_says(const char *text, const char *words)
{
        scratch_write("model.safetensors.index.json", text, strlen(text));
        if (words == NULL)
                safetensors_close(opened(scratch_dir()));
        else
                refused_path(scratch_dir(), DYN_INVALID, words);
}

static void a_folder_of_shards_is_one_list(void **state)
{
        char path[600];

        file_of("one.safetensors", "{\"a\":" ENTRY("F32", "[1]", "0", "4") ",\"b\":" ENTRY("F32", "[0]", "4", "4") "}",
                4);
        file_of("blob", "{\"c\":" ENTRY("F32", "[2]", "0", "8") "}", 8);
        snprintf(path, sizeof path, "%s", scratch_path("two.safetensors"));
        unlink(path);
        assert_int_equal(symlink("blob", path), 0); // as in a Hugging Face cache
        index_says("{\"metadata\":{},\"weight_map\":{\"c\":\"two.safetensors\",\"a\":\"one.safetensors\"}}", NULL);

        struct safetensors *s = opened(scratch_dir());

        assert_int_equal(safetensors_count(s), 3);
        assert_string_equal(safetensors_name(s, 0), "a");
        assert_int_equal(safetensors_find(s, "c")->shape[0], 2);
        safetensors_close(s);

        index_says("{\"weight_map\":{\"a\":\"two.safetensors\",\"c\":\"two.safetensors\"}}", "a in two.safetensors");
        index_says("{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"one.safetensors\"}}", "c in one.safetensors");
        index_says("{\"weight_map\":{\"a\":\"two.safetensors\",\"c\":\"one.safetensors\"}}", "a in two.safetensors");
        index_says("{\"weight_map\":{\"x\":\"one.safetensors\"}}", "expected x in one.safetensors");
        index_says("{\"weight_map\":{}}", "at least one tensor");
        index_says("{\"weight_map\":[]}", "\"weight_map\": expected an object");
        index_says("{}", "\"weight_map\": expected an object");
        index_says("{", "model.safetensors.index.json: not JSON");
}

static void an_index_names_plain_files_of_its_folder(void **state)
{
        static const char *const names[] = {
                "\"../one.safetensors\"", "\"/etc/passwd\"", "\"./one.safetensors\"", "\"..\"", "\".\"", "\"\"", "7"};
        char text[200];

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                snprintf(text, sizeof text, "{\"weight_map\":{\"a\":%s}}", names[i]);
                index_says(text, "\"a\": expected the name of a file in the same folder");
        }
        index_says("{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"one.safetensors\"}}", "stands twice");
        snprintf(text, sizeof text, "{\"weight_map\":{\"a\":\"none.safetensors\"}}");
        scratch_write("model.safetensors.index.json", text, strlen(text));
        refused_path(scratch_dir(), DYN_NOT_FOUND, "none.safetensors");
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
        file_of("one.safetensors", "{\"a\":" ENTRY("F32", "[1]", "0", "4") "}", 4);
        file_of("two.safetensors", "{\"a\":" ENTRY("F32", "[1]", "0", "4") ",\"c\":" ENTRY("F32", "[0]", "4", "4") "}",
                4);
        index_says("{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}",
                "two.safetensors: a: the tensor is in another file");
}

static void what_is_no_file_and_no_model_folder_is_told(void **state)
{
        char dir[600];

        snprintf(dir, sizeof dir, "%s", scratch_path("empty"));
        mkdir(dir, 0700);
        refused_path(dir, DYN_NOT_FOUND, "expected model.safetensors or model.safetensors.index.json");
        refused_path(scratch_path("nothing.safetensors"), DYN_NOT_FOUND, "No such file");
        refused_path("/dev/null", DYN_INVALID, "expected a regular file");
        snprintf(dir, sizeof dir, "%s", scratch_path("fifo.safetensors"));
        mkfifo(dir, 0600);
        refused_path(dir, DYN_INVALID, "expected a regular file");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tensors_come_in_the_order_of_their_bytes),
                cmocka_unit_test(offsets_tile_the_data_exactly),
                cmocka_unit_test(sizes_are_shape_times_element),
                cmocka_unit_test(entries_have_three_fields_of_the_right_type),
                cmocka_unit_test(header_lengths_beyond_the_file_are_refused),
                cmocka_unit_test(a_file_cut_anywhere_is_refused),
                cmocka_unit_test(a_changed_byte_never_reaches_outside_the_file),
                cmocka_unit_test(a_folder_of_shards_is_one_list),
                cmocka_unit_test(an_index_names_plain_files_of_its_folder),
                cmocka_unit_test(a_tensor_in_two_shards_is_refused),
                cmocka_unit_test(what_is_no_file_and_no_model_folder_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
