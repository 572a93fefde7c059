#include "memfile.h"

#include <stdlib.h>
#include <string.h>

#include "io/mapfile.h"

static const uint8_t *bytes;
static size_t n_bytes;

enum dyn_status __wrap_mapfile_open(struct mapfile *, const char *path, struct dyn_error *);
void __wrap_mapfile_close(struct mapfile *);

void memfile_set(const uint8_t *data, size_t size)
{
        bytes = data;
        n_bytes = size;
}

enum dyn_status __wrap_mapfile_open(struct mapfile *m, const char *path, struct dyn_error *err)
{
        *m = (struct mapfile){0};
        if (n_bytes != 0) {
                m->data = malloc(n_bytes);
                m->size = n_bytes;
                memcpy(m->data, bytes, n_bytes);
        }
        return DYN_OK;
}

void __wrap_mapfile_close(struct mapfile *m)
{
        free(m->data);
        *m = (struct mapfile){0};
}
