// Host memory. Every allocation of the program goes through malloc (jemalloc where the build links it); these wrappers
// abort when the host has none left, so callers never check. Large device buffers do not come from here. Any thread.
#ifndef DYNLORA_BASE_ALLOC_H
#define DYNLORA_BASE_ALLOC_H

#include <stddef.h>

void *mem_alloc(size_t bytes);
void *mem_zalloc(size_t bytes);

// n elements of a size, zeroed; aborts when the product overflows.
void *mem_array(size_t n, size_t size);

void *mem_realloc(void *p, size_t bytes);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len);

// A formatted string, to be freed by the caller.
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), nonnull(1)));

void mem_free(void *p);

// 64-byte aligned, zeroed, in whole pages of its own, or NULL when the system refuses: for the KV cache and weights.
// Huge pages hold what is large enough for one.
void *mem_map(size_t bytes);
void mem_unmap(void *p, size_t bytes);

// Part of a mapping, be it memory or a file, whose content is hardly needed any more: the pages that it fills leave the
// process. Read again they are what the file says, or zeros: what was written there is gone.
void mem_drop(const void *p, size_t bytes);

// What the system would give without swapping, under the limit of the control group if there is one; 0 if it does not
// say.
size_t mem_available(void);

#endif
