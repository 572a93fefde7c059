#include "base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_BYTES ((size_t)2 << 20) // a huge page, where the others have 4 KiB

// What is freed goes back to the system within a second, also when nothing is allocated any more: an adapter that was
// unloaded leaves no memory behind. Read by jemalloc when it starts, and by nobody else; MALLOC_CONF goes over it.
const char *malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

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
        if (bytes >= HUGE_BYTES) // small neighbours would fill one together and each keep all of it
                madvise(p, bytes, MADV_HUGEPAGE);
        return p;
}

void mem_unmap(void *p, size_t bytes)
{
        if (p != NULL)
                munmap(p, bytes);
}

void mem_drop(const void *p, size_t bytes)
{
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)p, end = begin + bytes;

        begin = (begin + page - 1) / page * page;
        end = end / page * page;
        if (begin < end)
                madvise((void *)begin, end - begin, MADV_DONTNEED);
}

// A number from a file of the system's, in bytes when multiplied by unit; `otherwise` if there is none.
static size_t read_number(const char *path, const char *format, size_t unit, size_t otherwise)
{
        unsigned long long value;
        char line[256];
        FILE *f = fopen(path, "r");

        if (f == NULL)
                return otherwise;
        while (fgets(line, sizeof line, f) != NULL)
                if (sscanf(line, format, &value) == 1) {
                        otherwise = (size_t)value * unit;
                        break;
                }
        fclose(f);
        return otherwise;
}

size_t mem_available(void)
{
        size_t free_memory = read_number("/proc/meminfo", "MemAvailable: %llu", 1024, 0);
        size_t limit = read_number("/sys/fs/cgroup/memory.max", "%llu", 1, SIZE_MAX);
        size_t used = read_number("/sys/fs/cgroup/memory.current", "%llu", 1, 0);
        size_t left = limit == SIZE_MAX ? SIZE_MAX : limit > used ? limit - used : 0;

        return free_memory < left ? free_memory : left;
}
