#include "bench_files.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"

// TinyLlama-1.1B's shape (Zhang et al., 2024).
enum { DIM = 2048, HIDDEN = 5632, LAYERS = 22, HEADS = 32, KV_HEADS = 4, HEAD_DIM = 64, VOCAB = 32000, CONTEXT = 2048 };

// The temporary folder
// -----------------------------------------------------------------------------------------------------------------

static const char *const names[] = {
        "config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"};
#define N_NAMES (sizeof names / sizeof *names)

static char folder_path[40], paths[N_NAMES][80];

// Only calls that a signal handler may make.
void bench_files_remove(void)
{
        for (size_t i = 0; i < N_NAMES; i++)
                unlink(paths[i]);
        rmdir(folder_path);
}

static void on_signal(int number)
{
        bench_files_remove();
        raise(number); // the handler is gone by now: SA_RESETHAND
}

char *bench_files_folder(struct dyn_error *err)
{
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};

        snprintf(folder_path, sizeof folder_path, P_tmpdir "/dynlora-bench-XXXXXX");
        if (mkdtemp(folder_path) == NULL) {
                dyn_fail(err, DYN_IO, "%s: %s", folder_path, strerror(errno));
                return NULL;
        }
        for (size_t i = 0; i < N_NAMES; i++)
                snprintf(paths[i], sizeof paths[i], "%s/%s", folder_path, names[i]);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        return mem_strdup(folder_path);
}

// A safetensors file that is written front to back: first every tensor is entered, then the head and the numbers
// -----------------------------------------------------------------------------------------------------------------

struct entry {
        size_t n;      // elements
        uint16_t base; // bf16 of the smallest absolute value
        bool fixed;    // all are base
};

struct writer {
        struct buf head;
        struct entry *entries; // (n)
        int n;
        size_t bytes;
        bool synced;     // nothing is left to be written back later, which would disturb what is measured
        uint64_t random; // state of xorshift64, Marsaglia, 2003
};

// Numbers of either sign from base to twice base; base is a power of 2. n_in 0: a vector.
static void enter(struct writer *w, const char *name, int n_out, int n_in, float base, bool fixed)
{
        size_t n = (size_t)n_out * (size_t)(n_in ? n_in : 1);
        uint32_t bits;

        memcpy(&bits, &base, sizeof bits);
        buf_printf(&w->head, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[", w->n ? "," : "{", name);
        buf_printf(&w->head, "%d", n_out);
        if (n_in != 0)
                buf_printf(&w->head, ",%d", n_in);
        buf_printf(&w->head, "],\"data_offsets\":[%zu,%zu]}", w->bytes, w->bytes + n * 2);
        w->bytes += n * 2;
        w->entries = mem_realloc(w->entries, (size_t)(w->n + 1) * sizeof *w->entries);
        w->entries[w->n++] = (struct entry){n, (uint16_t)(bits >> 16), fixed};
}

static void fill(struct writer *w, uint16_t *out, size_t n, const struct entry *e)
{
        for (size_t i = 0; i < n; i += 4) {
                w->random ^= w->random << 13;
                w->random ^= w->random >> 7;
                w->random ^= w->random << 17;
                for (size_t k = 0; k < 4 && i + k < n; k++)
                        out[i + k] = e->fixed ? e->base : e->base | (uint16_t)(w->random >> (16 * k) & 0x807f);
        }
}

static bool write_numbers(
        struct writer *w, FILE *f, void (*progress)(void *ctx, const char *what, double done), void *ctx)
{
        enum { CHUNK = 1 << 19 };
        uint16_t *chunk = mem_alloc(CHUNK * sizeof *chunk);
        size_t done = 0;
        bool ok = true;

        for (int i = 0; i < w->n && ok; i++)
                for (size_t at = 0; at < w->entries[i].n && ok; at += CHUNK) {
                        size_t left = w->entries[i].n - at, n = left < CHUNK ? left : CHUNK;

                        fill(w, chunk, n, &w->entries[i]);
                        ok = fwrite(chunk, sizeof *chunk, n, f) == n;
                        done += n * sizeof *chunk;
                        if (progress != NULL)
                                progress(ctx, "making a random model", (double)done / (double)w->bytes);
                }
        mem_free(chunk);
        return ok;
}

static enum dyn_status write_file(struct writer *w, const char *path,
        void (*progress)(void *ctx, const char *what, double done), void *ctx, struct dyn_error *err)
{
        buf_putc(&w->head, '}');
        while (w->head.len % 8 != 0)
                buf_putc(&w->head, ' ');
        uint64_t len = w->head.len;
        FILE *f = fopen(path, "wb");
        bool ok = f != NULL && fwrite(&len, sizeof len, 1, f) == 1 && fwrite(w->head.data, len, 1, f) == 1 &&
                  write_numbers(w, f, progress, ctx) && fflush(f) == 0 && (!w->synced || fsync(fileno(f)) == 0);

        if (f != NULL && fclose(f) != 0)
                ok = false;
        buf_free(&w->head);
        mem_free(w->entries);
        return ok ? DYN_OK : dyn_fail(err, DYN_IO, "%s: %s", path, strerror(errno));
}

static enum dyn_status write_text(const char *folder, const char *name, struct buf *text, struct dyn_error *err)
{
        char *path = mem_printf("%s/%s", folder, name);
        FILE *f = fopen(path, "w");
        bool ok = f != NULL && fwrite(text->data, text->len, 1, f) == 1;
        enum dyn_status st = DYN_OK;

        if (f != NULL && fclose(f) != 0)
                ok = false;
        if (!ok)
                st = dyn_fail(err, DYN_IO, "%s: %s", path, strerror(errno));
        mem_free(path);
        buf_free(text);
        return st;
}

// The model
// -----------------------------------------------------------------------------------------------------------------

static void enter_layer(struct writer *w, int layer)
{
        static const struct {
                const char *name;
                int n_out, n_in;
        } sites[] = {{"self_attn.q_proj", HEADS * HEAD_DIM, DIM}, {"self_attn.k_proj", KV_HEADS * HEAD_DIM, DIM},
                {"self_attn.v_proj", KV_HEADS * HEAD_DIM, DIM}, {"self_attn.o_proj", DIM, HEADS * HEAD_DIM},
                {"mlp.gate_proj", HIDDEN, DIM}, {"mlp.up_proj", HIDDEN, DIM}, {"mlp.down_proj", DIM, HIDDEN}};
        char name[80];

        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", layer);
        enter(w, name, DIM, 0, 1, true);
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", layer);
        enter(w, name, DIM, 0, 1, true);
        for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
                snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, sites[i].name);
                enter(w, name, sites[i].n_out, sites[i].n_in, 0x1p-6f, false);
        }
}

static enum dyn_status write_config(const char *folder, struct dyn_error *err)
{
        struct buf text = {0};

        buf_printf(&text,
                "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_act\": \"silu\", "
                "\"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, "
                "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d, "
                "\"max_position_embeddings\": %d, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, "
                "\"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\"}\n",
                DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, VOCAB, CONTEXT);
        return write_text(folder, "config.json", &text, err);
}

// config.json comes last, so that a folder with one holds a whole model.
enum dyn_status bench_files_model(const char *folder, void (*progress)(void *ctx, const char *what, double done),
        void *ctx, struct dyn_error *err)
{
        char *config = mem_printf("%s/config.json", folder), *path = mem_printf("%s/model.safetensors", folder);
        bool there = access(config, F_OK) == 0;
        struct writer w = {.synced = true, .random = 1};
        enum dyn_status st = DYN_OK;

        if (!there) {
                enter(&w, "model.embed_tokens.weight", VOCAB, DIM, 0x1p-6f, false);
                for (int i = 0; i < LAYERS; i++)
                        enter_layer(&w, i);
                enter(&w, "model.norm.weight", DIM, 0, 1, true);
                enter(&w, "lm_head.weight", VOCAB, DIM, 0x1p-6f, false);
                st = write_file(&w, path, progress, ctx, err);
                if (st == DYN_OK)
                        st = write_config(folder, err);
        }
        mem_free(config);
        mem_free(path);
        return st;
}

// An adapter
// -----------------------------------------------------------------------------------------------------------------

static enum dyn_status write_adapter_config(
        const char *folder, const struct dyn_sites *sites, int rank, struct dyn_error *err)
{
        struct buf text = {0};

        buf_printf(&text, "{\"peft_type\": \"LORA\", \"r\": %d, \"lora_alpha\": %d, \"target_modules\": [", rank, rank);
        for (int i = 0; i < sites->n; i++)
                buf_printf(&text, "%s\"%s\"", i ? ", " : "", sites->at[i].name);
        buf_puts(&text, "]}\n");
        return write_text(folder, "adapter_config.json", &text, err);
}

enum dyn_status bench_files_adapter(
        const char *folder, const struct dyn_sites *sites, int rank, int seed, struct dyn_error *err)
{
        char *path = mem_printf("%s/adapter_model.safetensors", folder), name[300];
        struct writer w = {.random = (uint64_t)seed + 1};

        for (int i = 0; i < sites->n; i++) {
                snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", sites->at[i].name);
                enter(&w, name, rank, sites->at[i].n_in, 0x1p-8f, false);
                snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", sites->at[i].name);
                enter(&w, name, sites->at[i].n_out, rank, 0x1p-8f, false);
        }
        enum dyn_status st = write_file(&w, path, NULL, NULL, err);
        mem_free(path);
        return st == DYN_OK ? write_adapter_config(folder, sites, rank, err) : st;
}
