// What a tokenizer takes from the files around it, and what it refuses.
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "scratch.h"
#include "text/pattern.h"
#include "tokenizer_data.h"

// A folder made of files: name, text, ..., NULL.
static const char *make_folder(const char *first, ...)
{
        va_list args;

        scratch_remove(NULL);
        va_start(args, first);
        for (const char *name = first; name != NULL; name = va_arg(args, const char *)) {
                const char *text = va_arg(args, const char *);

                scratch_write(name, text, strlen(text));
        }
        va_end(args);
        return scratch_dir();
}

#define TINY                                                                                                           \
        "{\"added_tokens\": [{\"id\": 1, \"content\": \"<e>\", \"special\": true}, {\"id\": 2, \"content\": "          \
        "\"<f>\"}],"                                                                                                   \
        "\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"decoder\": {\"type\": \"ByteLevel\"}}"

static void stop_ids_come_from_the_configurations(void **state)
{
        const char *folder = make_folder("tokenizer.json", TINY, "generation_config.json", "{\"eos_token_id\": [2, 0]}",
                "config.json", "{\"eos_token_id\": 7}", "tokenizer_config.json",
                "{\"eos_token\": {\"content\": \"<e>\"}, \"bos_token\": \"a\"}", NULL);
        struct tokenizer *t = data_open(folder);
        int n;
        const int32_t *ids = tokenizer_stop_ids(t, &n);

        assert_int_equal(n, 3);
        assert_int_equal(ids[0], 2);
        assert_int_equal(ids[1], 0);
        assert_int_equal(ids[2], 1);
        assert_string_equal(tokenizer_eos(t), "<e>");
        assert_string_equal(tokenizer_bos(t), "a");
        assert_null(tokenizer_chat_template(t));
        assert_true(tokenizer_is_special(t, 1));
        assert_false(tokenizer_is_special(t, 2));
        assert_int_equal(tokenizer_n_ids(t), 3);
        tokenizer_destroy(t);

        folder = make_folder("tokenizer.json", TINY, "config.json", "{\"eos_token_id\": 2}", NULL);
        t = data_open(folder);
        ids = tokenizer_stop_ids(t, &n);
        assert_int_equal(n, 1);
        assert_int_equal(ids[0], 2);
        tokenizer_destroy(t);
}

static void the_template_file_goes_before_the_configuration(void **state)
{
        static const char list[] = "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"no\"},"
                                   "{\"name\": \"default\", \"template\": \"yes\"}]}";
        const char *folder =
                make_folder("tokenizer.json", TINY, "tokenizer_config.json", list, "chat_template.jinja", "file", NULL);
        struct tokenizer *t = data_open(folder);

        assert_string_equal(tokenizer_chat_template(t), "file");
        tokenizer_destroy(t);
        folder = make_folder("tokenizer.json", TINY, "tokenizer_config.json", list, NULL);
        t = data_open(folder);
        assert_string_equal(tokenizer_chat_template(t), "yes");
        tokenizer_destroy(t);
}

static void gguf_stops_at_its_eos_and_at_tokens_known_by_name(void **state)
{
        static const char *const names[] = {"smollm", "llama3"}; // the first names no eos
        char path[100];

        for (int i = 0; i < 2; i++) {
                snprintf(path, sizeof path, DATA "%s.gguf", names[i]);
                struct tokenizer *t = data_open(path);
                int n;
                const int32_t *ids = tokenizer_stop_ids(t, &n);

                assert_int_equal(n, 1);
                assert_int_equal(ids[0], 701);
                assert_string_equal(tokenizer_bos(t), "<|begin|>");
                if (i == 0)
                        assert_null(tokenizer_eos(t));
                else
                        assert_string_equal(tokenizer_eos(t), "<|end|>");
                snprintf(path, sizeof path, "{{ %s }}", names[i]);
                assert_string_equal(tokenizer_chat_template(t), path);
                tokenizer_destroy(t);
        }
}

// What replaces a part of TINY, and what the error says.
static const struct {
        const char *part, *value, *error;
} refused[] = {
        {"normalizer", "{\"type\": \"BertNormalizer\"}", "normalizer: BertNormalizer: not supported"},
        {"normalizer", "{\"type\": \"NFC\", \"x\": 1}", "normalizer: NFC: \"x\" is not supported"},
        {"normalizer", "{\"type\": \"Prepend\"}", "\"prepend\": expected a string"},
        {"normalizer",
                "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Replace\", \"pattern\": {\"String\": "
                "\"a\"}, "
                "\"content\": \"aaaaaaaaaaaaaaaaaaaa\"}, {\"type\": \"Replace\", \"pattern\": {\"Regex\": "
                "\"a\"}, "
                "\"content\": \"aaaaaaaaaaaaaaaaaaaa\"}]}",
                "normalizer: Replace: replacements that make a text over"},
        {"pre_tokenizer", "{\"type\": \"Punctuation\"}", "pre_tokenizer: Punctuation: not supported"},
        {"pre_tokenizer",
                "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": "
                "\"WhitespaceSplit\"}]}",
                "WhitespaceSplit: not supported after"},
        {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\\\\b\"}, \"behavior\": \"Isolated\"}",
                "Split: regular expression, byte 1: \"\\b\" is not supported"},
        {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"Sideways\"}",
                "\"behavior\": \"Sideways\" is not supported"},
        {"decoder", "null", "decoder: expected an object, found none"},
        {"decoder", "{\"type\": \"WordPiece\"}", "decoder: WordPiece: not supported"},
        {"decoder", "{\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}", "only supported"},
        {"decoder", "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, {\"type\": \"ByteFallback\"}]}",
                "ByteFallback: not supported after"},
        {"post_processor", "{\"type\": \"BertProcessing\"}", "post_processor: BertProcessing: not supported"},
        {"post_processor", "{\"type\": \"TemplateProcessing\", \"single\": []}", "expected the sequence A"},
        {"post_processor",
                "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"A\"}}, "
                "{\"SpecialToken\": "
                "{\"id\": \"<x>\"}}]}",
                "no ids for \"<x>\""},
        {"model", "{\"type\": \"Unigram\", \"vocab\": []}", "model: \"type\": expected \"BPE\", found \"Unigram\""},
        {"model", "{\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}", "its id 0 is another token's"},
        {"model", "{\"vocab\": {\"a\": 4000000}, \"merges\": []}", "expected an id from 0"},
        {"model", "{\"vocab\": {\"a\": -1}, \"merges\": []}", "expected an id from 0"},
        {"model", "{\"vocab\": {\"a\": 0.5}, \"merges\": []}", "expected an id"},
        {"model", "{\"vocab\": {\"a\": 0}, \"merges\": [\"a a\"]}", "expected two tokens that make a third"},
        {"model", "{\"vocab\": {\"a\": 0}, \"merges\": [\"a\"]}", "\"merges\": 0: expected two tokens"},
        {"model", "{\"vocab\": {\"a\": 0}, \"merges\": [], \"unk_token\": \"u\"}", "\"unk_token\": \"u\" is not"},
        {"model", "{\"vocab\": {\"a\": 0}, \"merges\": [], \"dropout\": 0.1}", "\"dropout\" is set"},
        {"model", "{\"vocab\": {\"a\": 0}, \"merges\": [], \"end_of_word_suffix\": \"@\"}", "suffix\" is set"},
        {"model", "{\"vocab\": {\"a\": 0}, \"merges\": [], \"max_length\": 1}", "\"max_length\" is not supported"},
        {"pre_tokenizer",
                "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Metaspace\", \"replacement\": "
                "\"x\"}, {\"type\": "
                "\"Metaspace\", \"replacement\": \"y\"}]}",
                "pre_tokenizer: Metaspace: a second one"},
        {"pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"xy\"}", "expected one character, found \"xy\""},
        {"added_tokens", "[{\"id\": 5, \"content\": \"a\"}]", "\"a\": expected id 0 as in the vocabulary, found 5"},
        {"added_tokens", "[{\"id\": 0, \"content\": \"z\"}]", "\"z\": id 0 is another token's"},
};

static void unknown_parts_are_refused_by_name(void **state)
{
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
                cJSON *root = cJSON_Parse(TINY), *value = cJSON_Parse(refused[i].value);
                struct tokenizer *t = mem_zalloc(sizeof *t);
                struct dyn_error err = {0};

                assert_non_null(value);
                cJSON_DeleteItemFromObject(root, refused[i].part);
                cJSON_AddItemToObject(root, refused[i].part, value);
                char *json = cJSON_PrintUnformatted(root);
                assert_int_not_equal(hf_tokenizer_parse(t, json, strlen(json), &err), DYN_OK);
                if (strstr(err.text, refused[i].error) == NULL)
                        fail_msg("%s: expected \"%s\", found \"%s\"", refused[i].value, refused[i].error, err.text);
                tokenizer_destroy(t);
                cJSON_free(json);
                cJSON_Delete(root);
        }
}

// Where Oniguruma and PCRE2 differ, and what would run away.
static void regular_expressions_that_could_mean_something_else_are_refused(void **state)
{
        static const char *const patterns[] = {"\\b", "\\B", "\\G", "\\h", "\\R", "\\X", "\\K", "\\1", "\\k<a>", "\\pL",
                "\\xe9", "[\\b]", "[\\W]", "[\\D]", "[[:alpha:]]", "[a[b]]", "[a&&b]", "[]a]", "[^]a]", "[\\s-x]",
                "[x-\\d]", "x{,3}", "x{2}+", "x{2}?", "(?m:a)", "(?x)a", "a(?i)b", "(?<n>a)", "(?P<n>a)", "(*UTF)a",
                "(?R)", "[a", "(a", "a)", "*a", "a\\", "\\p{Nonsense}", "\\p{L", "\\u00e", "\\x{110000}"};
        struct dyn_error err;

        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
                struct buf out = {0};
                struct regex *re = NULL;

                enum dyn_status st = pattern_translate(&out, patterns[i], &err);
                if (st == DYN_OK)
                        st = regex_create(&re, out.data, &err);
                if (st != DYN_UNSUPPORTED)
                        fail_msg("%s: expected to be refused, became %s", patterns[i], out.data);
                regex_destroy(re);
                buf_free(&out);
        }
}

static void a_folder_that_does_not_fit_is_refused_with_the_file(void **state)
{
        static const struct {
                const char *name, *text, *error;
        } rows[] = {
                {"tokenizer_config.json", "{\"eos_token\": \"<g>\"}",
                        "tokenizer_config.json: \"eos_token\": \"<g>\" is not"},
                {"tokenizer_config.json", "{\"bos_token\": 3}",
                        "tokenizer_config.json: \"bos_token\": expected a string"},
                {"tokenizer_config.json", "{\"chat_template\": 3}", "\"chat_template\": expected a string or a list"},
                {"tokenizer_config.json", "[]", "tokenizer_config.json: expected an object"},
                {"generation_config.json", "{\"eos_token_id\": 3}",
                        "generation_config.json: \"eos_token_id\": expected"},
                {"generation_config.json", "{\"eos_token_id\": \"a\"}",
                        "\"eos_token_id\": expected a number or a list"},
                {"config.json", "{\"eos_token_id\": [-1]}",
                        "config.json: \"eos_token_id\": expected the id of a token"},
        };
        struct dyn_error err;
        struct tokenizer *t;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const char *folder = make_folder("tokenizer.json", TINY, rows[i].name, rows[i].text, NULL);

                assert_int_equal(tokenizer_open(&t, folder, &err), DYN_INVALID);
                assert_null(t);
                if (strstr(err.text, rows[i].error) == NULL)
                        fail_msg("expected \"%s\", found \"%s\"", rows[i].error, err.text);
        }
        scratch_remove(NULL);
        assert_int_equal(tokenizer_open(&t, scratch_dir(), &err), DYN_NOT_FOUND);
        assert_non_null(strstr(err.text, "tokenizer.json"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(stop_ids_come_from_the_configurations),
                cmocka_unit_test(the_template_file_goes_before_the_configuration),
                cmocka_unit_test(gguf_stops_at_its_eos_and_at_tokens_known_by_name),
                cmocka_unit_test(unknown_parts_are_refused_by_name),
                cmocka_unit_test(regular_expressions_that_could_mean_something_else_are_refused),
                cmocka_unit_test(a_folder_that_does_not_fit_is_refused_with_the_file),
        };

        return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
