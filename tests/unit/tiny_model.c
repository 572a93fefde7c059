#include "tiny_model.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"

#define DIM    32
#define HIDDEN 48

static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 2,"
        " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 50,"
        " \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0,"
        " \"tie_word_embeddings\": true, \"hidden_act\": \"silu\", \"attention_bias\": false}";

struct writer {
        const struct tiny_model *broken;
        struct buf header, data;
        uint64_t state;
};

static float next(struct writer *w)
{
        w->state = w->state * 6364136223846793005u + 1442695040888963407u;
        return (float)(int32_t)(w->state >> 32) / 2147483648.0f;
}

static void tensor(struct writer *w, const char *name, int rows, int cols)
{
        size_t from = w->data.len;

        if (w->broken->skip && strcmp(name, w->broken->skip) == 0)
                return;
        if (w->broken->reshape && strcmp(name, w->broken->reshape) == 0)
                rows++;
        for (int i = 0; i < rows * (cols ? cols : 1); i++) {
                float value = cols ? next(w) * 0.4f : 1 + next(w) * 0.2f;

                buf_append(&w->data, &value, sizeof value);
        }
        buf_printf(&w->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d", w->header.len > 1 ? "," : "", name, rows);
        if (cols)
                buf_printf(&w->header, ",%d", cols);
        buf_printf(&w->header, "],\"data_offsets\":[%zu,%zu]}", from, w->data.len);
}

static void layer(struct writer *w, int i)
{
        static const struct {
                const char *name;
                int rows, cols;
        } parts[] = {{"input_layernorm", DIM, 0}, {"self_attn.q_proj", DIM, DIM}, {"self_attn.k_proj", DIM / 2, DIM},
                {"self_attn.v_proj", DIM / 2, DIM}, {"self_attn.o_proj", DIM, DIM},
                {"post_attention_layernorm", DIM, 0}, {"mlp.gate_proj", HIDDEN, DIM}, {"mlp.up_proj", HIDDEN, DIM},
                {"mlp.down_proj", DIM, HIDDEN}};

        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
                char name[96];

                snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, parts[k].name);
                tensor(w, name, parts[k].rows, parts[k].cols);
        }
}

static void save(const char *folder, const char *name, const void *a, size_t a_len, const void *b, size_t b_len)
{
        char *path = mem_printf("%s/%s", folder, name);
        FILE *f = fopen(path, "w");

        if (f == NULL || fwrite(a, 1, a_len, f) != a_len || (b_len && fwrite(b, 1, b_len, f) != b_len) ||
                fclose(f) != 0)
                abort();
        mem_free(path);
}

static void save_config(const char *folder, const struct tiny_model *broken)
{
        struct buf text = {0};
        const char *at = broken->find ? strstr(config, broken->find) : NULL;

        if (broken->find && at == NULL)
                abort(); // the test replaces what is not there
        buf_append(&text, config, at ? (size_t)(at - config) : strlen(config));
        if (at != NULL)
                buf_printf(&text, "%s%s", broken->replace, at + strlen(broken->find));
        save(folder, "config.json", text.data, text.len, NULL, 0);
        buf_free(&text);
}

char *tiny_model_write(const struct tiny_model *broken)
{
        struct writer w = {.broken = broken, .state = 42};
        char *folder = mem_strdup("/tmp/dynlora-tiny-XXXXXX");
        uint64_t len;

        if (mkdtemp(folder) == NULL)
                abort();
        buf_putc(&w.header, '{');
        tensor(&w, "model.embed_tokens.weight", TINY_VOCAB, DIM);
        layer(&w, 0);
        layer(&w, 1);
        tensor(&w, "model.norm.weight", DIM, 0);
        if (broken->extra)
                tensor(&w, broken->extra, 4, 4);
        buf_putc(&w.header, '}');
        while (w.header.len % 8 != 0)
                buf_putc(&w.header, ' ');
        len = w.header.len;
        struct buf head = {0};
        buf_append(&head, &len, sizeof len);
        buf_append(&head, w.header.data, w.header.len);
        save(folder, "model.safetensors", head.data, head.len, w.data.data, w.data.len);
        save_config(folder, broken);
        buf_free(&head);
        buf_free(&w.header);
        buf_free(&w.data);
        return folder;
}

void tiny_model_remove(char *folder)
{
        static const char *const names[] = {"config.json", "model.safetensors"};

        for (int i = 0; i < 2; i++) {
                char *path = mem_printf("%s/%s", folder, names[i]);

                unlink(path);
                mem_free(path);
        }
        rmdir(folder);
        mem_free(folder);
}
