// An adapter's folder, opened: its two files as they were at one moment, their content hash, the configuration parsed
// and the kind found. Called by the loader and by `dynlora inspect`; knows no model. What it read can change or go on
// the disk afterwards. Any thread; blocks.
#ifndef DYNLORA_ADAPT_FOLDER_H
#define DYNLORA_ADAPT_FOLDER_H

#include "dynlora/adapter.h"

#define FOLDER_CONFIG  "adapter_config.json"
#define FOLDER_WEIGHTS "adapter_model.safetensors"
#define FOLDER_HASH    65 // bytes of a SHA-256 as hex digits and a NUL

struct folder {
        struct dyn_adapter_folder files;
        const struct dyn_adapter_kind *kind;
        char sha256[FOLDER_HASH];
        const char *base_model; // base_model_name_or_path, NULL if it says none
        size_t bytes;           // of both files, in memory now
        int users;              // the loader's: who holds it
        // The folder's own.
        struct cJSON *config;
        struct safetensors *weights;
};

// Fails closed: files missing, pickles, bad JSON, bad safetensors, a kind that is not known. The error begins with the
// file's name, not with the folder's. path is borrowed.
enum dyn_status folder_open(struct folder *, const char *path, struct dyn_error *);
void folder_close(struct folder *);

// The content hash alone: SHA-256 over "adapter_config.json SIZE\n", the bytes of that file, and the same for
// adapter_model.safetensors. Checks nothing else.
enum dyn_status folder_hash(const char *path, char sha256[FOLDER_HASH], struct dyn_error *);

#endif
