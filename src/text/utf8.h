// UTF-8 beyond single characters (base/utf8.h), and its repair: what cannot be a character becomes
// U+FFFD, one for each maximal subpart, as Rust's String::from_utf8_lossy does it. Any thread.
#ifndef DYNLORA_TEXT_UTF8_H
#define DYNLORA_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/utf8.h"

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
