// Decoding against the library `tokenizers` (data/tokenizer/make.py), one token at a time.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/detok.h"
#include "text/utf8.h"
#include "tokenizer_data.h"

static void expect_decoding(const struct tokenizer *t, const char *name, const cJSON *ids, bool skip, const char *text)
{
        struct buf out = {0};
        struct detok d;
        const cJSON *id;

        detok_init(&d, t, skip);
        cJSON_ArrayForEach(id, ids)
        {
                size_t before = out.len;

                detok_push(&d, id->valueint, &out);
                // What came out is whole: no half character, and nothing is taken back later.
                assert_int_equal(utf8_valid(out.data + before, out.len - before), out.len - before);
        }
        detok_finish(&d, &out);
        buf_append(&out, "", 0);
        if (strcmp(out.data, text) != 0)
                fail_msg("%s: expected \"%s\", found \"%s\"", name, text, out.data);
        buf_free(&out);
}

static void tokens_decode_as_the_library(void **state)
{
        static const char *const names[] = {"gpt2", "smollm", "llama3", "qwen2", "llama2", "metaspace"};
        char file[40];

        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                struct tokenizer *t = data_trained(names[i]);
                snprintf(file, sizeof file, "%s.expect", names[i]);
                cJSON *expect = data_json(file);
                const cJSON *c;

                cJSON_ArrayForEach(c, json_member(expect, "decode"))
                {
                        const cJSON *ids = c->child;

                        expect_decoding(t, names[i], ids, false, ids->next->valuestring);
                        expect_decoding(t, names[i], ids, true, ids->next->next->valuestring);
                }
                tokenizer_destroy(t);
                cJSON_Delete(expect);
        }
}

static int32_t byte_token(const struct tokenizer *t, int byte)
{
        return t->bpe.bytes[byte];
}

static void a_character_comes_out_with_its_last_byte(void **state)
{
        struct tokenizer *t = data_trained("gpt2");
        struct buf out = {0};
        struct detok d;

        detok_init(&d, t, false);
        detok_push(&d, t->bpe.first[0xe2], &out);
        detok_push(&d, t->bpe.first[0x82], &out);
        assert_int_equal(out.len, 0);
        detok_push(&d, t->bpe.first[0xac], &out);
        assert_int_equal(out.len, 3);
        assert_memory_equal(out.data, "\xe2\x82\xac", 3);
        buf_free(&out);
        tokenizer_destroy(t);
}

static void a_run_of_byte_tokens_waits_until_it_ends(void **state)
{
        struct tokenizer *t = data_trained("llama2");
        struct buf out = {0};
        struct detok d;

        detok_init(&d, t, false);
        detok_push(&d, byte_token(t, 0xe2), &out);
        detok_push(&d, byte_token(t, 0x82), &out);
        detok_push(&d, byte_token(t, 0xac), &out);
        assert_int_equal(out.len, 0);
        detok_push(&d, byte_token(t, 0xff), &out); // makes the euro sign before it unreadable, too
        detok_finish(&d, &out);
        assert_int_equal(out.len, 12);
        buf_free(&out);
        tokenizer_destroy(t);
}

static void a_run_longer_than_the_wait_loses_nothing(void **state)
{
        struct tokenizer *t = data_trained("llama2");
        struct buf out = {0}, text = {0};
        struct detok d;

        detok_init(&d, t, false);
        for (int i = 0; i < 300; i++) {
                buf_puts(&text, i % 3 ? "\xf0\x9f\x91\x8d" : "\xe2\x82\xac");
                for (const char *p = i % 3 ? "\xf0\x9f\x91\x8d" : "\xe2\x82\xac"; *p != 0; p++)
                        detok_push(&d, byte_token(t, (unsigned char)*p), &out);
                assert_int_equal(utf8_valid(out.data, out.len), out.len);
        }
        detok_finish(&d, &out);
        assert_string_equal(out.data, text.data);
        buf_free(&out);
        buf_free(&text);
        tokenizer_destroy(t);
}

static void gguf_sentencepiece_strips_the_space_that_it_added(void **state)
{
        struct tokenizer *t = data_open(DATA "llama-spm.gguf");
        static const char text[] = "Hello  world \xf0\x9f\x91\x8d \n";
        struct tokens ids = {0};
        struct buf out = {0};
        struct detok d;

        tokenizer_encode(t, text, strlen(text), true, true, &ids);
        detok_init(&d, t, true);
        for (int i = 0; i < ids.n; i++)
                detok_push(&d, ids.ids[i], &out);
        detok_finish(&d, &out);
        assert_string_equal(out.data, text);
        tokens_free(&ids);
        buf_free(&out);
        tokenizer_destroy(t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tokens_decode_as_the_library),
                cmocka_unit_test(a_character_comes_out_with_its_last_byte),
                cmocka_unit_test(a_run_of_byte_tokens_waits_until_it_ends),
                cmocka_unit_test(a_run_longer_than_the_wait_loses_nothing),
                cmocka_unit_test(gguf_sentencepiece_strips_the_space_that_it_added),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
