// src/inspect.c: what it prints of folders whose content is known.
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter_folder.h"
#include "base/alloc.h"
#include "inspect.h"
#include "tiny_model.h"

// What it printed, without the path in the first line; the error without the path that it begins with.
static enum dyn_status inspect(const char *path, char **printed, char error[480])
{
        struct dyn_error err = {0};
        char *text;
        size_t len;
        FILE *out = open_memstream(&text, &len);
        enum dyn_status st = inspect_path(path, out, &err);

        fclose(out);
        *printed = mem_strdup(len > strlen(path) ? text + strlen(path) : "");
        free(text);
        if (st)
                assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
        strcpy(error, st ? err.text + strlen(path) : "");
        return st;
}

static void an_adapter_shows_kind_base_sites_ranks_and_scales(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){
                .find = "\"alpha_pattern\": {}",
                .replace = "\"alpha_pattern\": {\"layers.1.self_attn.v_proj\": 6}",
                .tensor = "v_proj.lora_A.weight",
                .rename = "model.layers.0.self_attn.v_proj.lora_A.default.weight",
        });
        char *printed, error[480];

        assert_int_equal(inspect(path, &printed, error), DYN_OK);
        char *sha = strstr(printed, "  sha256");
        assert_non_null(sha);
        *sha = 0;
        sha = strchr(sha + 1, '\n') + 1;
        assert_non_null(strstr(printed, ": an adapter\n"
                                        "  kind          lora\n"
                                        "  base          tiny\n"
                                        "  version       "));
        assert_string_equal(sha, "  sites         6\n"
                                 "  largest rank  4\n"
                                 "  patches       1.5 KiB\n"
                                 "  site          layers   rank    scale  shape\n"
                                 "  q_proj             2      4        2  8 x 8, F32\n"
                                 "  v_proj             1      4        2  4 x 8, F32\n"
                                 "  down_proj          2      4        2  8 x 12, F32\n"
                                 "  v_proj             1      4      1.5  4 x 8, F32\n");
        mem_free(printed);
        adapter_folder_remove(path);
}

static void an_adapter_that_would_be_refused_says_why(void **state)
{
        static const struct {
                struct adapter_folder folder;
                const char *error;
        } rows[] = {
                {{.find = "\"use_dora\": false", .replace = "\"use_dora\": true"},
                        ": adapter_config.json: \"use_dora\" is set (true), and this is not supported"},
                {{.tensor = "q_proj.lora_A.weight", .drop = true},
                        ": adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A: expected a tensor, since "
                        "adapter_config.json targets this module, found none"},
                {{.tensor = "q_proj.lora_B.weight", .columns = 3},
                        ": adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: expected (8, 4), found "
                        "(8, 3)"},
                {{.find = "\"r\": 4", .replace = "\"r\": 5"},
                        ": adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A: expected (5, 8), found "
                        "(4, 8)"},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                char *path = adapter_folder_write(&rows[i].folder), *printed, error[480];

                assert_int_not_equal(inspect(path, &printed, error), DYN_OK);
                assert_string_equal(error, rows[i].error);
                assert_string_equal(printed, "");
                mem_free(printed);
                adapter_folder_remove(path);
        }
}

static void a_model_shows_its_dimensions_and_types(void **state)
{
        char *path = tiny_model_write(&(struct tiny_model){0}), *printed, error[480];

        // The folder has no tokenizer: that is why it would be refused.
        assert_int_not_equal(inspect(path, &printed, error), DYN_OK);
        assert_non_null(strstr(error, "tokenizer"));
        assert_non_null(strstr(printed, ": a model (safetensors)\n  architecture  llama\n"));
        assert_non_null(strstr(printed, "\n  vocabulary    50 ids"));
        assert_non_null(strstr(printed, "\n  context       128 tokens\n"));
        mem_free(printed);
        tiny_model_remove(path);
}

static void a_model_of_unknown_architecture_is_refused(void **state)
{
        char *path = tiny_model_write(&(struct tiny_model){.find = "\"llama\"", .replace = "\"gpt9\""});
        char *printed, error[480];

        assert_int_equal(inspect(path, &printed, error), DYN_UNSUPPORTED);
        assert_non_null(strstr(error, "gpt9"));
        mem_free(printed);
        tiny_model_remove(path);
}

static void what_is_neither_is_refused(void **state)
{
        char *printed, error[480];

        assert_int_equal(inspect("/nonexistent", &printed, error), DYN_NOT_FOUND);
        mem_free(printed);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_adapter_shows_kind_base_sites_ranks_and_scales),
                cmocka_unit_test(an_adapter_that_would_be_refused_says_why),
                cmocka_unit_test(a_model_shows_its_dimensions_and_types),
                cmocka_unit_test(a_model_of_unknown_architecture_is_refused),
                cmocka_unit_test(what_is_neither_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
