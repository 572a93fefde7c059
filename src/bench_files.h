// Files that `dynlora bench` makes for itself: a random model of the Llama architecture and random LoRA adapters, as
// folders that the loaders read like any other. What is temporary is also removed when the program is interrupted.
#ifndef DYNLORA_BENCH_FILES_H
#define DYNLORA_BENCH_FILES_H

#include "dynlora/adapter.h"
#include "dynlora/status.h"

// Makes a new folder for what is temporary; one at a time. To be freed; NULL where none can be made.
char *bench_files_folder(struct dyn_error *);

// Removes the folder and what bench_files_* made in it.
void bench_files_remove(void);

// The random model, 1.1 billion bf16 weights in TinyLlama's shape, into a folder that exists. A model that was made
// there before stays. progress as in dyn_engine_options.
enum dyn_status bench_files_model(
        const char *folder, void (*progress)(void *ctx, const char *what, double done), void *ctx, struct dyn_error *);

// A bf16 LoRA of that rank at all sites. Its numbers follow from the seed.
enum dyn_status bench_files_adapter(
        const char *folder, const struct dyn_sites *, int rank, int seed, struct dyn_error *);

#endif
