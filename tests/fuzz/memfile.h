// Lets a fuzzer of a file reader hand over bytes: the linker sends mapfile_open and mapfile_close here (--wrap), and
// the "file" is a heap block of exactly its size, so that a read past the end is seen.
#ifndef DYNLORA_FUZZ_MEMFILE_H
#define DYNLORA_FUZZ_MEMFILE_H

#include <stddef.h>
#include <stdint.h>

// The bytes of every file opened until the next call. Borrowed.
void memfile_set(const uint8_t *data, size_t size);

#endif
