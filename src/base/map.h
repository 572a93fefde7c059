// A hash map from bytes to a 64-bit value; keys are copied. Open addressing, no order. Zero-initialised is empty.
// One thread at a time (many readers while nobody writes).
#ifndef DYNLORA_BASE_MAP_H
#define DYNLORA_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map {
        struct map_slot *slots; // (cap)
        size_t cap, n, used;    // used counts removed slots too
};

// Adds or replaces.
void map_put(struct map *, const void *key, size_t len, uint64_t value);

bool map_get(const struct map *, const void *key, size_t len, uint64_t *value);

// Whether the key was there.
bool map_remove(struct map *, const void *key, size_t len);

// The 64-bit hash that the map uses, for others who need one.
uint64_t map_hash(const void *key, size_t len);

void map_free(struct map *);

#endif
