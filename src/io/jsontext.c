#include "io/jsontext.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define MAX_NUMBER 63 // bytes of a number that cJSON reads

struct scan {
        const char *start, *at, *end;
        int depth, max_depth;
        struct dyn_error *err;
};

static bool value(struct scan *s);

// What stands at p, for people.
static const char *found(const struct scan *s, const char *p, char *out, size_t cap)
{
        unsigned char c;

        if (p == s->end)
                return "the end";
        c = (unsigned char)*p;
        snprintf(out, cap, c > 0x20 && c < 0x7f ? "'%c'" : "byte 0x%02x", c);
        return out;
}

static bool fail_at(struct scan *s, const char *p, const char *expected)
{
        const char *line = s->start;
        size_t n = 1;
        char what[16];

        for (const char *nl; (nl = memchr(line, '\n', (size_t)(p - line))) != NULL; line = nl + 1)
                n++;
        dyn_fail(s->err, DYN_INVALID, "not JSON: line %zu, column %zu: expected %s, found %s", n,
                (size_t)(p - line) + 1, expected, found(s, p, what, sizeof what));
        return false;
}

static void blanks(struct scan *s)
{
        while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
                s->at++;
}

// Four hexadecimal digits at p, -1 if they are not.
static int hex4(const struct scan *s, const char *p)
{
        int code = 0;

        if (s->end - p < 4)
                return -1;
        for (int i = 0; i < 4; i++) {
                char c = p[i];
                int digit = c >= '0' && c <= '9'   ? c - '0'
                            : c >= 'a' && c <= 'f' ? c - 'a' + 10
                            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                   : -1;

                if (digit < 0)
                        return -1;
                code = code * 16 + digit;
        }
        return code;
}

// s->at is on the backslash.
static bool escape(struct scan *s)
{
        const char *p = s->at++;

        if (s->at == s->end || strchr("\"\\/bfnrtu", *s->at) == NULL || *s->at == 0)
                return fail_at(s, s->at, "one of \" \\ / b f n r t u after a backslash");
        if (*s->at++ != 'u')
                return true;
        int code = hex4(s, s->at);

        if (code < 0)
                return fail_at(s, s->at, "four hexadecimal digits");
        if (code == 0)
                return fail_at(s, p, "no \\u0000");
        s->at += 4;
        if (code < 0xd800 || code > 0xdfff)
                return true;
        if (code > 0xdbff || s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
                return fail_at(s, p, "surrogates in pairs");
        code = hex4(s, s->at + 2);
        if (code < 0xdc00 || code > 0xdfff)
                return fail_at(s, p, "surrogates in pairs");
        s->at += 6;
        return true;
}

static bool string(struct scan *s)
{
        for (s->at++; s->at < s->end && *s->at != '"';) {
                unsigned char c = (unsigned char)*s->at;

                if (c == '\\') {
                        if (!escape(s))
                                return false;
                } else if (c < 0x20) {
                        return fail_at(s, s->at, "no bare control character in a string");
                } else if (c < 0x80) {
                        s->at++;
                } else {
                        uint32_t code;
                        int n = utf8_next(s->at, s->end, &code);

                        if (n <= 0)
                                return fail_at(s, s->at, "UTF-8");
                        s->at += n;
                }
        }
        if (s->at == s->end)
                return fail_at(s, s->at, "the string's closing '\"'");
        s->at++;
        return true;
}

static bool digits(struct scan *s)
{
        const char *p = s->at;

        while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
                s->at++;
        return s->at > p || fail_at(s, p, "a digit");
}

static bool number(struct scan *s)
{
        const char *p = s->at;

        if (*s->at == '-')
                s->at++;
        if (s->at < s->end && *s->at == '0')
                s->at++;
        else if (!digits(s))
                return false;
        if (s->at < s->end && *s->at == '.') {
                s->at++;
                if (!digits(s))
                        return false;
        }
        if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
                s->at++;
                if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
                        s->at++;
                if (!digits(s))
                        return false;
        }
        return s->at - p <= MAX_NUMBER || fail_at(s, p, "a number of at most 63 characters");
}

static bool word(struct scan *s, const char *text)
{
        size_t len = strlen(text);

        if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0)
                return fail_at(s, s->at, "a value");
        s->at += len;
        return true;
}

static bool member(struct scan *s)
{
        if (s->at == s->end || *s->at != '"')
                return fail_at(s, s->at, "a key in quotes");
        if (!string(s))
                return false;
        blanks(s);
        if (s->at == s->end || *s->at != ':')
                return fail_at(s, s->at, "':'");
        s->at++;
        blanks(s);
        return value(s);
}

// An array or an object: s->at is on its opening bracket.
static bool list(struct scan *s, char close, bool (*item)(struct scan *))
{
        if (++s->depth > s->max_depth)
                return fail_at(s, s->at, "arrays and objects nested less deeply");
        s->at++;
        blanks(s);
        if (s->at < s->end && *s->at == close)
                goto closed;
        for (;;) {
                if (!item(s))
                        return false;
                blanks(s);
                if (s->at < s->end && *s->at == close)
                        goto closed;
                if (s->at == s->end || *s->at != ',')
                        return fail_at(s, s->at, close == ']' ? "',' or ']'" : "',' or '}'");
                s->at++;
                blanks(s);
        }
closed:
        s->at++;
        s->depth--;
        return true;
}

static bool value(struct scan *s)
{
        if (s->at == s->end)
                return fail_at(s, s->at, "a value");
        switch (*s->at) {
        case '{':
                return list(s, '}', member);
        case '[':
                return list(s, ']', value);
        case '"':
                return string(s);
        case 't':
                return word(s, "true");
        case 'f':
                return word(s, "false");
        case 'n':
                return word(s, "null");
        case '-':
        case '0' ... '9':
                return number(s);
        default:
                return fail_at(s, s->at, "a value");
        }
}

enum dyn_status jsontext_check(const char *text, size_t len, int max_depth, struct dyn_error *err)
{
        struct scan s = {text, text, text + len, 0, max_depth, err};

        blanks(&s);
        if (!value(&s))
                return DYN_INVALID;
        blanks(&s);
        if (s.at != s.end)
                fail_at(&s, s.at, "nothing after the value");
        return s.at == s.end ? DYN_OK : DYN_INVALID;
}
