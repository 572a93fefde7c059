#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

char *buf_reserve(struct buf *b, size_t more)
{
        size_t need = b->len + more + 1;

        if (need > b->cap) {
                size_t cap = b->cap ? b->cap * 2 : 64;

                b->cap = cap > need ? cap : need;
                b->data = mem_realloc(b->data, b->cap);
                b->data[b->len] = 0;
        }
        return b->data + b->len;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
        char *at = buf_reserve(b, len);

        if (len != 0)
                memcpy(at, data, len);
        b->len += len;
        b->data[b->len] = 0;
}

void buf_puts(struct buf *b, const char *s)
{
        buf_append(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
        buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
        va_list args, again;

        va_start(args, format);
        va_copy(again, args);
        buf_reserve(b, 0);
        // Most of what is printed fits into the room that is there.
        size_t room = b->cap - b->len, len = (size_t)vsnprintf(b->data + b->len, room, format, args);
        if (len >= room)
                vsnprintf(buf_reserve(b, len), len + 1, format, again);
        b->len += len;
        va_end(again);
        va_end(args);
}

void buf_consume(struct buf *b, size_t n)
{
        if (n == 0)
                return;
        b->len -= n;
        memmove(b->data, b->data + n, b->len + 1);
}

void buf_clear(struct buf *b)
{
        b->len = 0;
        if (b->data != NULL)
                b->data[0] = 0;
}

void buf_free(struct buf *b)
{
        mem_free(b->data);
        *b = (struct buf){0};
}
