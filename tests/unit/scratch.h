// A folder of its own for a test program that needs files, gone after scratch_remove.
#ifndef DYNLORA_TESTS_SCRATCH_H
#define DYNLORA_TESTS_SCRATCH_H

#include <stddef.h>

const char *scratch_dir(void);

// Writes a file of that name there and returns its path, valid until the next call but one.
const char *scratch_write(const char *name, const void *data, size_t len);

// The path that a file of that name has there, valid likewise.
const char *scratch_path(const char *name);

// A group teardown for cmocka.
int scratch_remove(void **state);

#endif
