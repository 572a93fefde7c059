// GGUF: whatever opens can be read to its last byte through every getter.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/gguf.h"
#include "memfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sum; // so that reads are not optimised away

static void read_array(const struct gguf *g, const char *key)
{
        int64_t n;
        size_t len;

        if (gguf_get_array(g, key, GGUF_STRINGS, &n, NULL) == DYN_OK)
                for (int64_t i = 0; i < n; i++) {
                        const char *s = gguf_array_string(g, key, i, &len);

                        for (size_t k = 0; k < len; k++)
                                sum += (unsigned char)s[k];
                }
        if (gguf_get_array(g, key, GGUF_INTS, &n, NULL) == DYN_OK)
                for (int64_t i = 0; i < n; i++)
                        sum += (unsigned)gguf_array_int(g, key, i);
        if (gguf_get_array(g, key, GGUF_NUMBERS, &n, NULL) == DYN_OK)
                for (int64_t i = 0; i < n; i++)
                        sum += gguf_array_number(g, key, i) > 0;
}

static void read_key(const struct gguf *g, const char *key)
{
        struct dyn_error err;
        int64_t i = 0;
        double d = 0;
        bool b = false;
        const char *s = NULL;
        size_t len = 0;

        gguf_get_int(g, key, -100, 100, &i, &err);
        gguf_get_number(g, key, &d, &err);
        gguf_get_bool(g, key, &b, &err);
        if (gguf_get_string(g, key, &s, &len, &err) == DYN_OK)
                for (size_t k = 0; k < len; k++)
                        sum += (unsigned char)s[k];
        read_array(g, key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct dyn_error err = {0};
        struct gguf *g;

        memfile_set(data, size);
        if (gguf_open(&g, "file", &err) != DYN_OK) {
                if (strncmp(err.text, "file: ", 6) != 0)
                        abort();
                return 0;
        }
        for (const char *const *key = (const char *const[]){"general.alignment", "a", "b", "c", "d", NULL}; *key; key++)
                read_key(g, *key);
        for (int i = 0; i < gguf_tensor_count(g); i++) {
                const struct dyn_tensor *t = gguf_tensor_at(g, i);

                if (gguf_tensor_find(g, gguf_tensor_name(g, i)) != t)
                        abort();
                for (size_t k = 0; t->data != NULL && k < t->bytes; k++)
                        sum += ((const unsigned char *)t->data)[k];
        }
        gguf_close(g);
        return 0;
}
