// Writes small PEFT LoRA folders, whole or broken in one place, into new temporary folders, and has a base to put them
// on: two layers of a model with dim 8, hidden_dim 12, 4 wide k and v, on a device that is host memory.
#ifndef DYNLORA_TESTS_ADAPTER_FOLDER_H
#define DYNLORA_TESTS_ADAPTER_FOLDER_H

#include <stdatomic.h>

#include "adapt/version.h"

// The whole folder: r 4, alpha 8, q_proj, v_proj and down_proj of both layers, F32. The fields break it.
struct adapter_folder {
        const char *find, *replace; // in adapter_config.json: this text by that one; NULL: nothing
        const char *config;         // all of adapter_config.json; NULL: the usual one
        const char *tensor;         // what follows is about the tensor of layer 0 whose name ends so
        const char *rename;         // its name after base_model.model., or its whole name if it begins with '!'
        const char *dtype;          // "F16", ...; the header alone lies for "I32"
        int rows, columns;          // its shape, if not 0
        bool drop;
        float value;        // of one of its elements, if not 0
        const char *only;   // no tensors but of sites with this in their names
        const char *dtypes; // of all tensors, if not NULL
        int rank;           // of all tensors, if not 0
        int seed;           // other values
};

// The folder's path; adapter_folder_remove deletes it and frees the path. A store is a folder to put folders in.
char *adapter_folder_write(const struct adapter_folder *);
void adapter_folder_write_to(const char *path, const struct adapter_folder *);
char *adapter_folder_store(void);
void adapter_folder_remove(char *path);

// The value that tensors hold: element i of a tensor of that name.
float adapter_folder_value(const char *name, int seed, int i);

extern const struct adapter_host test_host;
extern atomic_int test_host_alive;   // patches on the device
extern atomic_int test_host_refuses; // the device is full after so many more; negative: never

#endif
