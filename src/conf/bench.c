#include "conf/bench.h"

#include <stddef.h>

#include "conf/source.h"
#include "conf/table.h"

#define AT(field) offsetof(struct conf_bench, field)

// clang-format off
static const struct conf_row rows[] = {
        {"model", CONF_STRING, AT(model), NULL, "PATH",
         "A Hugging Face folder or a .gguf file. Without it, a random model of 1.1 billion bf16 weights is made, "
         "2.2 GB in a temporary folder.",
         .group = "What is measured"},
        {"keep", CONF_STRING, AT(keep), NULL, "DIR",
         "Make the random model here, leave it, and take it if it is there already."},
        {"rows", CONF_INTS, AT(rows), "1,8,32", "N,..",
         "Sequences that decode at once.", .min = 1, .max = 1024},
        {"adapters", CONF_INTS, AT(adapters), "0,1,8", "N,..",
         "Different adapters among the rows; 0 is the base, and always measured.", .max = 1024},
        {"rank", CONF_INTS, AT(ranks), "16", "N,..",
         "Ranks that the adapters have in turn. They are made of random numbers, for all modules.",
         .min = 1, .max = 1024},
        {"prompt", CONF_INT, AT(prompt), "512", "N",
         "Tokens of the prompt in prefill.", .min = 1, .max = 1 << 20},
        {"context", CONF_INT, AT(context), "32", "N",
         "Tokens that each row has behind it when it begins to decode, rounded up to pages of 16.", .max = 1 << 20},
        {"generate", CONF_INT, AT(generate), "32", "N",
         "Tokens that each row decodes.", .min = 1, .max = 1 << 20},
        {"rounds", CONF_INT, AT(rounds), "3", "N",
         "Each round measures everything once; the medians are shown.", .min = 1, .max = 1000},
        {"json", CONF_SWITCH, AT(json), NULL, NULL,
         "Print a JSON object in place of the tables."},

        {"backend", CONF_STRING, AT(backend), "auto", NULL,
         "What computes: auto and cpu pick the fastest of this machine.", .choices = conf_backends,
         .group = "The engine, as in serve"},
        {"threads", CONF_INT, AT(threads), "0", "N",
         "CPU threads. 0 is one for each core.", .max = 1024},
        {"step-tokens", CONF_INT, AT(step_tokens), "128", "N",
         "Tokens in a step, raised to the largest number of rows.", .min = 1, .max = 65536},
        {"weights", CONF_ENUM, AT(weights), "auto", NULL,
         "How quantised GGUF tensors are held.", .choices = conf_weights},
        {"kv-dtype", CONF_ENUM, AT(kv_dtype), "f32", NULL,
         "Element type of the KV cache.", .choices = conf_kv_dtypes},
};
// clang-format on

const struct conf_table conf_bench_table = {rows, sizeof rows / sizeof rows[0]};

enum dyn_status conf_bench_read(struct conf_bench *c, int argc, char **argv, struct dyn_error *err)
{
        *c = (struct conf_bench){0};
        source_set_defaults(&conf_bench_table, c);
        enum dyn_status st = source_take_flags(&conf_bench_table, c, argc, argv, err);
        if (st == DYN_OK && c->model != NULL && c->keep != NULL)
                return dyn_fail(err, DYN_INVALID, "--keep: expected without --model, since nothing is made then");
        return st;
}

void conf_bench_finish(struct conf_bench *c)
{
        source_clear(&conf_bench_table, c);
}
