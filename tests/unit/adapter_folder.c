#include "adapter_folder.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/quant.h"

static const char usual_config[] =
        "{\"alpha_pattern\": {}, \"auto_mapping\": null, \"base_model_name_or_path\": \"tiny\", \"bias\": \"none\",\n"
        " \"fan_in_fan_out\": false, \"inference_mode\": true, \"init_lora_weights\": true,\n"
        " \"layers_pattern\": null, \"layers_to_transform\": null, \"loftq_config\": {}, \"lora_alpha\": 8,\n"
        " \"lora_dropout\": 0.05, \"megatron_config\": null, \"megatron_core\": \"megatron.core\",\n"
        " \"modules_to_save\": null, \"peft_type\": \"LORA\", \"r\": 4, \"rank_pattern\": {}, \"revision\": null,\n"
        " \"target_modules\": [\"q_proj\", \"v_proj\", \"down_proj\"], \"task_type\": \"CAUSAL_LM\",\n"
        " \"use_dora\": false, \"use_rslora\": false}\n";

static const struct dyn_site sites[] = {
        {"model.layers.0.self_attn.q_proj", 0, 8, 8},
        {"model.layers.0.self_attn.k_proj", 0, 8, 4},
        {"model.layers.0.self_attn.v_proj", 0, 8, 4},
        {"model.layers.0.self_attn.o_proj", 0, 8, 8},
        {"model.layers.0.mlp.gate_proj", 0, 8, 12},
        {"model.layers.0.mlp.up_proj", 0, 8, 12},
        {"model.layers.0.mlp.down_proj", 0, 12, 8},
        {"model.layers.1.self_attn.q_proj", 1, 8, 8},
        {"model.layers.1.self_attn.k_proj", 1, 8, 4},
        {"model.layers.1.self_attn.v_proj", 1, 8, 4},
        {"model.layers.1.self_attn.o_proj", 1, 8, 8},
        {"model.layers.1.mlp.gate_proj", 1, 8, 12},
        {"model.layers.1.mlp.up_proj", 1, 8, 12},
        {"model.layers.1.mlp.down_proj", 1, 12, 8},
};
static const struct dyn_sites site_table = {sites, sizeof sites / sizeof *sites};
static const int adapted[] = {0, 2, 6, 7, 9, 13};

// The device
// --------------------------------------------------------------------------------------------------------------------

atomic_int test_host_alive;
atomic_int test_host_refuses = -1;

static float *to_f32(const struct dyn_tensor *t)
{
        int64_t n = t->shape[0] * t->shape[1];
        float *copy = mem_array((size_t)n, sizeof *copy);

        assert((uintptr_t)t->data % dyn_dtype_bytes(t->dtype, 1) == 0);
        quant_to_f32(copy, t->dtype, t->data, n);
        return copy;
}

static enum dyn_status host_load(struct dyn_device *device, struct dyn_lowrank *p, const struct dyn_tensor *a,
        const struct dyn_tensor *b, float scale, struct dyn_error *err)
{
        if (test_host_refuses >= 0 && atomic_fetch_sub(&test_host_refuses, 1) == 0)
                return dyn_fail(err, DYN_NO_MEMORY, "the device has no 64 bytes left");
        assert(a->dtype == b->dtype && a->shape[0] == b->shape[1]);
        *p = (struct dyn_lowrank){
                a->dtype, (int)a->shape[0], (int)a->shape[1], (int)b->shape[0], scale, to_f32(a), to_f32(b)};
        atomic_fetch_add(&test_host_alive, 1);
        return DYN_OK;
}

static void host_free(struct dyn_device *device, struct dyn_lowrank *p)
{
        atomic_fetch_sub(&test_host_alive, p->a != NULL);
        mem_free(p->a);
        mem_free(p->b);
        *p = (struct dyn_lowrank){0};
}

static const struct dyn_backend_ops host_ops = {
        .name = "host",
        .lowrank_load = host_load,
        .lowrank_free = host_free,
};
const struct adapter_host test_host = {&host_ops, NULL, &site_table};

// The folder
// --------------------------------------------------------------------------------------------------------------------

float adapter_folder_value(const char *name, int seed, int i)
{
        char key[200];
        int len = snprintf(key, sizeof key, "%s %d %d", name, seed, i);

        // Small enough that F16 and BF16 hold it exactly.
        return (float)(map_hash(key, (size_t)len) % 255) / 128.0f - 1.0f;
}

static bool ends_with(const char *text, const char *end)
{
        size_t n = strlen(text), m = strlen(end);

        return n >= m && strcmp(text + n - m, end) == 0;
}

static enum dyn_dtype dtype_of(const char *name)
{
        return strcmp(name, "F16") == 0 ? DYN_F16 : strcmp(name, "BF16") == 0 ? DYN_BF16 : DYN_F32;
}

static void add_tensor(const struct adapter_folder *f, const char *site, char part, int rows, int columns,
        struct buf *head, struct buf *data)
{
        char *name = mem_printf("base_model.model.%s.lora_%c.weight", site, part);
        bool meant = f->tensor != NULL && strstr(site, "layers.0") != NULL && ends_with(name, f->tensor);
        const char *dtype = meant && f->dtype ? f->dtype : f->dtypes ? f->dtypes : "F32";
        enum dyn_dtype type = dtype_of(dtype);
        char *shown = meant && f->rename ? f->rename[0] == '!' ? mem_strdup(f->rename + 1)
                                                               : mem_printf("base_model.model.%s", f->rename)
                                         : mem_strdup(name);

        rows = meant && f->rows ? f->rows : rows;
        columns = meant && f->columns ? f->columns : columns;
        if (!meant || !f->drop) {
                size_t bytes = dyn_dtype_bytes(type, (int64_t)rows * columns), begin = data->len;
                float *values = mem_array((size_t)(rows * columns), sizeof *values);

                for (int i = 0; i < rows * columns; i++)
                        values[i] = adapter_folder_value(name, f->seed, i);
                if (meant && f->value != 0)
                        values[rows * columns - 1] = f->value;
                void *stored = mem_alloc(bytes);
                quant_from_f32(stored, type, values, (int64_t)rows * columns);
                buf_append(data, stored, bytes);
                mem_free(stored);
                mem_free(values);
                buf_printf(head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}",
                        head->len > 1 ? "," : "", shown, dtype, rows, columns, begin, data->len);
        }
        mem_free(name);
        mem_free(shown);
}

static void write_file(const char *folder, const char *name, const void *data, size_t len)
{
        char *path = mem_printf("%s/%s", folder, name);
        FILE *file = fopen(path, "wb");

        assert(file != NULL);
        assert(fwrite(data, 1, len, file) == len);
        fclose(file);
        mem_free(path);
}

static void write_config(const char *path, const struct adapter_folder *f)
{
        const char *text = f->config ? f->config : usual_config;
        struct buf out = {0};
        const char *at = f->find ? strstr(text, f->find) : NULL;

        assert(f->find == NULL || at != NULL);
        if (at != NULL) {
                buf_append(&out, text, (size_t)(at - text));
                buf_puts(&out, f->replace);
                buf_puts(&out, at + strlen(f->find));
        } else {
                buf_puts(&out, text);
        }
        write_file(path, "adapter_config.json", out.data ? out.data : "", out.len);
        buf_free(&out);
}

void adapter_folder_write_to(const char *path, const struct adapter_folder *f)
{
        struct buf head = {0}, data = {0}, file = {0};
        int rank = f->rank ? f->rank : 4;

        mkdir(path, 0755);
        write_config(path, f);
        buf_putc(&head, '{');
        for (size_t i = 0; i < sizeof adapted / sizeof *adapted; i++) {
                const struct dyn_site *site = &sites[adapted[i]];

                if (f->only != NULL && strstr(site->name, f->only) == NULL)
                        continue;
                add_tensor(f, site->name, 'A', rank, site->n_in, &head, &data);
                add_tensor(f, site->name, 'B', site->n_out, rank, &head, &data);
        }
        buf_putc(&head, '}');
        uint64_t len = head.len;
        buf_append(&file, &len, 8);
        buf_append(&file, head.data, head.len);
        buf_append(&file, data.data, data.len);
        write_file(path, "adapter_model.safetensors", file.data, file.len);
        buf_free(&head);
        buf_free(&data);
        buf_free(&file);
}

char *adapter_folder_store(void)
{
        char *path = mem_strdup("/tmp/dynlora-adapter-XXXXXX");

        assert(mkdtemp(path) != NULL);
        return path;
}

char *adapter_folder_write(const struct adapter_folder *f)
{
        char *path = adapter_folder_store();

        adapter_folder_write_to(path, f);
        return path;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
        return remove(path);
}

void adapter_folder_remove(char *path)
{
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        mem_free(path);
}
