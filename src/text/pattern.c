#include "text/pattern.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/charclass.h"

struct translation {
        struct buf *out;
        const char *start, *p; // the pattern and the place in it
        bool in_class;
        const char *class_start; // its first member
        bool after_set;          // in a class, right after \s or the like
        struct dyn_error *err;
};

static enum dyn_status refuse(const struct translation *t, const char *at, size_t len)
{
        size_t left = strlen(at);

        return dyn_fail(t->err, DYN_UNSUPPORTED, "regular expression, byte %zu: \"%.*s\" is not supported",
                (size_t)(at - t->start), (int)(len < left ? len : left), at);
}

static bool is_set_escape(char c)
{
        return c != 0 && strchr("sSwWdDpP", c) != NULL;
}

// A set, given as the inside of a class.
static void put_set(struct translation *t, bool negated, const char *a, const char *b)
{
        if (!t->in_class)
                buf_puts(t->out, negated ? "[^" : "[");
        buf_puts(t->out, a);
        buf_puts(t->out, b);
        if (!t->in_class)
                buf_putc(t->out, ']');
        t->after_set = t->in_class;
}

static void put_word(struct translation *t, bool negated)
{
        struct buf word = {0};

        charclass_put_word(&word);
        // Oniguruma's tables for single bytes count these numbers in, those for classes do not.
        put_set(t, negated, word.data, t->in_class ? "" : "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
        buf_free(&word);
}

static bool is_category(const char *name, size_t len)
{
        return len >= 1 && len <= 2 && strchr("CLMNPSZ", name[0]) != NULL &&
               (len == 1 || islower((unsigned char)name[1]));
}

// \p{Name}, \p{^Name}, \P{Name}: a general category or a script.
static enum dyn_status property(struct translation *t)
{
        const char *at = t->p - 1;
        bool negated = *t->p == 'P';
        char set[80];

        if (t->p[1] != '{')
                return refuse(t, at, 2);
        const char *name = t->p + 2;
        if (*name == '^') {
                negated = !negated;
                name++;
        }
        size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_");
        if (len == 0 || len > 40 || name[len] != '}')
                return refuse(t, at, 6);
        t->p = name + len + 1;
        bool category = is_category(name, len);
        snprintf(set, sizeof set, "\\%c{%s%.*s}", negated && t->in_class ? 'P' : 'p', category ? "" : "sc:", (int)len,
                name);
        // In a class a negated property cannot lose members: characters newer than PCRE2's tables stay in it.
        put_set(t, negated, set, category && !(negated && t->in_class) ? charclass_newer(name, len) : "");
        return DYN_OK;
}

// \xHH, \x{H...} and \uHHHH.
static enum dyn_status code_point(struct translation *t)
{
        const char *at = t->p - 1, *digits = t->p + 1;
        bool braces = *t->p == 'x' && *digits == '{';

        digits += braces;
        size_t len = strspn(digits, "0123456789abcdefABCDEF");
        if (!braces && len > (*t->p == 'u' ? 4u : 2u))
                len = *t->p == 'u' ? 4 : 2;
        if (len == 0 || len > 6 || (braces && digits[len] != '}') || (*t->p == 'u' && len != 4))
                return refuse(t, at, 8);
        unsigned long code = strtoul(digits, NULL, 16);
        if (*t->p == 'x' && !braces && (len != 2 || *digits > '7')) // a byte of UTF-8, not a character
                return refuse(t, at, 4);
        if (*t->p == 'u')
                code = strtoul((char[5]){digits[0], digits[1], digits[2], digits[3]}, NULL, 16);
        buf_printf(t->out, "\\x{%lx}", code);
        t->p = digits + len + braces;
        return DYN_OK;
}

static enum dyn_status escape(struct translation *t)
{
        unsigned char c = (unsigned char)*++t->p;

        t->after_set = false;
        switch (c) {
        case 's':
        case 'S':
                put_set(t, c == 'S', c == 'S' && t->in_class ? CLASS_NOT_SPACE : CLASS_SPACE, "");
                break;
        case 'd':
        case 'D':
        case 'w':
        case 'W':
                if (t->in_class && isupper(c))
                        return refuse(t, t->p - 1, 2);
                if (tolower(c) == 'd')
                        put_set(t, c == 'D', "\\p{Nd}", charclass_newer("Nd", 2));
                else
                        put_word(t, c == 'W');
                break;
        case 'p':
        case 'P':
                return property(t);
        case 'x':
        case 'u':
                return code_point(t);
        case 'v':
                buf_puts(t->out, "\\x{b}");
                break;
        case 'n':
        case 'r':
        case 't':
        case 'f':
        case 'a':
        case 'e':
                buf_printf(t->out, "\\%c", c);
                break;
        case 'A':
        case 'z':
        case 'Z':
                if (t->in_class)
                        return refuse(t, t->p - 1, 2);
                buf_printf(t->out, "\\%c", c);
                break;
        default:
                if (!ispunct(c) && c != ' ')
                        return refuse(t, t->p - 1, 2);
                buf_printf(t->out, "\\%c", c);
        }
        t->p++;
        return DYN_OK;
}

static enum dyn_status in_class(struct translation *t)
{
        switch (*t->p) {
        case ']':
                t->in_class = false;
                break;
        case '[': // a nested set or a POSIX name
                return refuse(t, t->p, 8);
        case '&':
                if (t->p[1] == '&')
                        return refuse(t, t->p, 2);
                break;
        case '-': // a range, or itself at either end of the class
                if (t->p[1] == ']' || t->p == t->class_start)
                        buf_putc(t->out, '\\');
                else if (t->after_set || (t->p[1] == '\\' && is_set_escape(t->p[2])))
                        return refuse(t, t->p, 3);
                break;
        }
        t->after_set = false;
        buf_putc(t->out, *t->p++);
        return DYN_OK;
}

// Groups: plain, (?: (?= (?! (?> (?<= (?<! (?i: and, as the first thing, (?i).
static enum dyn_status group(struct translation *t)
{
        static const char *const known[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:"};

        if (t->p == t->start && strncmp(t->p, "(?i)", 4) == 0) {
                buf_puts(t->out, "(?i)");
                t->p += 4;
                return DYN_OK;
        }
        if (t->p[1] == '*')
                return refuse(t, t->p, 8);
        if (t->p[1] != '?') {
                buf_putc(t->out, *t->p++);
                return DYN_OK;
        }
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
                size_t len = strlen(known[i]);

                if (strncmp(t->p, known[i], len) == 0) {
                        buf_append(t->out, t->p, len);
                        t->p += len;
                        return DYN_OK;
                }
        }
        return refuse(t, t->p, 4);
}

// {n}, {n,} and {n,m}; any other brace is itself. After one, Ruby reads '+' as a second quantifier and {n}? as "n or
// 0".
static enum dyn_status interval(struct translation *t)
{
        size_t n = strspn(t->p + 1, "0123456789"), comma = t->p[n + 1] == ',';
        size_t m = comma ? strspn(t->p + n + 2, "0123456789") : 0, len = n + comma + m + 2;

        if (t->p[len - 1] != '}' || n + m == 0) {
                buf_puts(t->out, "\\{");
                t->p++;
                return DYN_OK;
        }
        if (n == 0 || t->p[len] == '+' || (t->p[len] == '?' && !comma))
                return refuse(t, t->p, len + 1);
        buf_append(t->out, t->p, len);
        t->p += len;
        return DYN_OK;
}

enum dyn_status pattern_translate(struct buf *out, const char *onig, struct dyn_error *err)
{
        struct translation t = {.out = out, .start = onig, .p = onig, .err = err};
        enum dyn_status st = DYN_OK;

        while (*t.p != 0 && st == DYN_OK) {
                if (*t.p == '\\') {
                        st = escape(&t);
                } else if (t.in_class) {
                        st = in_class(&t);
                } else if (*t.p == '(') {
                        st = group(&t);
                } else if (*t.p == '{') {
                        st = interval(&t);
                } else if (*t.p == '[') {
                        size_t len = t.p[1] == '^' ? 2 : 1;

                        if (t.p[len] == ']')
                                return refuse(&t, t.p, len + 1);
                        buf_append(out, t.p, len);
                        t.p += len;
                        t.in_class = true;
                        t.class_start = t.p;
                        t.after_set = false;
                } else {
                        buf_putc(out, *t.p++);
                }
        }
        return st == DYN_OK && t.in_class ? refuse(&t, t.p, 0) : st;
}

void pattern_quote(struct buf *out, const char *text)
{
        for (; *text != 0; text++) {
                if (ispunct((unsigned char)*text))
                        buf_putc(out, '\\');
                buf_putc(out, *text);
        }
}
