// The tokenizers against what the library `tokenizers` says (data/tokenizer/make.py) and against llama.cpp's test
// vectors.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/mapfile.h"
#include "tokenizer_data.h"

static const char *const trained[] = {"gpt2", "smollm", "llama3", "qwen2", "llama2", "metaspace"};
#define N_TRAINED (sizeof trained / sizeof *trained)

static void expect_ids(const char *name, const char *text, const struct tokens *got, const cJSON *ids)
{
        const cJSON *id = ids->child;

        for (int i = 0; i < got->n || id != NULL; i++, id = id->next) {
                if (i == got->n || id == NULL || got->ids[i] != id->valueint)
                        fail_msg("%s: \"%s\": token %d: expected %d, found %d", name, text, i, id ? id->valueint : -1,
                                i < got->n ? got->ids[i] : -1);
        }
}

static void expect_encoding(const struct tokenizer *t, const char *name, const char *text, size_t len, bool add_special,
        bool parse_special, const cJSON *ids)
{
        struct tokens got = {0};

        tokenizer_encode(t, text, len, add_special, parse_special, &got);
        expect_ids(name, text, &got, ids);
        tokens_free(&got);
}

static void trained_tokenizers_encode_as_the_library(void **state)
{
        cJSON *corpus = data_json("corpus.json");
        char name[40];

        for (size_t i = 0; i < N_TRAINED; i++) {
                struct tokenizer *t = data_trained(trained[i]);
                snprintf(name, sizeof name, "%s.expect", trained[i]);
                cJSON *expect = data_json(name);
                const cJSON *ids = json_member(expect, "ids")->child, *plain = json_member(expect, "plain")->child, *c;

                cJSON_ArrayForEach(c, corpus)
                {
                        expect_encoding(t, trained[i], c->valuestring, strlen(c->valuestring), true, true, ids);
                        expect_encoding(t, trained[i], c->valuestring, strlen(c->valuestring), false, false, plain);
                        ids = ids->next;
                        plain = plain->next;
                }
                assert_null(ids);
                tokenizer_destroy(t);
                cJSON_Delete(expect);
        }
        cJSON_Delete(corpus);
}

static void bytes_that_are_not_utf8_are_words_of_their_own(void **state)
{
        for (int i = 0; i < 3; i++) {
                char name[40], raw[64];
                struct tokenizer *t = data_trained(trained[i]);
                snprintf(name, sizeof name, "%s.expect", trained[i]);
                cJSON *expect = data_json(name);
                const cJSON *c;

                cJSON_ArrayForEach(c, json_member(expect, "bytes"))
                {
                        const char *hex = c->child->valuestring;
                        size_t n = strlen(hex) / 2;

                        for (size_t k = 0; k < n; k++)
                                sscanf(hex + 2 * k, "%2hhx", (unsigned char *)raw + k);
                        expect_encoding(t, hex, raw, n, false, true, c->child->next);
                }
                tokenizer_destroy(t);
                cJSON_Delete(expect);
        }
}

static void without_a_byte_alphabet_broken_bytes_become_the_replacement_character(void **state)
{
        struct tokenizer *t = data_trained("llama2");
        struct tokens broken = {0}, repaired = {0};

        tokenizer_encode(t, "a\xffz\xe2\x82", 5, true, true, &broken);
        tokenizer_encode(t, "a\xef\xbf\xbdz\xef\xbf\xbd", 8, true, true, &repaired);
        assert_int_equal(broken.n, repaired.n);
        assert_memory_equal(broken.ids, repaired.ids, (size_t)broken.n * sizeof *broken.ids);
        tokens_free(&broken);
        tokens_free(&repaired);
        tokenizer_destroy(t);
}

static void every_step_of_a_tokenizer_json_does_what_the_library_does(void **state)
{
        cJSON *steps = data_json("steps.json"), *base = cJSON_GetObjectItem(steps, "tokenizer");
        const cJSON *texts = json_member(steps, "texts"), *one, *part, *text;

        cJSON_ArrayForEach(one, json_member(steps, "cases"))
        {
                const cJSON *parts = json_member(one, "parts"), *ids = json_member(one, "ids")->child;

                cJSON_ReplaceItemInObject(base, "normalizer", cJSON_CreateNull());
                cJSON_ArrayForEach(part, parts)
                        cJSON_ReplaceItemInObject(base, part->string, cJSON_Duplicate(part, true));
                char *json = cJSON_PrintUnformatted(base), *name = cJSON_PrintUnformatted(parts);
                struct tokenizer *t = data_parse(json);
                cJSON_ArrayForEach(text, texts)
                {
                        expect_encoding(t, name, text->valuestring, strlen(text->valuestring), true, true, ids);
                        ids = ids->next;
                }
                tokenizer_destroy(t);
                free(json);
                free(name);
        }
        cJSON_Delete(steps);
}

static void a_gguf_tokenizer_encodes_as_the_tokenizer_json_it_came_from(void **state)
{
        static const char *const names[] = {"smollm", "llama3", "qwen2"};
        cJSON *corpus = data_json("corpus.json");
        char path[200], index[20];

        for (int i = 0; i < 3; i++) {
                snprintf(path, sizeof path, DATA "%s.gguf", names[i]);
                struct tokenizer *t = data_open(path);
                snprintf(path, sizeof path, "%s.expect", names[i]);
                cJSON *expect = data_json(path);
                const cJSON *ids = json_member(expect, "ids")->child, *c;
                int k = 0;

                cJSON_ArrayForEach(c, corpus)
                {
                        snprintf(index, sizeof index, "%d", k++);
                        const cJSON *other = json_member(json_member(expect, "gguf"), index);
                        expect_encoding(
                                t, names[i], c->valuestring, strlen(c->valuestring), true, true, other ? other : ids);
                        ids = ids->next;
                }
                tokenizer_destroy(t);
                cJSON_Delete(expect);
        }
        cJSON_Delete(corpus);
}

// Texts are separated by a line __ggml_vocab_test__, their ids stand one text a line.
static void expect_vectors(const char *name)
{
        static const char mark[] = "\n__ggml_vocab_test__\n";
        char path[200], *texts, *lines;
        struct dyn_error err;
        size_t len;
        int n = 0;

        snprintf(path, sizeof path, DATA "%s.gguf", name);
        struct tokenizer *t = data_open(path);
        snprintf(path, sizeof path, DATA "%s.gguf.inp", name);
        assert_int_equal(mapfile_read_text(path, 1 << 20, &texts, &len, &err), DYN_OK);
        snprintf(path, sizeof path, DATA "%s.gguf.out", name);
        assert_int_equal(mapfile_read_text(path, 1 << 20, &lines, &len, &err), DYN_OK);
        char *line = lines;
        for (char *text = texts, *end; (end = strstr(text, mark)) != NULL; text = end + strlen(mark), n++) {
                struct tokens got = {0};

                *end = 0;
                tokenizer_encode(t, text, (size_t)(end - text), false, false, &got);
                for (int i = 0; i < got.n; i++)
                        if (strtol(line, &line, 10) != got.ids[i])
                                fail_msg("%s: \"%s\": token %d is %d", name, text, i, got.ids[i]);
                line += strspn(line, " ");
                assert_int_equal(*line++, '\n');
                tokens_free(&got);
        }
        assert_int_equal(n, 46);
        mem_free(texts);
        mem_free(lines);
        tokenizer_destroy(t);
}

static void the_gpt2_vectors_hold(void **state)
{
        expect_vectors("gpt-2");
}

static void the_sentencepiece_vectors_hold(void **state)
{
        expect_vectors("llama-spm");
}

static void sentencepiece_adds_its_bos(void **state)
{
        struct tokenizer *t = data_open(DATA "llama-spm.gguf");
        struct tokens got = {0};

        tokenizer_encode(t, "", 0, true, true, &got);
        assert_int_equal(got.n, 1);
        assert_int_equal(got.ids[0], 1);
        tokens_free(&got);
        tokenizer_destroy(t);
}

// "<", "s" and ">" can be merged up to "</s>" in this vocabulary, so leaving added tokens unmatched is not enough.
static void user_text_cannot_forge_a_special_token(void **state)
{
        struct tokenizer *t = data_parse(
                "{\"added_tokens\": [{\"id\": 4, \"content\": \"<s>\", \"special\": true, \"normalized\": false}],"
                "\"model\": {\"type\": \"BPE\", \"ignore_merges\": true, \"vocab\": {\"<\": 0, \"s\": 1, \">\": 2, "
                "\"s>\": 3,"
                "\"<s>\": 4}, \"merges\": [\"s >\", \"< s>\"]}, \"decoder\": {\"type\": \"ByteLevel\"}}");
        struct tokens special = {0}, plain = {0};

        tokenizer_encode(t, "<s>", 3, false, true, &special);
        tokenizer_encode(t, "<s>", 3, false, false, &plain);
        assert_int_equal(special.n, 1);
        assert_int_equal(special.ids[0], 4);
        assert_int_equal(plain.n, 2);
        assert_int_equal(plain.ids[0], 0);
        assert_int_equal(plain.ids[1], 3);
        tokens_free(&special);
        tokens_free(&plain);
        tokenizer_destroy(t);
}

// Unknown characters: apart or as one token; and those of which only some bytes have a token.
static void unknown_characters_are_fused_if_the_model_says_so(void **state)
{
        static const char json[] =
                "{\"model\": {\"vocab\": {\"<unk>\": 0, \"a\": 1, \"<0xC3>\": 2, \"<0xA4>\": 3}, \"merges\": [],"
                "\"unk_token\": \"<unk>\", \"byte_fallback\": true, \"fuse_unk\": %s},"
                "\"decoder\": {\"type\": \"Fuse\"}}";
        static const int32_t expected[2][7] = {{0, 0, 1, 2, 3, 1, 0}, {0, 1, 2, 3, 1, 0}};

        for (int fuse = 0; fuse < 2; fuse++) {
                char *text = mem_printf(json, fuse ? "true" : "false");
                struct tokenizer *t = data_parse(text);
                struct tokens ids = {0};

                tokenizer_encode(t,
                        "xya\xc3\xa4"
                        "a\xc3\xa5",
                        8, true, true, &ids);
                assert_int_equal(ids.n, 7 - fuse);
                assert_memory_equal(ids.ids, expected[fuse], (size_t)ids.n * sizeof *ids.ids);
                tokens_free(&ids);
                tokenizer_destroy(t);
                mem_free(text);
        }
}

static void expect_round_trip(const struct tokenizer *t, const char *unit, const char *last)
{
        struct buf text = {0}, back = {0};
        struct tokens ids = {0};
        size_t len;

        while (text.len < 1 << 20)
                buf_puts(&text, unit);
        buf_puts(&text, last);
        tokenizer_encode(t, text.data, text.len, false, true, &ids);
        for (int i = 0; i < ids.n; i++) {
                const char *s = tokenizer_piece(t, ids.ids[i], &len);
                buf_append(&back, s, len);
        }
        const char *start = back.data + (back.len == text.len + 1); // SentencePiece puts a space before
        assert_int_equal(back.len - (size_t)(start - back.data), text.len);
        assert_memory_equal(start, text.data, text.len);
        buf_free(&text);
        buf_free(&back);
        tokens_free(&ids);
}

static void a_megabyte_of_anything_is_encoded_in_linear_time(void **state)
{
        static const char *const units[] = {" ", "a", "\xf0\x9f\x91\x8d", "\n", "1", "the dog ", " \n", "'"};

        for (size_t i = 1; i < 5; i++) {
                struct tokenizer *t = data_trained(trained[i]);

                for (size_t k = i % 2; k < sizeof units / sizeof *units; k += 2)
                        expect_round_trip(t, units[k], i < 3 ? "x" : "");
                tokenizer_destroy(t);
        }
        // Marks in falling order of class: sorting them must not take quadratic time.
        struct tokenizer *t = data_trained("qwen2");
        struct tokens ids = {0};
        struct buf text = {0};
        while (text.len < 1 << 20)
                buf_puts(&text, text.len < 1 << 19 ? "\xcc\x81" : "\xcc\xa3");
        tokenizer_encode(t, text.data, text.len, false, true, &ids);
        assert_true(ids.n > 0);
        tokens_free(&ids);
        buf_free(&text);
        tokenizer_destroy(t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(trained_tokenizers_encode_as_the_library),
                cmocka_unit_test(bytes_that_are_not_utf8_are_words_of_their_own),
                cmocka_unit_test(without_a_byte_alphabet_broken_bytes_become_the_replacement_character),
                cmocka_unit_test(every_step_of_a_tokenizer_json_does_what_the_library_does),
                cmocka_unit_test(a_gguf_tokenizer_encodes_as_the_tokenizer_json_it_came_from),
                cmocka_unit_test(the_gpt2_vectors_hold),
                cmocka_unit_test(the_sentencepiece_vectors_hold),
                cmocka_unit_test(sentencepiece_adds_its_bos),
                cmocka_unit_test(user_text_cannot_forge_a_special_token),
                cmocka_unit_test(unknown_characters_are_fused_if_the_model_says_so),
                cmocka_unit_test(a_megabyte_of_anything_is_encoded_in_linear_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
