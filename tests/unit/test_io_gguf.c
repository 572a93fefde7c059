// GGUF: metadata of every type and tensors read as they were written, and every lie is refused in one line.
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "io/gguf.h"
#include "scratch.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 }; // the format's numbers

// Writing
// ---------------------------------------------------------------------------------------------------------------

static void put(struct buf *b, uint64_t x, int bytes)
{
        buf_append(b, &x, (size_t)bytes);
}

static void put_string(struct buf *b, const char *s)
{
        put(b, strlen(s), 8);
        buf_puts(b, s);
}

static void put_header(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
        buf_clear(b);
        buf_append(b, "GGUF", 4);
        put(b, version, 4);
        put(b, n_tensors, 8);
        put(b, n_keys, 8);
}

static void put_key(struct buf *b, const char *key, uint32_t type)
{
        put_string(b, key);
        put(b, type, 4);
}

static void put_array(struct buf *b, const char *key, uint32_t item, uint64_t n)
{
        put_key(b, key, ARRAY);
        put(b, item, 4);
        put(b, n, 8);
}

static void put_tensor(struct buf *b, const char *name, uint32_t type, uint64_t inner, uint64_t outer, uint64_t offset)
{
        put_string(b, name);
        put(b, 2, 4);
        put(b, inner, 8);
        put(b, outer, 8);
        put(b, type, 4);
        put(b, offset, 8);
}

static void put_data(struct buf *b, size_t align, size_t n)
{
        while (b->len % align != 0)
                buf_putc(b, 0);
        for (size_t i = 0; i < n; i++)
                buf_putc(b, (char)i);
}

static void put_f32(struct buf *b, float f)
{
        buf_append(b, &f, 4);
}

static void put_f64(struct buf *b, double f)
{
        buf_append(b, &f, 8);
}

// Opening
// ---------------------------------------------------------------------------------------------------------------

static struct gguf *opened(const struct buf *b)
{
        struct gguf *g;
        struct dyn_error err;

        if (gguf_open(&g, scratch_write("good.gguf", b->data, b->len), &err) != DYN_OK)
                fail_msg("%s", err.text);
        return g;
}

static void refused(const struct buf *b, enum dyn_status status, const char *words)
{
        struct dyn_error err = {0};
        struct gguf *g = (struct gguf *)&err;

        if (gguf_open(&g, scratch_write("bad.gguf", b->data, b->len), &err) != status)
                fail_msg("expected status %d with \"%s\", found %d: %s", status, words, err.status, err.text);
        assert_null(g);
        if (strstr(err.text, words) == NULL || strstr(err.text, "bad.gguf: ") == NULL || strchr(err.text, '\n') != NULL)
                fail_msg("expected \"%s\" in \"%s\"", words, err.text);
}

// A file with all value types and three tensors, the base of what follows.
static void put_good(struct buf *b, uint32_t version)
{
        static const char *const words[] = {"", "two", "\xff\0x"};

        put_header(b, version, 3, 16);
        put_key(b, "u8", U8), put(b, 200, 1);
        put_key(b, "i8", I8), put(b, (uint8_t)-100, 1);
        put_key(b, "u16", U16), put(b, 60000, 2);
        put_key(b, "i16", I16), put(b, (uint16_t)-30000, 2);
        put_key(b, "u32", U32), put(b, 4000000000, 4);
        put_key(b, "i32", I32), put(b, (uint32_t)-2000000000, 4);
        put_key(b, "f32", F32), put_f32(b, -1.5f);
        put_key(b, "bool", BOOL), put(b, 1, 1);
        put_key(b, "string", STRING), put_string(b, "llama");
        put_key(b, "u64", U64), put(b, UINT64_MAX, 8);
        put_key(b, "i64", I64), put(b, (uint64_t)INT64_MIN, 8);
        put_key(b, "f64", F64), put_f64(b, 1e300);
        put_array(b, "words", STRING, 3);
        put_string(b, words[0]), put_string(b, words[1]), put(b, 3, 8), buf_append(b, words[2], 3);
        put_array(b, "ints", I16, 2), put(b, (uint16_t)-1, 2), put(b, 7, 2);
        put_array(b, "floats", F32, 2), put_f32(b, 0.25f), put_f32(b, -8);
        put_key(b, "general.alignment", U32), put(b, 64, 4);
        put_tensor(b, "w", 2, 64, 3, 64);    // Q4_0
        put_tensor(b, "b", 0, 4, 1, 0);      // F32
        put_tensor(b, "q", 10, 256, 1, 192); // Q2_K
        put_data(b, 64, 192 + 84);
}

static void metadata_of_every_type_reads_back(void **state)
{
        struct buf b = {0};
        struct dyn_error err;
        int64_t i = 0, n;
        double d = 0;
        bool yes = false;
        const char *s = NULL;
        size_t len = 0;

        for (uint32_t version = 2; version <= 3; version++) {
                put_good(&b, version);
                struct gguf *g = opened(&b);

#define INT(key, value)                                                                                                \
        assert_int_equal(gguf_get_int(g, key, INT64_MIN, INT64_MAX, &i, &err), DYN_OK);                                \
        assert_true(i == (value))
                INT("u8", 200);
                INT("i8", -100);
                INT("u16", 60000);
                INT("i16", -30000);
                INT("u32", 4000000000);
                INT("i32", -2000000000);
                INT("i64", INT64_MIN);
                assert_int_equal(gguf_get_number(g, "f32", &d, &err), DYN_OK);
                assert_true(d == -1.5);
                assert_int_equal(gguf_get_number(g, "f64", &d, &err), DYN_OK);
                assert_true(d == 1e300);
                assert_int_equal(gguf_get_number(g, "i8", &d, &err), DYN_OK);
                assert_true(d == -100);
                assert_int_equal(gguf_get_number(g, "u64", &d, &err), DYN_OK);
                assert_true(d == 18446744073709551616.0);
                assert_int_equal(gguf_get_bool(g, "bool", &yes, &err), DYN_OK);
                assert_true(yes);
                assert_int_equal(gguf_get_string(g, "string", &s, &len, &err), DYN_OK);
                assert_true(len == 5 && memcmp(s, "llama", 5) == 0);
                assert_int_equal(gguf_get_array(g, "words", GGUF_STRINGS, &n, &err), DYN_OK);
                assert_int_equal(n, 3);
                gguf_array_string(g, "words", 0, &len);
                assert_int_equal(len, 0);
                s = gguf_array_string(g, "words", 2, &len);
                assert_true(len == 3 && memcmp(s, "\xff\x00x", 3) == 0);
                assert_int_equal(gguf_get_array(g, "ints", GGUF_INTS, &n, &err), DYN_OK);
                assert_true(n == 2 && gguf_array_int(g, "ints", 0) == -1 && gguf_array_int(g, "ints", 1) == 7);
                assert_true(gguf_array_number(g, "ints", 0) == -1);
                assert_int_equal(gguf_get_array(g, "floats", GGUF_NUMBERS, &n, &err), DYN_OK);
                assert_true(n == 2 && gguf_array_number(g, "floats", 1) == -8);
                assert_true(gguf_has(g, "u8") && !gguf_has(g, "u9"));
                gguf_close(g);
        }
        buf_free(&b);
}

static void getters_leave_absent_keys_alone(void **state)
{
        struct buf b = {0};
        int64_t i = 7, n = 7;
        double d = 7;
        bool yes = true;
        const char *s = "seven";
        size_t len = 5;

        put_header(&b, 3, 0, 0);
        struct gguf *g = opened(&b);

        assert_int_equal(gguf_get_int(g, "x", 0, 1, &i, NULL), DYN_OK);
        assert_int_equal(gguf_get_number(g, "x", &d, NULL), DYN_OK);
        assert_int_equal(gguf_get_bool(g, "x", &yes, NULL), DYN_OK);
        assert_int_equal(gguf_get_string(g, "x", &s, &len, NULL), DYN_OK);
        assert_true(i == 7 && d == 7 && yes && strcmp(s, "seven") == 0 && len == 5);
        assert_int_equal(gguf_get_array(g, "x", GGUF_INTS, &n, NULL), DYN_OK);
        assert_int_equal(n, -1);
        assert_int_equal(gguf_tensor_count(g), 0);
        gguf_close(g);
        gguf_close(NULL);
        buf_free(&b);
}

static void a_getter_says_key_range_and_what_it_found(void **state)
{
        struct buf b = {0};
        struct dyn_error err;
        int64_t i = 7, n;
        double d;
        bool yes;
        const char *s;
        size_t len;

        put_good(&b, 3);
        struct gguf *g = opened(&b);

#define SAYS(call, words)                                                                                              \
        assert_int_equal(call, DYN_INVALID);                                                                           \
        assert_string_equal(err.text, words)
        SAYS(gguf_get_int(g, "u8", 1, 100, &i, &err), "\"u8\": expected a whole number from 1 to 100, found 200");
        SAYS(gguf_get_int(g, "i8", -99, 100, &i, &err), "\"i8\": expected a whole number from -99 to 100, found -100");
        SAYS(gguf_get_int(g, "u64", 0, 9, &i, &err),
                "\"u64\": expected a whole number from 0 to 9, found 18446744073709551616");
        SAYS(gguf_get_int(g, "f32", 1, 100, &i, &err), "\"f32\": expected a whole number, found f32");
        SAYS(gguf_get_int(g, "bool", 0, 1, &i, &err), "\"bool\": expected a whole number, found bool");
        SAYS(gguf_get_number(g, "string", &d, &err), "\"string\": expected a number, found string");
        SAYS(gguf_get_bool(g, "u8", &yes, &err), "\"u8\": expected a bool, found u8");
        SAYS(gguf_get_string(g, "words", &s, &len, &err), "\"words\": expected a string, found an array of string");
        SAYS(gguf_get_array(g, "words", GGUF_INTS, &n, &err),
                "\"words\": expected an array of integers, found an array of string");
        SAYS(gguf_get_array(g, "floats", GGUF_INTS, &n, &err),
                "\"floats\": expected an array of integers, found an array of f32");
        SAYS(gguf_get_array(g, "string", GGUF_STRINGS, &n, &err),
                "\"string\": expected an array of strings, found string");
        assert_int_equal(n, -1);
        assert_int_equal(i, 7);
        gguf_close(g);
        buf_free(&b);
}

static void tensors_keep_their_order_and_lie_where_they_say(void **state)
{
        struct buf b = {0};

        put_good(&b, 3);
        struct gguf *g = opened(&b);
        const struct dyn_tensor *w = gguf_tensor_find(g, "w");

        assert_int_equal(gguf_tensor_count(g), 3);
        assert_string_equal(gguf_tensor_name(g, 0), "w");
        assert_ptr_equal(gguf_tensor_at(g, 0), w);
        assert_true(
                w->dtype == DYN_Q4_0 && w->n_dims == 2 && w->shape[0] == 3 && w->shape[1] == 64 && w->shape[2] == 1);
        assert_int_equal(w->bytes, 3 * 2 * 18);
        assert_memory_equal(w->data, "\x40\x41\x42", 3);
        assert_memory_equal(gguf_tensor_find(g, "b")->data, "\x00\x01\x02", 3);
        assert_int_equal(gguf_tensor_find(g, "q")->n_dims, -1);
        assert_null(gguf_tensor_find(g, "q")->data);
        assert_null(gguf_tensor_find(g, "x"));
        gguf_close(g);
        buf_free(&b);
}

static void headers_that_lie_are_refused(void **state)
{
        struct buf b = {0};

        put_header(&b, 3, 0, 0);
        b.data[0] = 'g';
        refused(&b, DYN_INVALID, "expected a GGUF file");
        put_header(&b, 1, 0, 0);
        refused(&b, DYN_UNSUPPORTED, "found 1");
        put_header(&b, 4, 0, 0);
        refused(&b, DYN_UNSUPPORTED, "found 4");
        put_header(&b, 0x03000000, 0, 0);
        refused(&b, DYN_UNSUPPORTED, "a big-endian file, version 3");
        put_header(&b, 3, 0, UINT64_MAX);
        refused(&b, DYN_INVALID, "found a count of 18446744073709551615");
        put_header(&b, 3, UINT64_MAX, 0);
        refused(&b, DYN_INVALID, "found a count of 18446744073709551615");
        put_header(&b, 3, 1, 0);
        refused(&b, DYN_INVALID, "at most 0 tensors");
        buf_free(&b);
}

static void metadata_that_lies_is_refused(void **state)
{
        struct buf b = {0};

#define KEYS(n) put_header(&b, 3, 0, n)
#define END     put_data(&b, 64, 64)
        KEYS(2), put_key(&b, "a", U8), put(&b, 1, 1), put_key(&b, "a", U8), put(&b, 1, 1), END;
        refused(&b, DYN_INVALID, "the metadata key a stands twice");
        KEYS(1), put_key(&b, "", U8), put(&b, 1, 1), END;
        refused(&b, DYN_INVALID, "found one of 0 bytes");
        KEYS(1), put(&b, UINT64_MAX, 8), END;
        refused(&b, DYN_INVALID, "expected a metadata key at byte 24");
        KEYS(1), put_key(&b, "a", 13), END;
        refused(&b, DYN_INVALID, "a: expected a value type of 0 to 12, found 13");
        KEYS(1), put_key(&b, "a", BOOL), put(&b, 2, 1), END;
        refused(&b, DYN_INVALID, "a: expected a bool of 0 or 1, found 2");
        KEYS(1), put_array(&b, "a", BOOL, 2), put(&b, 0x0300, 2), END;
        refused(&b, DYN_INVALID, "a: expected a bool of 0 or 1, found 3");
        KEYS(1), put_array(&b, "a", ARRAY, 1), END;
        refused(&b, DYN_UNSUPPORTED, "a: an array of arrays");
        KEYS(1), put_array(&b, "a", STRING, UINT64_MAX / 8 + 2), END;
        refused(&b, DYN_INVALID, "a: expected an array of strings");
        KEYS(1), put_array(&b, "a", F64, UINT64_MAX / 8 + 2), END;
        refused(&b, DYN_INVALID, "a: expected f64");
        KEYS(1), put_array(&b, "a", STRING, 2), put_string(&b, "x"), put(&b, 1000, 8), END;
        refused(&b, DYN_INVALID, "a: expected a string of an array");
        KEYS(1), put_key(&b, "a", STRING), put(&b, UINT64_MAX - 20, 8), END;
        refused(&b, DYN_INVALID, "a: expected a string");
        KEYS(1), put_key(&b, "a", STRING), put(&b, 8, 8), put(&b, 0, 4);
        refused(&b, DYN_INVALID, "a: expected a string");
        KEYS(1), put(&b, 3, 8), buf_append(&b, "a\0b", 3), put(&b, U8, 4), END;
        refused(&b, DYN_INVALID, "without NUL");
        KEYS(1), put_key(&b, "split.count", U16), put(&b, 2, 2), END;
        refused(&b, DYN_UNSUPPORTED, "one of 2 parts");
        buf_free(&b);
}

static void alignment_is_a_power_of_two(void **state)
{
        static const uint32_t bad[] = {0, 1, 4, 24, 33, UINT32_MAX};
        struct buf b = {0};

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                KEYS(1), put_key(&b, "general.alignment", U32), put(&b, bad[i], 4), END;
                refused(&b, DYN_INVALID, "\"general.alignment\": expected a power of two");
        }
        KEYS(1), put_key(&b, "general.alignment", U64), put(&b, 32, 8), END;
        refused(&b, DYN_INVALID, "\"general.alignment\"");
        buf_free(&b);
}

static void tensors_that_lie_are_refused(void **state)
{
        struct buf b = {0};

#define ONE(name, type, inner, outer, offset)                                                                          \
        put_header(&b, 3, 1, 0), put_tensor(&b, name, type, inner, outer, offset), put_data(&b, 32, 64)
        ONE("t", 0, 8, 3, 0);
        refused(&b, DYN_INVALID, "t: expected 96 bytes at offset 0 of the data, found 64");
        ONE("t", 0, 8, 2, 32);
        refused(&b, DYN_INVALID, "t: expected 64 bytes at offset 32");
        ONE("t", 0, 1, 1, UINT64_MAX - 31);
        refused(&b, DYN_INVALID, "at offset 18446744073709551584");
        ONE("t", 0, 8, 1, 4);
        refused(&b, DYN_INVALID, "t: expected an offset that is a multiple of 32, found 4");
        ONE("t", 2, 33, 1, 0);
        refused(&b, DYN_INVALID, "t: expected rows of a multiple of 32 elements, found 33");
        ONE("t", 4, 32, 1, 0);
        refused(&b, DYN_UNSUPPORTED, "t: unknown tensor type 4");
        ONE("t", UINT32_MAX, 32, 1, 0);
        refused(&b, DYN_UNSUPPORTED, "t: unknown tensor type 4294967295");
        ONE("t", 0, 0, 1, 0);
        refused(&b, DYN_INVALID, "t: expected a shape that a file can hold, found a size of 0");
        ONE("t", 0, UINT64_C(1) << 62, 4, 0);
        refused(&b, DYN_INVALID, "t: expected a shape that a file can hold");
        ONE("t", 27, UINT64_C(1) << 61, 2, 0);
        refused(&b, DYN_INVALID, "t: expected a tensor that a file can hold");
        ONE("t", 0, UINT64_MAX, 1, 0);
        refused(&b, DYN_INVALID, "t: expected a shape that a file can hold");
        ONE("", 0, 8, 1, 0);
        refused(&b, DYN_INVALID, "found one of 0 bytes");
        ONE("a name of sixty-five bytes, which is one more than GGUF permits !", 0, 8, 1, 0);
        refused(&b, DYN_INVALID, "found one of 65 bytes");
        put_header(&b, 3, 1, 0), put_string(&b, "t"), put(&b, 5, 4), put_data(&b, 32, 64);
        refused(&b, DYN_INVALID, "t: expected 1 to 4 dimensions, found 5");
        put_header(&b, 3, 2, 0), put_tensor(&b, "t", 0, 8, 1, 0), put_tensor(&b, "t", 0, 8, 1, 32), END;
        refused(&b, DYN_INVALID, "the tensor name t stands twice");
        put_header(&b, 3, 2, 0), put_tensor(&b, "t", 0, 8, 1, 0), put_tensor(&b, "u", 0, 8, 1, 0), END;
        refused(&b, DYN_INVALID, "overlap");
        put_header(&b, 3, 2, 0), put_tensor(&b, "t", 0, 8, 1, 32), put_tensor(&b, "u", 0, 9, 1, 0), END;
        refused(&b, DYN_INVALID, "the data of u and t overlap");
        buf_free(&b);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
        struct buf b = {0};

        put_good(&b, 3);
        gguf_close(opened(&b));
        while (b.len > 0) {
                b.len--;
                refused(&b, DYN_INVALID, "expected");
        }
        buf_free(&b);
}

// Any single byte may be wrong: opening fails or succeeds, and whatever it then lists can be read.
static void a_changed_byte_never_reaches_outside_the_file(void **state)
{
        struct buf b = {0};
        unsigned sum = 0;

        put_good(&b, 3);
        for (size_t at = 0; at < b.len; at++) {
                char kept = b.data[at];

                for (int flip = 1; flip < 256; flip += flip < 4 ? 1 : 83) {
                        struct gguf *g;
                        int64_t n;
                        size_t len;

                        b.data[at] = (char)(kept ^ flip);
                        if (gguf_open(&g, scratch_write("flip.gguf", b.data, b.len), NULL) != DYN_OK)
                                continue;
                        for (int i = 0; i < gguf_tensor_count(g); i++)
                                for (size_t k = 0; gguf_tensor_at(g, i)->data && k < gguf_tensor_at(g, i)->bytes; k++)
                                        sum += ((const unsigned char *)gguf_tensor_at(g, i)->data)[k];
                        if (gguf_get_array(g, "words", GGUF_STRINGS, &n, NULL) == DYN_OK)
                                for (int64_t i = 0; i < n; i++)
                                        sum += gguf_array_string(g, "words", i, &len) != NULL && len > 2;
                        gguf_close(g);
                }
                b.data[at] = kept;
        }
        assert_true(sum != 0);
        buf_free(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(metadata_of_every_type_reads_back),
                cmocka_unit_test(getters_leave_absent_keys_alone),
                cmocka_unit_test(a_getter_says_key_range_and_what_it_found),
                cmocka_unit_test(tensors_keep_their_order_and_lie_where_they_say),
                cmocka_unit_test(headers_that_lie_are_refused),
                cmocka_unit_test(metadata_that_lies_is_refused),
                cmocka_unit_test(alignment_is_a_power_of_two),
                cmocka_unit_test(tensors_that_lie_are_refused),
                cmocka_unit_test(a_file_cut_anywhere_is_refused),
                cmocka_unit_test(a_changed_byte_never_reaches_outside_the_file),
        };

        return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
