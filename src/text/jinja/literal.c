// Python's string escapes and number forms. Source: the Python language reference, 2.4 and 2.5.
#include "text/jinja/literal.h"

#include <stdio.h>
#include <stdlib.h>

static int hex(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The code point of n hexadecimal digits at pos, or -1.
static int32_t hex_digits(struct str s, size_t pos, int n)
{
        int64_t c = 0;

        for (int i = 0; i < n; i++) {
                if (pos + (size_t)i >= s.len || hex(s.data[pos + (size_t)i]) < 0)
                        return -1;
                c = c * 16 + hex(s.data[pos + (size_t)i]);
        }
        return c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? -1 : (int32_t)c;
}

static int32_t octal_digits(struct str s, size_t *pos)
{
        int32_t c = 0;

        for (int i = 0; i < 3 && *pos < s.len && s.data[*pos] >= '0' && s.data[*pos] <= '7'; i++)
                c = c * 8 + (s.data[(*pos)++] - '0');
        return c;
}

// Decodes the escape whose letter is at *pos into `to`; returns how many bytes, or -1.
static int escape(struct str s, size_t *pos, char *to)
{
        static const char letters[] = "\\'\"abfnrtv", bytes[] = "\\'\"\a\b\f\n\r\t\v";
        char c = s.data[*pos];
        const char *known = memchr(letters, c, sizeof letters - 1);
        int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;

        if (c == '\n') {
                *pos += 1;
                return 0;
        }
        if (known) {
                *pos += 1;
                *to = bytes[known - letters];
                return 1;
        }
        if (c >= '0' && c <= '7')
                return (int)chars_put(to, octal_digits(s, pos));
        if (c == 'N')
                return -1;
        if (digits == 0) { // not an escape: the backslash stays
                *to = '\\';
                return 1;
        }
        int32_t code = hex_digits(s, *pos + 1, digits);

        *pos += 1 + (size_t)digits;
        return code < 0 ? -1 : (int)chars_put(to, code);
}

size_t literal_string(struct str source, size_t pos, struct pool *pool, struct str *out, const char **why)
{
        char quote = source.data[pos++];
        size_t close = pos;

        while (close < source.len && source.data[close] != quote)
                close += 1 + (source.data[close] == '\\');
        if (close >= source.len) {
                *why = "a string is never closed";
                return pos;
        }
        char *text = jinja_pool_alloc(pool, close - pos + 4);
        size_t n = 0;

        while (pos < close) {
                if (source.data[pos] != '\\') {
                        text[n++] = source.data[pos++];
                        continue;
                }
                pos++;
                int wrote = escape(str_part(source, 0, close), &pos, text + n);

                if (wrote < 0) {
                        *why = "a string has an escape that stands for no character";
                        return close;
                }
                n += (size_t)wrote;
        }
        *out = (struct str){text, n};
        return close + 1;
}

static bool is_digit(struct str s, size_t i, int base)
{
        return i < s.len && hex(s.data[i]) >= 0 && hex(s.data[i]) < base;
}

// Past digits that may have single underscores between them; copies the digits to `to`.
static size_t digits(struct str s, size_t i, int base, char *to, size_t *n, size_t cap)
{
        while (is_digit(s, i, base) || (i < s.len && s.data[i] == '_' && is_digit(s, i + 1, base))) {
                if (s.data[i] != '_' && *n < cap)
                        to[(*n)++] = s.data[i];
                i++;
        }
        return i;
}

static bool parse_integer(const char *text, size_t n, int base, int64_t *out)
{
        int64_t value = 0;

        for (size_t i = 0; i < n; i++)
                if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, hex(text[i]), &value))
                        return false;
        *out = value;
        return true;
}

static size_t fraction_and_exponent(struct str s, size_t i, char *text, size_t *n, size_t cap)
{
        if (i < s.len && s.data[i] == '.' && is_digit(s, i + 1, 10)) {
                text[(*n)++] = '.';
                i = digits(s, i + 1, 10, text, n, cap);
        }
        if (i < s.len && (s.data[i] | 0x20) == 'e') {
                bool sign = i + 1 < s.len && (s.data[i + 1] == '+' || s.data[i + 1] == '-');

                if (is_digit(s, i + 1 + sign, 10)) {
                        text[(*n)++] = 'e';
                        if (sign)
                                text[(*n)++] = s.data[i + 1];
                        i = digits(s, i + 1 + sign, 10, text, n, cap);
                }
        }
        return i;
}

size_t literal_number(struct str source, size_t pos, bool after_dot, struct token *token, const char **why)
{
        enum { CAP = 400 };
        char text[CAP + 8] = {0};
        size_t n = 0, whole, to;
        int base = 10;

        if (source.data[pos] == '0' && pos + 1 < source.len) {
                char mark = (char)(source.data[pos + 1] | 0x20);

                base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
        }
        token->kind = TOKEN_INT;
        if (base != 10) {
                to = digits(source, pos + 2, base, text, &n, CAP);
        } else {
                whole = to = digits(source, pos, 10, text, &n, CAP);
                if (!after_dot)
                        to = fraction_and_exponent(source, whole, text, &n, CAP);
                if (to != whole) {
                        token->kind = TOKEN_FLOAT;
                        token->real = strtod(text, NULL);
                } else if (n > 1 && text[0] == '0' && strspn(text, "0") != n) {
                        *why = "a number starts with 0";
                }
        }
        if (n == 0 || n >= CAP)
                *why = "a malformed number";
        else if (token->kind == TOKEN_INT && !parse_integer(text, n, base, &token->integer))
                *why = "an integer that does not fit 64 bits";
        return to;
}
