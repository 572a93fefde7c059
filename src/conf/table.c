#include "conf/table.h"

#include <limits.h>
#include <string.h>

#include "conf/conf.h"

const struct conf_choice conf_weights[] = {
        {"auto", DYN_WEIGHTS_AUTO}, {"native", DYN_WEIGHTS_NATIVE}, {"bf16", DYN_WEIGHTS_BF16}, {NULL, 0}};
const struct conf_choice conf_backends[] = {{"auto", 0}, {"cpu", 0}, {"cpu-amx", 0}, {"cpu-avx512", 0}, {"cpu-avx2", 0},
        {"cpu-neon", 0}, {"plain", 0}, {NULL, 0}};
const struct conf_choice conf_kv_dtypes[] = {{"f32", DYN_F32}, {"f16", DYN_F16}, {NULL, 0}};
static const struct conf_choice merges[] = {
        {"auto", DYN_MERGE_AUTO}, {"never", DYN_MERGE_NEVER}, {"always", DYN_MERGE_ALWAYS}, {NULL, 0}};
static const struct conf_choice log_levels[] = {
        {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN}, {"error", LOG_ERROR}, {NULL, 0}};
static const struct conf_choice log_formats[] = {{"text", CONF_LOG_TEXT}, {"json", CONF_LOG_JSON}, {NULL, 0}};

#define AT(field) offsetof(struct conf, field)
#define A_DAY     86400

// clang-format off
static const struct conf_row rows[] = {
        {"model", CONF_STRING, AT(model), NULL, "PATH",
         "The base model: a Hugging Face folder (config.json, *.safetensors, tokenizer.json) or a .gguf file.",
         .group = "Model"},
        {"served-model-name", CONF_STRING, AT(served_model_name), NULL, "NAME",
         "The base's id in the API. Without it, the name of the folder or file."},
        {"weights", CONF_ENUM, AT(weights), "auto", NULL,
         "How quantised GGUF tensors are held: native as they lie, bf16 dequantised at load; auto is native for the types that "
         "have a kernel here, bf16 for the others.",
         .choices = conf_weights},
        {"max-context", CONF_INT, AT(max_context), "0", "N",
         "Tokens in a sequence, prompt and answer together. 0 is what the model allows.", .max = 1 << 24},

        {"adapters", CONF_STRING, AT(adapters), NULL, "DIR",
         "The adapter store: each folder in it is an adapter of that name, loaded at start.", .group = "Adapters"},
        {"adapter-root", CONF_LIST, AT(adapter_roots), NULL, "DIR",
         "Where a registration by path may point, beside the store. May be given several times."},
        {"adapter-memory", CONF_SIZE, AT(adapter_memory), "0", "SIZE",
         "Memory for adapters that are ready to run; others wait on the host or on disk and come when they are asked for. "
         "0 is a share of what is free at start.", .max = INT64_MAX},
        {"host-adapter-memory", CONF_SIZE, AT(host_adapter_memory), "0", "SIZE",
         "Memory for files of adapters that are not ready to run, so that they need not be read again. "
         "0 is a share of what is free at start.", .max = INT64_MAX},
        {"merge", CONF_ENUM, AT(merge), "auto", NULL,
         "Whether an adapter may be merged into the base's weights, where it costs nothing per token: auto merges when that "
         "pays by measured costs, always merges the adapter with most traffic, never computes all on the base.",
         .choices = merges},
        {"merge-at-start", CONF_STRING, AT(merge_at_start), NULL, "NAME",
         "An adapter of the store to be merged before the server is ready; later traffic may change that."},

        {"api-key-file", CONF_STRING, AT(api_key_file), NULL, "PATH",
         "Tokens, one on a line, of which inference calls must send one: Authorization: Bearer TOKEN. Without it, none is "
         "asked for. Read again on SIGHUP.", .group = "Access"},
        {"admin-token-file", CONF_STRING, AT(admin_token_file), NULL, "PATH",
         "The same for calls that ask about or change adapters; these tokens are good for inference, too. Without it, such "
         "calls are answered only on this machine."},

        {"listen", CONF_STRING, AT(listen), "127.0.0.1:8000", "HOST:PORT",
         "The address to serve; port 0 picks a free one. unix:PATH is a Unix socket.", .group = "HTTP"},
        {"ready-file", CONF_STRING, AT(ready_file), NULL, "PATH",
         "Written with the address once the server is ready."},
        {"cors-origin", CONF_STRING, AT(cors_origin), NULL, "ORIGIN",
         "Let web pages from this origin call the API; * is any. Without it, none may."},
        {"max-header", CONF_SIZE, AT(max_header), "64K", "SIZE",
         "The largest request head.", .min = 1024, .max = INT_MAX},
        {"max-body", CONF_SIZE, AT(max_body), "16M", "SIZE",
         "The largest request body.", .min = 1024, .max = INT_MAX},
        {"max-upload", CONF_SIZE, AT(max_upload), "4G", "SIZE",
         "The largest adapter archive that can be uploaded.", .min = 1024, .max = INT64_MAX},
        {"header-timeout", CONF_INT, AT(header_timeout), "10", "SECONDS",
         "A request's head must be here by then.", .min = 1, .max = A_DAY},
        {"body-timeout", CONF_INT, AT(body_timeout), "60", "SECONDS",
         "A request's body must be here by then.", .min = 1, .max = A_DAY},
        {"idle-timeout", CONF_INT, AT(idle_timeout), "75", "SECONDS",
         "A connection between two requests is closed after this.", .min = 1, .max = A_DAY},
        {"write-timeout", CONF_INT, AT(write_timeout), "60", "SECONDS",
         "A client that takes nothing of its answer for so long is dropped, and so is one that takes less than 1 KiB a second "
         "of one that it is far behind with.", .min = 1, .max = A_DAY},
        {"max-connections", CONF_INT, AT(max_connections), "1024", "N",
         "Open connections; more are closed at once.", .min = 1, .max = 65536},
        {"drain-timeout", CONF_INT, AT(drain_timeout), "0", "SECONDS",
         "After SIGTERM, running requests may take so long to end; then they are cut off, and their clients told. 0 is as "
         "long as they need.",
                .max = A_DAY},

        {"backend", CONF_STRING, AT(backend), "auto", NULL,
         "What computes: auto and cpu pick the fastest of this machine, plain is the slow reference.",
         .choices = conf_backends, .group = "Engine"},
        {"threads", CONF_INT, AT(threads), "0", "N",
         "CPU threads of the engine. 0 is one for each core.", .max = 1024},
        {"kv-memory", CONF_SIZE, AT(kv_memory), "0", "SIZE",
         "Memory for the KV cache. 0 is a share of what is free at start; the log says how much.", .max = INT64_MAX},
        {"kv-dtype", CONF_ENUM, AT(kv_dtype), "f32", NULL,
         "Element type of the KV cache: f16 holds twice as many tokens, f32 rounds nothing.", .choices = conf_kv_dtypes},
        {"max-rows", CONF_INT, AT(max_rows), "32", "N",
         "Sequences in a step.", .min = 1, .max = 4096},
        {"max-queue", CONF_INT, AT(max_queue), "256", "N",
         "Sequences that may wait, and long requests that wait to be read; what is beyond is answered 429.",
         .min = 1, .max = 1000000},
        {"step-tokens", CONF_INT, AT(step_tokens), "128", "N",
         "Tokens in a step, at least max-rows: long prompts are computed in chunks beside running answers.",
         .min = 1, .max = 65536},
        {"prefix-cache", CONF_BOOL, AT(prefix_cache), "on", NULL,
         "Keep the KV cache of prompts for later ones that begin alike."},

        {"config", CONF_STRING, AT(config), NULL, "PATH",
         "A file with lines `option = value`. Flags and environment variables go before it.", .group = "Other"},
        {"log-level", CONF_ENUM, AT(log_level), "info", NULL,
         "The least important lines to log.", .choices = log_levels},
        {"log-format", CONF_ENUM, AT(log_format), "text", NULL,
         "Log lines as text or as JSON objects.", .choices = log_formats},
};
// clang-format on

const struct conf_table conf_serve_table = {rows, sizeof rows / sizeof rows[0]};

_Static_assert(sizeof rows / sizeof rows[0] <= CONF_MAX_ROWS, "a source counts its rows in an array");

int conf_table_find(const struct conf_table *t, const char *name, size_t len)
{
        for (int i = 0; i < t->n; i++)
                if (strlen(t->rows[i].name) == len && memcmp(t->rows[i].name, name, len) == 0)
                        return i;
        return -1;
}
