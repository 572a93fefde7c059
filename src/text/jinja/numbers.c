// Reading and rounding numbers.
#include "text/jinja/numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// A copy without white space around and without single underscores between digits; false if it cannot be a number.
static bool clean(struct str s, char *to, size_t cap)
{
        size_t n = 0;

        s = chars_strip(s, (struct str){0}, STRIP_BOTH);
        for (size_t i = 0; i < s.len; i++) {
                bool between = i > 0 && i + 1 < s.len && s.data[i - 1] >= '0' && s.data[i - 1] <= '9' &&
                               s.data[i + 1] >= '0' && s.data[i + 1] <= '9';

                if (s.data[i] == '_' && between)
                        continue;
                if (n + 1 >= cap || s.data[i] == 'x' || s.data[i] == 'X' || s.data[i] == 'p' || s.data[i] == '(' ||
                        chars_is_space((unsigned char)s.data[i]))
                        return false;
                to[n++] = s.data[i];
        }
        to[n] = '\0';
        return n > 0;
}

struct value numbers_float(struct value v)
{
        char text[400], *end;

        if (value_is_number(v))
                return value_float(value_real(v));
        if (v.kind != VALUE_STRING || !clean(v.string, text, sizeof text))
                return (struct value){0};
        double d = strtod(text, &end);

        return *end ? (struct value){0} : value_float(d);
}

static struct value truncated(struct value v)
{
        if (v.kind != VALUE_FLOAT || !(fabs(v.real) < 9.2e18))
                return (struct value){0};
        return value_int((int64_t)v.real);
}

struct value numbers_int(struct value v)
{
        char text[400];
        int64_t n = 0;

        if (value_is_integral(v))
                return value_int(value_integer(v));
        if (v.kind != VALUE_STRING)
                return truncated(v);
        if (!clean(v.string, text, sizeof text))
                return (struct value){0};
        const char *c = text + (*text == '-' || *text == '+');
        bool digits = *c != '\0';

        for (; *c >= '0' && *c <= '9'; c++)
                if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *c - '0', &n))
                        return (struct value){0};
        if (*c || !digits)
                return truncated(numbers_float(v));
        return value_int(*text == '-' ? -n : n);
}

struct value numbers_round(struct value v, int places)
{
        char text[400];

        if (v.kind != VALUE_FLOAT)
                return value_int(value_integer(v));
        if (!(fabs(v.real) < 1e22))
                return v;
        snprintf(text, sizeof text, "%.*f", places, v.real);
        return value_float(strtod(text, NULL));
}

struct value numbers_round_to(struct value v, int places, bool up)
{
        double scale = pow(10, places), scaled = value_real(v) * scale;

        return value_float((up ? ceil(scaled) : floor(scaled)) / scale);
}
