// Options: where they may come from, which goes first, what is refused and in which words, and that the committed
// conf/dynlora.conf says what the table says.
#include "harness.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/bench.h"
#include "conf/conf.h"
#include "conf/table.h"
#include "scratch.h"

#define MAX_ARGS 16

// Reads options written with blanks between them.
static enum dyn_status read_words(struct conf *c, const char *words, struct dyn_error *err)
{
        char text[1000], *argv[MAX_ARGS], *save = NULL;
        int argc = 0;

        snprintf(text, sizeof text, "%s", words);
        for (char *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
                argv[argc++] = w;
        return conf_read(c, argc, argv, err);
}

static void accepted(struct conf *c, const char *words)
{
        struct dyn_error err;

        if (read_words(c, words, &err) != DYN_OK)
                fail_msg("%s: %s", words, err.text);
}

static void refused(const char *words, const char *text)
{
        struct dyn_error err;
        struct conf c;

        if (read_words(&c, words, &err) == DYN_OK)
                fail_msg("accepted: %s", words);
        if (strcmp(err.text, text) != 0 && (text[0] != '*' || strstr(err.text, text + 1) == NULL))
                fail_msg("%s: expected \"%s\", found \"%s\"", words, text, err.text);
        conf_finish(&c);
}

static void an_option_not_given_has_its_default(void **state)
{
        struct conf c;

        accepted(&c, "--model m");
        assert_string_equal(c.model, "m");
        assert_null(c.served_model_name);
        assert_null(c.adapters);
        assert_null(c.ready_file);
        assert_null(c.cors_origin);
        assert_int_equal(c.adapter_roots.n, 0);
        assert_int_equal(c.weights, DYN_WEIGHTS_AUTO);
        assert_string_equal(c.listen, "127.0.0.1:8000");
        assert_string_equal(c.backend, "auto");
        assert_int_equal(c.kv_dtype, DYN_F32);
        assert_int_equal(c.kv_memory, 0);
        assert_int_equal(c.threads, 0);
        assert_int_equal(c.max_rows, 32);
        assert_int_equal(c.max_queue, 256);
        assert_int_equal(c.step_tokens, 128);
        assert_int_equal(c.max_context, 0);
        assert_true(c.prefix_cache);
        assert_int_equal(c.max_body, 16 << 20);
        assert_int_equal(c.log_level, LOG_INFO);
        assert_int_equal(c.log_format, CONF_LOG_TEXT);
        conf_finish(&c);
}

static void every_type_of_value_is_read(void **state)
{
        struct conf c;

        accepted(&c, "--model=m --threads 7 --kv-memory 1.5G --prefix-cache off --kv-dtype f16 --weights bf16 "
                     "--backend plain --log-format json");
        assert_true(c.threads == 7 && c.kv_memory == 1536u << 20 && !c.prefix_cache && c.kv_dtype == DYN_F16);
        assert_true(c.weights == DYN_WEIGHTS_BF16 && strcmp(c.backend, "plain") == 0 && c.log_format == CONF_LOG_JSON);
        conf_finish(&c);
        accepted(&c, "--model=a=b --log-level debug --max-body 2048 --adapter-root x --adapter-root=y");
        assert_string_equal(c.model, "a=b");
        assert_true(c.log_level == LOG_DEBUG && c.max_body == 2048 && c.adapter_roots.n == 2);
        assert_string_equal(c.adapter_roots.at[0], "x");
        assert_string_equal(c.adapter_roots.at[1], "y");
        conf_finish(&c);
}

static void sizes_have_binary_units(void **state)
{
        static const struct {
                const char *text;
                size_t bytes;
        } rows[] = {{"0", 0}, {"1", 1}, {"1K", 1024}, {"1k", 1024}, {"512M", 512u << 20}, {"2g", (size_t)2 << 30},
                {"0.5K", 512}, {"1T", (size_t)1 << 40}};
        char words[100];
        struct conf c;

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                snprintf(words, sizeof words, "--model m --kv-memory %s", rows[i].text);
                accepted(&c, words);
                assert_int_equal(c.kv_memory, rows[i].bytes);
                conf_finish(&c);
        }
        for (const char *const *s = (const char *const[]){"M", "1X", "1.5", "1.M", ".5G", "-1", "1MB", "1 M", "+1",
                     "0x10", "99999999999T", "1e3", "inf", NULL};
                *s != NULL; s++) {
                snprintf(words, sizeof words, "--model m --kv-memory=%s", *s);
                refused(words,
                        strchr(*s, ' ') ? "*expected an option" : "*flag --kv-memory: expected a size such as 512M");
        }
}

static enum dyn_status read_bench(struct conf_bench *c, char *word, struct dyn_error *err)
{
        return conf_bench_read(c, word ? 1 : 0, &word, err);
}

static void a_list_of_numbers_replaces_the_default_and_is_told_when_it_is_wrong(void **state)
{
        static const char *const wrong[] = {"--rows=", "--rows=,", "--rows=1,", "--rows=1, 2", "--rows=0",
                "--rows=1025", "--rows=1;2", "--rows=99999999999999999999999999", "--rows=1,2,3,4,5,6,7,8,9"};
        struct conf_bench c;
        struct dyn_error err;

        assert_int_equal(read_bench(&c, NULL, &err), DYN_OK);
        assert_true(c.rows.n == 3 && c.rows.at[0] == 1 && c.rows.at[1] == 8 && c.rows.at[2] == 32);
        conf_bench_finish(&c);
        assert_int_equal(read_bench(&c, (char[]){"--rows=5,1024"}, &err), DYN_OK);
        assert_true(c.rows.n == 2 && c.rows.at[0] == 5 && c.rows.at[1] == 1024);
        conf_bench_finish(&c);
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
                char *word = strdup(wrong[i]);

                if (read_bench(&c, word, &err) == DYN_OK || strncmp(err.text, "flag --rows: expected ", 22) != 0)
                        fail_msg("%s: %s", word, err.text);
                conf_bench_finish(&c);
                free(word);
        }
}

static void a_switch_needs_no_value(void **state)
{
        struct conf_bench c;
        struct dyn_error err;
        char *words[] = {"--json", "--rounds", "7"};

        assert_int_equal(conf_bench_read(&c, 3, words, &err), DYN_OK);
        assert_true(c.json && c.rounds == 7);
        conf_bench_finish(&c);
        assert_int_equal(read_bench(&c, (char[]){"--json=off"}, &err), DYN_OK);
        assert_false(c.json);
        conf_bench_finish(&c);
}

static void a_wrong_value_is_told_with_option_expected_and_found(void **state)
{
        refused("", "--model: expected a Hugging Face folder or a .gguf file, found nothing");
        refused("--model m --threads two", "flag --threads: expected a whole number, found \"two\"");
        refused("--model m --threads 5000", "flag --threads: expected a whole number from 0 to 1024, found 5000");
        refused("--model m --threads -1", "flag --threads: expected a whole number from 0 to 1024, found -1");
        refused("--model m --threads 99999999999999999999",
                "flag --threads: expected a whole number, found \"99999999999999999999\"");
        refused("--model m --threads 1x", "flag --threads: expected a whole number, found \"1x\"");
        refused("--model m --max-body 3", "flag --max-body: expected bytes from 1024 to 2147483647, found 3");
        refused("--model m --prefix-cache maybe", "flag --prefix-cache: expected on or off, found \"maybe\"");
        refused("--model m --backend cuda",
                "flag --backend: expected auto, cpu, cpu-amx, cpu-avx512, cpu-avx2, cpu-neon or plain, found \"cuda\"");
        refused("--model m --weights int4", "flag --weights: expected auto, native or bf16, found \"int4\"");
        refused("--model m --kv-dtype f64", "flag --kv-dtype: expected f32 or f16, found \"f64\"");
        refused("--model=", "flag --model: expected a value, found nothing");
        refused("--model", "flag --model: expected a value after it, found none");
        refused("--model --threads 3", "flag --model: expected a value after it, found none");
        refused("--model m --model n", "flag --model: expected it once, found it again with \"n\"");
        refused("--model m --max-rows 200", "--step-tokens: expected at least --max-rows (200), found 128");
        refused("m", "expected an option such as --model, found \"m\"");
        refused("-m x", "expected an option such as --model, found \"-m\"");
        refused("--", "expected an option such as --model, found \"--\"");
}

static void an_unknown_name_is_told_with_the_nearest(void **state)
{
        refused("--modle m", "flag --modle: unknown option; the nearest is model");
        refused("--max_rows 3", "flag --max_rows: unknown option; the nearest is max-rows");
        refused("--step-token=3", "flag --step-token: unknown option; the nearest is step-tokens");
        refused("--speculate 4", "flag --speculate: unknown option");
        setenv("DYNLORA_MAX_ROW", "3", 1);
        refused("--model m", "environment variable DYNLORA_MAX_ROW: unknown option; the nearest is max-rows");
        unsetenv("DYNLORA_MAX_ROW");
        refused("--config x.conf", "x.conf: No such file or directory");
}

static void a_flag_goes_before_environment_file_and_default(void **state)
{
        const char *text = " max-rows = 7\nmax-queue=8\n\n# a comment\n; another\nmodel = from file\n"
                           "adapter-root = a\nadapter-root = b\n";
        char words[600];
        struct conf c;

        snprintf(words, sizeof words, "--config %s", scratch_write("x.conf", text, strlen(text)));
        accepted(&c, words);
        assert_true(c.max_rows == 7 && c.max_queue == 8 && c.step_tokens == 128);
        assert_string_equal(c.model, "from file");
        assert_int_equal(c.adapter_roots.n, 2);
        conf_finish(&c);

        setenv("DYNLORA_CONFIG", scratch_path("x.conf"), 1);
        setenv("DYNLORA_MAX_ROWS", "9", 1);
        setenv("DYNLORA_ADAPTER_ROOT", "c::d:e", 1);
        setenv("DYNLORA_MODEL", "", 1); // set to nothing is not set
        accepted(&c, "--step-tokens 64");
        assert_true(c.max_rows == 9 && c.max_queue == 8 && c.step_tokens == 64 && c.adapter_roots.n == 3);
        assert_string_equal(c.model, "from file");
        assert_string_equal(c.adapter_roots.at[2], "e");
        conf_finish(&c);

        accepted(&c, "--max-rows 11 --adapter-root f");
        assert_true(c.max_rows == 11 && c.adapter_roots.n == 1);
        assert_string_equal(c.adapter_roots.at[0], "f");
        conf_finish(&c);
        unsetenv("DYNLORA_CONFIG");
        unsetenv("DYNLORA_ADAPTER_ROOT");
        unsetenv("DYNLORA_MODEL");

        setenv("DYNLORA_MAX_ROWS", "many", 1);
        refused("--model m", "environment variable DYNLORA_MAX_ROWS: expected a whole number, found \"many\"");
        unsetenv("DYNLORA_MAX_ROWS");
}

static void a_bad_line_is_told_with_its_number(void **state)
{
        static const struct {
                const char *text, *words;
        } rows[] = {
                {"max-rows = 7\nmax-rowz = 8\n", "*x.conf:2: max-rowz: unknown option; the nearest is max-rows"},
                {"\n\nmax-rows = x\n", "*x.conf:3: max-rows: expected a whole number, found \"x\""},
                {"max-rows = 7\nmax-rows = 7\n", "*x.conf:2: max-rows: expected it once, found it again with \"7\""},
                {"max-rows = 7\nfoo\nmax-rowz = 8\n", "*x.conf:2: expected a line `option = value`"},
                {"max-rowz = 7\nfoo\n", "*x.conf:1: max-rowz: unknown option"},
                {"[serve]\nmax-rows = 7\n", "*x.conf:2: expected no [section]"},
                {"config = y.conf\n", "*x.conf:1: expected no other file"},
                {"model = m\n  max-rows = x\n", "*x.conf:2: max-rows: expected a whole number"},
                {"model =\n", "*x.conf:1: model: expected a value, found nothing"},
        };
        char words[600], line[400];

        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                snprintf(words, sizeof words, "--config %s",
                        scratch_write("x.conf", rows[i].text, strlen(rows[i].text)));
                refused(words, rows[i].words);
        }
        memset(line, 'x', sizeof line);
        memcpy(line, "# ok\nmodel = ", 13);
        scratch_write("x.conf", line, sizeof line);
        refused(words, "*x.conf:2: expected a shorter line, without NUL bytes");
        scratch_write("x.conf", "\0model = m\n", 11);
        refused(words, "*x.conf:1: expected a shorter line, without NUL bytes");
        refused("--config /", "*/: cannot be read");
}

static void what_kubernetes_sets_for_a_service_is_no_option(void **state)
{
        static const char *const names[] = {"DYNLORA_SERVICE_HOST", "DYNLORA_SERVICE_PORT", "DYNLORA_SERVICE_PORT_HTTP",
                "DYNLORA_PORT", "DYNLORA_PORT_8000_TCP", "DYNLORA_PORT_8000_TCP_ADDR", "DYNLORA_X_PORT"};
        struct conf c;

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                setenv(names[i], "tcp://10.0.0.1:8000", 1);
        accepted(&c, "--model m");
        conf_finish(&c);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                unsetenv(names[i]);
        setenv("DYNLORA_PORTS", "1", 1);
        refused("--model m", "environment variable DYNLORA_PORTS: unknown option");
        unsetenv("DYNLORA_PORTS");
}

static void what_the_client_reads_is_no_option(void **state)
{
        struct conf c;

        setenv("DYNLORA_URL", "unix:/s", 1);
        setenv("DYNLORA_ADMIN_TOKEN", "t", 1);
        accepted(&c, "--model m");
        assert_null(c.admin_token_file);
        conf_finish(&c);
        unsetenv("DYNLORA_URL");
        unsetenv("DYNLORA_ADMIN_TOKEN");
}

static char *printed(void (*print)(FILE *))
{
        char *text;
        size_t len;
        FILE *f = open_memstream(&text, &len);

        print(f);
        fclose(f);
        return text;
}

static void help_fits_80_columns_and_names_every_option(void **state)
{
        char *text = printed(conf_print_help), name[80];

        for (int i = 0; i < conf_serve_table.n; i++) {
                snprintf(name, sizeof name, "--%s ", conf_serve_table.rows[i].name);
                if (strstr(text, name) == NULL)
                        fail_msg("%s is missing", name);
        }
        for (char *line = text; *line != 0; line += strcspn(line, "\n") + 1)
                if (strcspn(line, "\n") > 80 || line[strcspn(line, "\n") - 1] == ' ')
                        fail_msg("%.*s", (int)strcspn(line, "\n"), line);
        free(text);
}

static void the_committed_file_says_what_the_table_says(void **state)
{
        char *text = printed(conf_print_sample), *file = calloc(1, 100000);
        FILE *f = fopen("conf/dynlora.conf", "r");

        assert_non_null(f);
        assert_true(fread(file, 1, 99999, f) > 0);
        fclose(f);
        if (strcmp(text, file) != 0)
                fail_msg("conf/dynlora.conf differs from src/conf/table.c: write it anew with `dynlora help conf`");
        free(text);
        free(file);
}

// With the # before each option taken away, the file sets the defaults and nothing else.
static void the_committed_file_can_be_used(void **state)
{
        char *text = printed(conf_print_sample), *used = calloc(1, strlen(text) + 1), words[600];
        struct conf plain, c;
        int n = 0;

        for (char *line = text; *line != 0; line += strcspn(line, "\n") + 1) {
                bool option = line[0] == '#' && islower((unsigned char)line[1]);

                strncat(used, line + option, strcspn(line, "\n") + 1 - option);
                n += option;
        }
        assert_int_equal(n, conf_serve_table.n - 1); // all but --config
        snprintf(words, sizeof words, "--config %s", scratch_write("all.conf", used, strlen(used)));
        accepted(&c, words);
        accepted(&plain, "--model PATH");
        assert_string_equal(c.model, "PATH");
        assert_string_equal(c.listen, plain.listen);
        assert_string_equal(c.backend, plain.backend);
        assert_true(c.max_rows == plain.max_rows && c.max_body == plain.max_body && c.kv_dtype == plain.kv_dtype);
        assert_true(
                c.weights == plain.weights && c.prefix_cache == plain.prefix_cache && c.log_level == plain.log_level);
        conf_finish(&c);
        conf_finish(&plain);
        free(text);
        free(used);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_option_not_given_has_its_default),
                cmocka_unit_test(every_type_of_value_is_read),
                cmocka_unit_test(sizes_have_binary_units),
                cmocka_unit_test(a_list_of_numbers_replaces_the_default_and_is_told_when_it_is_wrong),
                cmocka_unit_test(a_switch_needs_no_value),
                cmocka_unit_test(a_wrong_value_is_told_with_option_expected_and_found),
                cmocka_unit_test(an_unknown_name_is_told_with_the_nearest),
                cmocka_unit_test(a_flag_goes_before_environment_file_and_default),
                cmocka_unit_test(a_bad_line_is_told_with_its_number),
                cmocka_unit_test(what_kubernetes_sets_for_a_service_is_no_option),
                cmocka_unit_test(what_the_client_reads_is_no_option),
                cmocka_unit_test(help_fits_80_columns_and_names_every_option),
                cmocka_unit_test(the_committed_file_says_what_the_table_says),
                cmocka_unit_test(the_committed_file_can_be_used),
        };

        for (char **e = environ; *e != NULL;) { // what the caller's environment says is not under test
                char name[100];

                snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
                if (strncmp(name, "DYNLORA_", 8) == 0)
                        unsetenv(name);
                else
                        e++;
        }
        return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
