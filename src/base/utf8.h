// UTF-8, one character at a time, checked. Source: table 3-7 of The Unicode Standard. Any thread.
#ifndef DYNLORA_BASE_UTF8_H
#define DYNLORA_BASE_UTF8_H

#include <stdint.h>

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

#endif
