// src/adapt/load.c and folder.c. Oracles: sha256sum, and the values that were written into the folder.
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/folder.h"
#include "adapter_folder.h"
#include "base/alloc.h"

static struct dyn_adapter *load(const char *path)
{
        struct dyn_adapter *a;
        struct dyn_error err;

        if (adapter_load(&test_host, "sql", path, &a, &err))
                fail_msg("refused: %s", err.text);
        return a;
}

static void expect_patch(const struct dyn_adapter *a, int i)
{
        const struct dyn_lowrank *p = &a->patches[i];
        char *name = mem_printf("base_model.model.%s.lora_B.weight", test_host.sites->at[i].name);

        assert_int_equal(p->rank, 4);
        assert_true(p->scale == 2.0f);
        for (int k = 0; k < p->n_out * p->rank; k++)
                assert_true(((const float *)p->b)[k] == adapter_folder_value(name, 0, k));
        mem_free(name);
}

static void a_loaded_version_needs_its_folder_no_more(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0});
        struct dyn_adapter *a = load(path);
        const struct dyn_adapter_info *info = dyn_adapter_info(a);

        assert_string_equal(info->path, path);
        adapter_folder_remove(path);
        assert_string_equal(info->name, "sql");
        assert_string_equal(info->kind, "lora");
        assert_string_equal(info->base_model, "tiny");
        assert_int_equal(info->rank, 4);
        assert_int_equal(info->n_sites, 6);
        assert_int_equal(info->bytes, 2 * 4 * 4 * (8 + 8 + 8 + 4 + 12 + 8));
        assert_int_equal(strlen(info->version), 16);
        assert_int_equal(strncmp(info->version, info->sha256, 16), 0);
        assert_int_equal(test_host_alive, 6);
        assert_int_equal(a->patches[1].rank, 0);
        expect_patch(a, 0);
        expect_patch(a, 13);
        dyn_adapter_unpin(a);
        assert_int_equal(test_host_alive, 0);
}

static void the_hash_is_over_names_sizes_and_bytes_of_both_files(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0});
        char *command = mem_printf("cd %s && for f in adapter_config.json adapter_model.safetensors; do "
                                   "printf '%%s %%s\\n' $f $(stat -c %%s $f); cat $f; done | sha256sum",
                path);
        char expected[FOLDER_HASH] = "", found[FOLDER_HASH];
        FILE *pipe = popen(command, "r");
        struct dyn_adapter *a = load(path);
        struct dyn_error err;

        assert_int_equal(fread(expected, 1, 64, pipe), 64);
        pclose(pipe);
        assert_string_equal(dyn_adapter_info(a)->sha256, expected);
        assert_int_equal(folder_hash(path, found, &err), DYN_OK);
        assert_string_equal(found, expected);
        dyn_adapter_unpin(a);
        mem_free(command);
        adapter_folder_remove(path);
}

static void same_content_is_the_same_version_and_never_the_same_id(void **state)
{
        char *one = adapter_folder_write(&(struct adapter_folder){0});
        char *two = adapter_folder_write(&(struct adapter_folder){0});
        char *other = adapter_folder_write(&(struct adapter_folder){.seed = 1});
        struct dyn_adapter *a = load(one), *b = load(two), *c = load(other);

        assert_string_equal(dyn_adapter_info(a)->sha256, dyn_adapter_info(b)->sha256);
        assert_string_not_equal(dyn_adapter_info(a)->version, dyn_adapter_info(c)->version);
        assert_true(a->id != b->id && b->id != c->id && a->id != c->id);
        assert_true(a->id != 0 && b->id != 0 && c->id != 0);
        dyn_adapter_unpin(a);
        dyn_adapter_unpin(b);
        dyn_adapter_unpin(c);
        adapter_folder_remove(one);
        adapter_folder_remove(two);
        adapter_folder_remove(other);
}

static void *pin_and_unpin(void *a)
{
        for (int i = 0; i < 10000; i++)
                dyn_adapter_unpin(dyn_adapter_pin(a));
        dyn_adapter_unpin(a);
        return NULL;
}

static void the_last_of_many_threads_frees_it(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0});
        struct dyn_adapter *a = load(path);
        pthread_t threads[4];

        for (int i = 0; i < 4; i++)
                pthread_create(&threads[i], NULL, pin_and_unpin, dyn_adapter_pin(a));
        dyn_adapter_unpin(a);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(test_host_alive, 0);
        dyn_adapter_unpin(dyn_adapter_pin(NULL));
        adapter_folder_remove(path);
}

static void a_full_device_leaves_nothing_behind(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0});
        char *expected = mem_printf("%s: model.layers.0.self_attn.v_proj: the device has no 64 bytes left", path);

        for (int room = 0; room < 6; room++) {
                struct dyn_adapter *a = (struct dyn_adapter *)path;
                struct dyn_error err;

                test_host_refuses = room;
                assert_int_equal(adapter_load(&test_host, "sql", path, &a, &err), DYN_NO_MEMORY);
                assert_null(a);
                assert_int_equal(test_host_alive, 0);
                if (room == 1)
                        assert_string_equal(err.text, expected);
        }
        test_host_refuses = -1;
        mem_free(expected);
        adapter_folder_remove(path);
}

// Folders
// ---------------------------------------------------------------------------------------------------------------------

static char *in(const char *path, const char *name)
{
        return mem_printf("%s/%s", path, name);
}

static void write_text(const char *path, const char *name, const char *text, size_t len)
{
        char *full = in(path, name);
        FILE *file = fopen(full, "wb");

        assert_int_equal(fwrite(text, 1, len, file), len);
        fclose(file);
        mem_free(full);
}

static void delete_file(const char *path, const char *name)
{
        char *full = in(path, name);

        assert_int_equal(unlink(full), 0);
        mem_free(full);
}

// The error after the path, which every error begins with. Loading frees all that it took.
static void expect_refusal(const char *path, enum dyn_status status, const char *expected)
{
        struct dyn_adapter *a;
        struct dyn_error err;
        size_t n = strlen(path);

        assert_int_equal(adapter_load(&test_host, "sql", path, &a, &err), status);
        assert_null(a);
        assert_int_equal(strncmp(err.text, path, n), 0);
        assert_int_equal(strncmp(err.text + n, ": ", 2), 0);
        assert_string_equal(err.text + n + 2, expected);
        assert_int_equal(adapter_load(&test_host, "sql", path, &a, NULL), status);
}

static void missing_files_are_named(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0});

        delete_file(path, "adapter_model.safetensors");
        expect_refusal(
                path, DYN_INVALID, "adapter_model.safetensors: expected the adapter's tensors, found no such file");
        delete_file(path, "adapter_config.json");
        expect_refusal(
                path, DYN_INVALID, "adapter_config.json: expected an adapter's configuration, found no such file");
        adapter_folder_remove(path);
        expect_refusal("/nonexistent/adapter", DYN_NOT_FOUND, "no such folder");
        expect_refusal("/etc/passwd", DYN_INVALID, "expected a folder, found a file");
}

static void a_pickle_is_refused_by_its_name(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0});

        delete_file(path, "adapter_model.safetensors");
        write_text(path, "adapter_model.bin", "\x80\x02", 2);
        expect_refusal(path, DYN_UNSUPPORTED,
                "adapter_model.bin: a pickle can run code and is not read: save the adapter as safetensors "
                "(adapter_model.safetensors)");
        adapter_folder_remove(path);
}

static void a_pipe_does_not_hang_the_loader(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0}), *config = in(path, "adapter_config.json");

        unlink(config);
        assert_int_equal(mkfifo(config, 0600), 0);
        expect_refusal(path, DYN_INVALID, "adapter_config.json: expected a regular file");
        mem_free(config);
        adapter_folder_remove(path);
}

static void a_configuration_that_is_no_object_is_refused(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){.config = "[1, 2]"});
        char *huge = mem_zalloc(2 << 20);

        expect_refusal(path, DYN_INVALID, "adapter_config.json: expected an object, found an array of 2");
        write_text(path, "adapter_config.json", "", 0);
        struct dyn_adapter *a;
        struct dyn_error err;
        assert_int_equal(adapter_load(&test_host, "sql", path, &a, &err), DYN_INVALID);
        assert_non_null(strstr(err.text, ": adapter_config.json: "));
        memset(huge, ' ', 2 << 20);
        write_text(path, "adapter_config.json", huge, 2 << 20);
        expect_refusal(path, DYN_INVALID, "adapter_config.json: expected at most 1048576 bytes, found 2097152");
        write_text(path, "adapter_config.json", "{\"base_model_name_or_path\": 3}", 30);
        expect_refusal(
                path, DYN_INVALID, "adapter_config.json: \"base_model_name_or_path\": expected a string, found 3");
        mem_free(huge);
        adapter_folder_remove(path);
}

// Every cut of the file of tensors, and what lies about its length: refused, with the file's own name in the error.
static void a_file_that_was_cut_short_is_refused_wherever(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){0});
        char *full = in(path, "adapter_model.safetensors");
        struct stat info;
        struct dyn_adapter *a;
        struct dyn_error err;

        assert_int_equal(stat(full, &info), 0);
        for (off_t len = info.st_size - 1; len >= 0; len -= len > 100 ? 37 : 1) {
                assert_int_equal(truncate(full, len), 0);
                assert_int_equal(adapter_load(&test_host, "sql", path, &a, &err), DYN_INVALID);
                assert_int_equal(strncmp(err.text + strlen(path), ": adapter_model.safetensors: ", 29), 0);
                assert_null(strstr(err.text, "/proc/"));
        }
        write_text(path, "adapter_model.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
        assert_int_equal(adapter_load(&test_host, "sql", path, &a, &err), DYN_INVALID);
        mem_free(full);
        adapter_folder_remove(path);
}

static void a_kind_that_is_not_known_is_refused_before_its_tensors_are_read(void **state)
{
        char *path = adapter_folder_write(&(struct adapter_folder){.find = "LORA", .replace = "PREFIX_TUNING"});

        write_text(path, "adapter_model.safetensors", "x", 1);
        expect_refusal(path, DYN_UNSUPPORTED,
                "adapter_config.json: \"peft_type\": expected \"LORA\", found \"PREFIX_TUNING\"");
        adapter_folder_remove(path);
}

// The demo
// --------------------------------------------------------------------------------------------------------------------

// SmolLM2-135M's layers.
static struct dyn_sites smollm2(void)
{
        static const struct {
                const char *name;
                int n_in, n_out;
        } layer[] = {
                {"self_attn.q_proj", 576, 576},
                {"self_attn.k_proj", 576, 192},
                {"self_attn.v_proj", 576, 192},
                {"self_attn.o_proj", 576, 576},
                {"mlp.gate_proj", 576, 1536},
                {"mlp.up_proj", 576, 1536},
                {"mlp.down_proj", 1536, 576},
        };
        struct dyn_site *sites = mem_array(210, sizeof *sites);

        for (int i = 0; i < 210; i++)
                sites[i] = (struct dyn_site){mem_printf("model.layers.%d.%s", i / 7, layer[i % 7].name), i / 7,
                        layer[i % 7].n_in, layer[i % 7].n_out};
        return (struct dyn_sites){sites, 210};
}

static void the_demo_adapters_load(void **state)
{
        static const struct {
                const char *path;
                int rank, n_sites;
                float scale;
        } demo[] = {
                {"deploy/demo/adapters/sql", 4, 210, 2.0f},
                {"deploy/demo/adapters/pirate", 4, 210, 2.0f},
                {"deploy/demo/adapters/shout", 8, 60, 2.8284271f},
        };
        struct dyn_sites sites = smollm2();
        struct adapter_host host = {test_host.ops, test_host.device, &sites};

        for (int i = 0; i < 3; i++) {
                struct dyn_adapter *a;
                struct dyn_error err;

                if (adapter_load(&host, "demo", demo[i].path, &a, &err))
                        fail_msg("%s", err.text);
                assert_int_equal(dyn_adapter_info(a)->rank, demo[i].rank);
                assert_int_equal(dyn_adapter_info(a)->n_sites, demo[i].n_sites);
                assert_int_equal(a->patches[0].dtype, DYN_BF16);
                assert_true(a->patches[0].scale == demo[i].scale);
                dyn_adapter_unpin(a);
        }
        for (int i = 0; i < sites.n; i++)
                mem_free((char *)sites.at[i].name);
        mem_free((void *)sites.at);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_loaded_version_needs_its_folder_no_more),
                cmocka_unit_test(the_hash_is_over_names_sizes_and_bytes_of_both_files),
                cmocka_unit_test(same_content_is_the_same_version_and_never_the_same_id),
                cmocka_unit_test(the_last_of_many_threads_frees_it),
                cmocka_unit_test(a_full_device_leaves_nothing_behind),
                cmocka_unit_test(missing_files_are_named),
                cmocka_unit_test(a_pickle_is_refused_by_its_name),
                cmocka_unit_test(a_pipe_does_not_hang_the_loader),
                cmocka_unit_test(a_configuration_that_is_no_object_is_refused),
                cmocka_unit_test(a_file_that_was_cut_short_is_refused_wherever),
                cmocka_unit_test(a_kind_that_is_not_known_is_refused_before_its_tensors_are_read),
                cmocka_unit_test(the_demo_adapters_load),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
