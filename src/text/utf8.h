// UTF-8, one character at a time (Unicode Standard, table 3-7), and its repair: what cannot be a character becomes
// U+FFFD, one for each maximal subpart, as Rust's String::from_utf8_lossy does it. Any thread.
#ifndef DYNLORA_TEXT_UTF8_H
#define DYNLORA_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

// Reads the character at s < end. Returns its length (1 .. 4); 0 if the bytes up to end begin a character and more are
// needed; -n if no character can begin with these bytes, of which the first n belong together.
static inline int utf8_next(const char *s, const char *end, uint32_t *code)
{
        const unsigned char *p = (const unsigned char *)s;
        unsigned least = 0x80, most = 0xbf; // of the second byte: no overlong forms, no surrogates, nothing over 10FFFF

        if (p[0] < 0x80) {
                *code = p[0];
                return 1;
        }
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return -1;
        int len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        if (p[0] == 0xe0)
                least = 0xa0;
        else if (p[0] == 0xed)
                most = 0x9f;
        else if (p[0] == 0xf0)
                least = 0x90;
        else if (p[0] == 0xf4)
                most = 0x8f;
        *code = p[0] & (0x7f >> len);
        for (int i = 1; i < len; i++) {
                if (i == end - s)
                        return 0;
                if (p[i] < least || p[i] > most)
                        return -i;
                *code = *code << 6 | (p[i] & 0x3f);
                least = 0x80;
                most = 0xbf;
        }
        return len;
}

// Length of the character at s, which must be whole and valid.
static inline int utf8_len(const char *s)
{
        unsigned char c = (unsigned char)*s;

        return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

// The start of the character that ends before s; start < s, and the text between is valid.
static inline const char *utf8_back(const char *start, const char *s)
{
        do
                s--;
        while (s > start && ((unsigned char)*s & 0xc0) == 0x80);
        return s;
}

// Writes at most 4 bytes; returns how many.
int utf8_put(char *p, uint32_t code);

// The length of the longest valid beginning.
size_t utf8_valid(const char *s, size_t len);

// Appends s with U+FFFD for what is not UTF-8. Unless `last`, an unfinished character at the end is left alone.
// Returns the bytes read.
size_t utf8_repair(struct buf *out, const char *s, size_t len, bool last);

#endif
