// Character classes as the tokenizers' regular expressions mean them (Unicode 16), for pattern.c and the matching of
// added tokens. PCRE2 and utf8proc of today's distributions know Unicode 13 to 15; where that shows, the difference is
// spelt out here. Any thread.
#ifndef DYNLORA_TEXT_CHARCLASS_H
#define DYNLORA_TEXT_CHARCLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

// Insides of PCRE2 bracket classes. \s is White_Space (PCRE2's own \s has U+180E besides).
#define CLASS_SPACE                                                                                                    \
        "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define CLASS_NOT_SPACE                                                                                                \
        "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{"  \
        "2027}"                                                                                                        \
        "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{10ffff}"

// What Rust's char::is_numeric has beyond charclass_newer("N").
#define CLASS_NUMERIC_17 "\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}"

// The members that a general category ("L", "Nd") gained in Unicode 15 and 16, as the inside of a class; "" for most.
const char *charclass_newer(const char *category, size_t len);

// Appends the inside of \w: letters, marks, digits, letter numbers, connectors and symbols that count as alphabetic.
void charclass_put_word(struct buf *out);

// White_Space.
bool charclass_is_space(uint32_t code);

// \w as above, and the two joiners, as Rust's regex library has it.
bool charclass_is_word(uint32_t code);

#endif
