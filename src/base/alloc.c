#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *checked(void *p, size_t bytes)
{
        if (p == NULL) {
                fprintf(stderr, "dynlora: out of memory: the host has no %zu bytes left\n", bytes);
                abort();
        }
        return p;
}

void *mem_alloc(size_t bytes)
{
        return checked(malloc(bytes ? bytes : 1), bytes);
}

void *mem_zalloc(size_t bytes)
{
        return checked(calloc(1, bytes ? bytes : 1), bytes);
}

void *mem_array(size_t n, size_t size)
{
        return checked(calloc(n ? n : 1, size ? size : 1), size);
}

void *mem_realloc(void *p, size_t bytes)
{
        return checked(realloc(p, bytes ? bytes : 1), bytes);
}

char *mem_strndup(const char *s, size_t len)
{
        char *copy = mem_alloc(len + 1);

        memcpy(copy, s, len);
        copy[len] = 0;
        return copy;
}

char *mem_strdup(const char *s)
{
        return mem_strndup(s, strlen(s));
}

char *mem_printf(const char *format, ...)
{
        va_list args, again;

        va_start(args, format);
        va_copy(again, args);
        int len = vsnprintf(NULL, 0, format, args);
        char *s = mem_alloc((size_t)len + 1);
        vsnprintf(s, (size_t)len + 1, format, again);
        va_end(again);
        va_end(args);
        return s;
}

void mem_free(void *p)
{
        free(p);
}

void *mem_map(size_t bytes)
{
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return NULL;
        madvise(p, bytes, MADV_HUGEPAGE);
        return p;
}

void mem_unmap(void *p, size_t bytes)
{
        if (p != NULL)
                munmap(p, bytes);
}
