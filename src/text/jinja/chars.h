// Strings as the template language sees them: runs of Unicode code points in UTF-8. Bytes that are not UTF-8 count as
// one character each, so that no input can make these calls fail. Knows nothing of values or templates. Any thread.
#ifndef DYNLORA_TEXT_JINJA_CHARS_H
#define DYNLORA_TEXT_JINJA_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
        const char *data; // not NUL-terminated
        size_t len;       // bytes
};

static inline struct str str_of(const char *s)
{
        return (struct str){s, strlen(s)};
}

static inline bool str_equal(struct str a, struct str b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

// Order of code points, which is the order of UTF-8 bytes: below, at or above zero.
int str_compare(struct str a, struct str b);

// Bytes from..to of s; the caller keeps from <= to <= s.len.
static inline struct str str_part(struct str s, size_t from, size_t to)
{
        return (struct str){s.data + from, to - from};
}

// Byte offset of the first (or last) occurrence at or after `from`, or SIZE_MAX. An empty needle is found at once.
size_t str_find(struct str s, struct str needle, size_t from);
size_t str_find_last(struct str s, struct str needle);

// Reads the character at *pos (which must be inside s) and moves past it.
int32_t chars_next(struct str s, size_t *pos);

size_t chars_count(struct str s);

// Byte offset of the character with that index; s.len when there are not as many.
size_t chars_offset(struct str s, size_t index);

bool chars_is_space(int32_t c);    // Python's str.isspace
bool chars_is_line_end(int32_t c); // Python's str.splitlines
bool chars_is_letter(int32_t c);
bool chars_is_digit(int32_t c);
bool chars_is_upper(int32_t c);
bool chars_is_lower(int32_t c);
bool chars_is_printable(int32_t c);

int32_t chars_upper(int32_t c);
int32_t chars_lower(int32_t c);

// Writes c as UTF-8 (at most 4 bytes) and returns how many bytes; a byte that was no UTF-8 comes out as it went in.
size_t chars_put(char *to, int32_t c);

enum strip_side { STRIP_LEFT = 1, STRIP_RIGHT = 2, STRIP_BOTH = 3 };

// Without the characters of `set`, or without white space where set.data is NULL.
struct str chars_strip(struct str s, struct str set, enum strip_side side);

#endif
