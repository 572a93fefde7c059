// What `dynlora bench` was told: flags over defaults. It runs once for who looks on, so neither the environment nor a
// file is read.
#ifndef DYNLORA_CONF_BENCH_H
#define DYNLORA_CONF_BENCH_H

#include <stdbool.h>
#include <stdio.h>

#include "dynlora/engine.h"

#define CONF_MAX_INTS 8

struct conf_ints {
        int at[CONF_MAX_INTS]; // (n)
        int n;
};

struct conf_bench {
        char *model; // NULL: one is made
        char *keep;  // where it is made and stays; NULL: a temporary folder
        char *backend;
        int threads; // 0: one for each core
        int step_tokens;
        enum dyn_weights weights;
        enum dyn_dtype kv_dtype;
        struct conf_ints rows, adapters, ranks; // adapters: how many different ones the rows use; ranks in turn
        int prompt, context, generate, rounds;
        bool json;
};

// argv: what follows "bench". conf_bench_finish afterwards, whatever it answers.
enum dyn_status conf_bench_read(struct conf_bench *, int argc, char **argv, struct dyn_error *);
void conf_bench_finish(struct conf_bench *);

// Every option with its default, in 80 columns.
void conf_bench_print_help(FILE *);

#endif
