// What `dynlora serve` was told: one field for each option, read once at start from flags, environment, a file and
// defaults, in this order of precedence. main hands the fields to the rooms; no room reads options by itself.
#ifndef DYNLORA_CONF_CONF_H
#define DYNLORA_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/log.h"
#include "dynlora/engine.h"
#include "dynlora/status.h"
#include "dynlora/tensor.h"

struct conf_list {
        char **at; // (n)
        int n;
};

enum conf_log_format { CONF_LOG_TEXT, CONF_LOG_JSON };

// Strings are NULL where nothing was given and there is no default.
struct conf {
        char *model; // never NULL after conf_read
        char *served_model_name;
        enum dyn_weights weights;
        int max_context; // 0: the model's

        char *adapters;
        struct conf_list adapter_roots;
        enum dyn_merge merge;
        char *merge_at_start;

        char *api_key_file, *admin_token_file;

        char *listen;
        char *ready_file;
        char *cors_origin;
        size_t max_header, max_body, max_upload;                       // bytes
        int header_timeout, body_timeout, idle_timeout, write_timeout; // seconds
        int drain_timeout;                                             // seconds; 0: as long as it takes
        int max_connections;

        char *backend;
        int threads;                                // 0: one for each core
        size_t adapter_memory, host_adapter_memory; // bytes; 0: a share of free memory
        size_t kv_memory;                           // bytes; 0: a share of free memory
        enum dyn_dtype kv_dtype;
        int max_rows, max_queue, step_tokens;
        bool prefix_cache;

        char *config;
        enum log_level log_level;
        enum conf_log_format log_format;
};

// argv: what follows "serve". The error names the option, where it came from (flag, environment variable, line of the
// file), what was expected and what was found; an unknown name is told with the nearest one. conf_finish afterwards,
// whatever it answers.
enum dyn_status conf_read(struct conf *, int argc, char **argv, struct dyn_error *);
void conf_finish(struct conf *);

// Every option with its default, in 80 columns.
void conf_print_help(FILE *);

// A configuration file with every option, commented out, its default and what it means: conf/dynlora.conf.
void conf_print_sample(FILE *);

#endif
