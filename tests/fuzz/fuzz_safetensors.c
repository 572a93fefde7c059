// safetensors: whatever opens lists tensors that lie within the file and add up to it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "memfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sum; // so that reads are not optimised away

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct dyn_error err = {0};
        struct safetensors *s;
        size_t total = 8;

        memfile_set(data, size);
        if (safetensors_open(&s, "file", &err) != DYN_OK) {
                if (strncmp(err.text, "file: ", 6) != 0)
                        abort();
                return 0;
        }
        for (int i = 0; i < safetensors_count(s); i++) {
                const struct dyn_tensor *t = safetensors_at(s, i);

                if (safetensors_find(s, safetensors_name(s, i)) != t)
                        abort();
                for (size_t k = 0; t->data != NULL && k < t->bytes; k++)
                        sum += ((const unsigned char *)t->data)[k];
                total += t->bytes;
        }
        uint64_t header;

        memcpy(&header, data, 8);
        if (total + header != size)
                abort();
        safetensors_close(s);
        return 0;
}
