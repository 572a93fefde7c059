// An adapter folder from hostile bytes: up to the first NUL adapter_config.json, after it adapter_model.safetensors.
// What is accepted must be readable to the last element.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "dynlora/adapter.h"
#include "io/json.h"
#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct dyn_site sites[] = {
        {"model.layers.0.self_attn.q_proj", 0, 8, 8},
        {"model.layers.0.self_attn.v_proj", 0, 8, 4},
        {"model.layers.1.self_attn.q_proj", 1, 8, 8},
        {"model.layers.1.self_attn.v_proj", 1, 8, 4},
};

static volatile unsigned sum; // so that reads are not optimised away

static unsigned touch(const struct dyn_tensor *t)
{
        const unsigned char *bytes = t->data;
        unsigned total = 0;

        for (size_t i = 0; i < t->bytes; i++)
                total += bytes[i];
        return total;
}

static void lower(const struct dyn_adapter_folder *folder)
{
        const struct dyn_sites table = {sites, 4};
        const struct dyn_adapter_kind *kind;
        struct dyn_lowered lowered;
        struct dyn_error err;

        if (dyn_adapter_kind_find(folder, &kind, &err) || kind->lower(folder, &table, &lowered, &err))
                return;
        if (lowered.n < 1 || lowered.max_rank < 1)
                abort();
        for (int i = 0; i < lowered.n; i++)
                sum += touch(&lowered.patches[i].a) + touch(&lowered.patches[i].b);
        dyn_lowered_finish(&lowered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *nul = memchr(data, 0, size);
        size_t n = nul ? (size_t)(nul - data) : size, rest = nul ? size - n - 1 : 0;
        int fd = memfd_create("fuzz", 0);
        char *path = mem_printf("/proc/self/fd/%d", fd);
        struct safetensors *weights = NULL;
        cJSON *config = NULL;
        struct dyn_error err;

        if ((rest == 0 || write(fd, nul + 1, rest) == (ssize_t)rest) &&
                json_parse((const char *)data, n, &config, &err) == DYN_OK && cJSON_IsObject(config) &&
                safetensors_open(&weights, path, &err) == DYN_OK) {
                struct dyn_adapter_folder folder = {path, config, weights};

                lower(&folder);
        }
        safetensors_close(weights);
        cJSON_Delete(config);
        mem_free(path);
        close(fd);
        return 0;
}
