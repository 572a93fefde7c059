// Code points by utf8proc. A byte that starts no valid sequence is read as the negative character -1 - byte, which no
// property holds for and which chars_put writes back unchanged.
#include "text/jinja/chars.h"

#include "base/alloc.h"

#include <utf8proc.h>

int str_compare(struct str a, struct str b)
{
        size_t n = a.len < b.len ? a.len : b.len;
        int order = n ? memcmp(a.data, b.data, n) : 0;

        return order ? order : (a.len > b.len) - (a.len < b.len);
}

size_t str_find(struct str s, struct str needle, size_t from)
{
        if (from > s.len)
                return SIZE_MAX;
        if (needle.len == 0)
                return from;
        if (needle.len > s.len - from)
                return SIZE_MAX;
        const char *at = memmem(s.data + from, s.len - from, needle.data, needle.len);

        return at ? (size_t)(at - s.data) : SIZE_MAX;
}

static void reverse(char *to, struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                to[i] = s.data[s.len - 1 - i];
}

// The first occurrence in reverse, because memmem is linear even where every place nearly matches.
size_t str_find_last(struct str s, struct str needle)
{
        if (needle.len > s.len || needle.len == 0)
                return needle.len == 0 ? s.len : SIZE_MAX;
        char *text = mem_alloc(s.len + needle.len);

        reverse(text, s);
        reverse(text + s.len, needle);
        size_t at = str_find((struct str){text, s.len}, (struct str){text + s.len, needle.len}, 0);

        mem_free(text);
        return at == SIZE_MAX ? SIZE_MAX : s.len - needle.len - at;
}

int32_t chars_next(struct str s, size_t *pos)
{
        unsigned char first = (unsigned char)s.data[*pos];

        if (first < 0x80) {
                *pos += 1;
                return first;
        }
        utf8proc_int32_t c;
        size_t left = s.len - *pos;
        utf8proc_ssize_t n =
                utf8proc_iterate((const utf8proc_uint8_t *)s.data + *pos, left > 4 ? 4 : (utf8proc_ssize_t)left, &c);

        if (n <= 0) {
                *pos += 1;
                return -1 - (int32_t)first;
        }
        *pos += (size_t)n;
        return c;
}

size_t chars_count(struct str s)
{
        size_t n = 0;

        for (size_t pos = 0; pos < s.len; n++)
                chars_next(s, &pos);
        return n;
}

size_t chars_offset(struct str s, size_t index)
{
        size_t pos = 0;

        while (index-- > 0 && pos < s.len)
                chars_next(s, &pos);
        return pos;
}

bool chars_is_space(int32_t c)
{
        return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
               (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool chars_is_line_end(int32_t c)
{
        return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static utf8proc_category_t category(int32_t c)
{
        return c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
}

bool chars_is_letter(int32_t c)
{
        switch (category(c)) {
        case UTF8PROC_CATEGORY_LU:
        case UTF8PROC_CATEGORY_LL:
        case UTF8PROC_CATEGORY_LT:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_LO:
                return true;
        default:
                return false;
        }
}

bool chars_is_digit(int32_t c)
{
        return category(c) == UTF8PROC_CATEGORY_ND;
}

bool chars_is_upper(int32_t c)
{
        return category(c) == UTF8PROC_CATEGORY_LU;
}

bool chars_is_lower(int32_t c)
{
        return category(c) == UTF8PROC_CATEGORY_LL;
}

bool chars_is_printable(int32_t c)
{
        switch (category(c)) {
        case UTF8PROC_CATEGORY_CN:
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_CS:
        case UTF8PROC_CATEGORY_CO:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP:
                return false;
        case UTF8PROC_CATEGORY_ZS:
                return c == ' ';
        default:
                return true;
        }
}

int32_t chars_upper(int32_t c)
{
        return c < 0 ? c : utf8proc_toupper(c);
}

int32_t chars_lower(int32_t c)
{
        return c < 0 ? c : utf8proc_tolower(c);
}

size_t chars_put(char *to, int32_t c)
{
        if (c < 0) {
                *to = (char)(-1 - c);
                return 1;
        }
        return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)to);
}

static bool strips(int32_t c, struct str set)
{
        if (!set.data)
                return chars_is_space(c);
        for (size_t pos = 0; pos < set.len;)
                if (chars_next(set, &pos) == c)
                        return true;
        return false;
}

struct str chars_strip(struct str s, struct str set, enum strip_side side)
{
        size_t from = 0, to;

        while ((side & STRIP_LEFT) && from < s.len) {
                size_t next = from;

                if (!strips(chars_next(s, &next), set))
                        break;
                from = next;
        }
        to = s.len;
        while ((side & STRIP_RIGHT) && to > from) {
                size_t start = to - 1, next;

                while (start > from && to - start < 4 && ((unsigned char)s.data[start] & 0xc0) == 0x80)
                        start--;
                next = start;
                int32_t c = chars_next(str_part(s, 0, to), &next);

                if (next != to) { // a stray continuation byte
                        start = next = to - 1;
                        c = chars_next(str_part(s, 0, to), &next);
                }
                if (!strips(c, set))
                        break;
                to = start;
        }
        return str_part(s, from, to);
}
