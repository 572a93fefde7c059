// A growable run of bytes, always followed by a NUL that len does not count, so that data can be read as a string.
// Zero-initialised is empty. One thread at a time.
#ifndef DYNLORA_BASE_BUF_H
#define DYNLORA_BASE_BUF_H

#include <stddef.h>

struct buf {
        char *data; // NULL until something was appended
        size_t len, cap;
};

void buf_append(struct buf *, const void *data, size_t len);
void buf_puts(struct buf *, const char *s);
void buf_putc(struct buf *, char c);
void buf_printf(struct buf *, const char *format, ...) __attribute__((format(printf, 2, 3), nonnull(2)));

// Room for `more` bytes after len; the caller writes there and adds to len.
char *buf_reserve(struct buf *, size_t more);

// Drops the first n bytes.
void buf_consume(struct buf *, size_t n);

// Empties without giving memory back.
void buf_clear(struct buf *);

void buf_free(struct buf *);

#endif
