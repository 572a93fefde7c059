// The printf-style formats of Python's "%" operator, as far as text needs them: %s %r %d %i %x %X %f %e %g %% with
// flags, width and precision. Source: the Python library reference, "printf-style String Formatting".
#include "text/jinja/access.h"
#include "text/jinja/arith.h"
#include "text/jinja/print.h"
#include "text/jinja/words.h"

#include <inttypes.h>
#include <stdio.h>

struct spec {
        bool left, zero, plus, space;
        int width, precision; // precision -1: none given
        char letter;
        struct str key; // data is NULL without one
};

static int number(struct str s, size_t *pos)
{
        int n = 0;

        while (*pos < s.len && s.data[*pos] >= '0' && s.data[*pos] <= '9' && n < 10000)
                n = n * 10 + (s.data[(*pos)++] - '0');
        return n;
}

// Reads what follows a "%" at *pos. The letter is 0 if the format ends too early.
static struct spec read_spec(struct str s, size_t *pos)
{
        struct spec spec = {.precision = -1};

        if (*pos < s.len && s.data[*pos] == '(') {
                size_t close = str_find(s, str_of(")"), *pos);

                if (close == SIZE_MAX)
                        return spec;
                spec.key = str_part(s, *pos + 1, close);
                *pos = close + 1;
        }
        for (; *pos < s.len && s.data[*pos] && strchr("-0+ ", s.data[*pos]); ++*pos) {
                spec.left |= s.data[*pos] == '-';
                spec.zero |= s.data[*pos] == '0';
                spec.plus |= s.data[*pos] == '+';
                spec.space |= s.data[*pos] == ' ';
        }
        spec.width = number(s, pos);
        if (*pos < s.len && s.data[*pos] == '.') {
                ++*pos;
                spec.precision = number(s, pos);
        }
        if (*pos < s.len)
                spec.letter = s.data[(*pos)++];
        return spec;
}

static struct str numeral(struct run *r, const struct spec *spec, struct value v)
{
        char text[400], format[16];
        bool real = strchr("feg", spec->letter | 0x20) != NULL;
        struct buf out = {0};

        if (!value_is_number(v) || spec->precision > 300) {
                run_fail(r, "%%%c needs a number, found %s", spec->letter, value_type(v.kind));
                return (struct str){"", 0};
        }
        if (real) {
                snprintf(format, sizeof format, "%%.*%c", spec->letter);
                double d = value_real(v);

                if (d > 1e60 || d < -1e60) {
                        run_fail(r, "a number is too large for %%%c", spec->letter);
                        return (struct str){"", 0};
                }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                snprintf(text, sizeof text, format, spec->precision < 0 ? 6 : spec->precision, d < 0 ? -d : d);
#pragma GCC diagnostic pop
        }
        bool negative = value_real(v) < 0;
        int64_t whole = real ? 0 : v.kind == VALUE_FLOAT ? (int64_t)v.real : value_integer(v);
        uint64_t size = whole < 0 ? -(uint64_t)whole : (uint64_t)whole;

        if (!real)
                snprintf(text, sizeof text,
                        spec->letter == 'x'   ? "%" PRIx64
                        : spec->letter == 'X' ? "%" PRIX64
                                              : "%" PRIu64,
                        size);
        const char *sign = negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
        size_t n = strlen(text) + strlen(sign);

        run_write_str(r, &out, str_of(sign));
        for (size_t i = n; spec->zero && !spec->left && i < (size_t)spec->width; i++)
                run_write(r, &out, "0", 1);
        run_write_str(r, &out, str_of(text));
        return run_take(r, &out);
}

static void put_spec(struct run *r, struct buf *out, const struct spec *spec, struct value v)
{
        struct str text;
        struct buf repr = {0};

        switch (spec->letter) {
        case 's':
        case 'r':
                if (spec->letter == 's')
                        print_value(r, &repr, v);
                else
                        print_repr(r, &repr, v);
                text = run_take(r, &repr);
                if (spec->precision >= 0)
                        text = str_part(text, 0, chars_offset(text, (size_t)spec->precision));
                break;
        case 'd':
        case 'i':
        case 'x':
        case 'X':
        case 'f':
        case 'e':
        case 'g':
                text = numeral(r, spec, v);
                break;
        default:
                run_fail(r, "%%%c in a format is not supported", spec->letter ? spec->letter : '%');
                return;
        }
        run_write_str(r, out, words_pad(r, text, spec->width, str_of(" "), spec->left ? 0 : 2));
}

struct value arith_format(struct run *r, struct str format, struct value args)
{
        struct buf out = {0};
        size_t used = 0, pos = 0;
        bool keyed = false;

        while (pos < format.len && run_spend(r, 1)) {
                size_t mark = str_find(format, str_of("%"), pos);

                run_write(r, &out, format.data + pos, (mark == SIZE_MAX ? format.len : mark) - pos);
                if (mark == SIZE_MAX)
                        break;
                pos = mark + 1;
                struct spec spec = read_spec(format, &pos);
                struct value v = args;

                if (spec.letter == '%') {
                        run_write(r, &out, "%", 1);
                        continue;
                }
                if (spec.key.data) {
                        keyed = true;
                        v = access_item(r, args, value_string(spec.key));
                } else if (args.kind == VALUE_TUPLE) {
                        v = used < args.list->n ? args.list->items[used] : (struct value){0};
                } else if (used > 0) {
                        v = (struct value){0};
                }
                used += !spec.key.data;
                if (v.kind == VALUE_ABSENT)
                        run_fail(r, "a format has more places than values");
                else
                        put_spec(r, &out, &spec, v);
        }
        // Python lets anything that can be indexed, but is no tuple, go unused.
        bool indexed = args.kind == VALUE_DICT || args.kind == VALUE_LIST || args.kind == VALUE_RANGE ||
                       args.kind == VALUE_UNDEFINED;

        if (!keyed && used < (args.kind == VALUE_TUPLE ? args.list->n : !indexed))
                run_fail(r, "a format has fewer places than values");
        return value_string(run_take(r, &out));
}
