// str() and repr() of Python's built-in types.
#include "text/jinja/print.h"

#include "text/jinja/builtin.h"
#include "text/jinja/eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void print_real(char to[48], double d)
{
        char text[32], digits[24];
        int n = 0, exponent, precision = 0;

        if (!isfinite(d)) {
                snprintf(to, 48, "%s", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
                return;
        }
        do
                snprintf(text, sizeof text, "%.*e", precision, d);
        while (strtod(text, NULL) != d && ++precision < 17);
        exponent = atoi(strchr(text, 'e') + 1);
        for (const char *c = text; *c != 'e'; c++)
                if (*c >= '0' && *c <= '9')
                        digits[n++] = *c;
        digits[n] = '\0';
        const char *sign = text[0] == '-' ? "-" : "";

        if (exponent < -4 || exponent >= 16)
                snprintf(to, 48, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                        exponent < 0 ? '-' : '+', abs(exponent));
        else if (exponent < 0)
                snprintf(to, 48, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
        else if (exponent + 1 < n)
                snprintf(to, 48, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
        else
                snprintf(to, 48, "%s%s%.*s.0", sign, digits, exponent + 1 - n, "0000000000000000");
}

static void write_text(struct run *r, struct buf *text, const char *s)
{
        run_write(r, text, s, strlen(s));
}

static void repr_char(struct run *r, struct buf *text, int32_t c, char quote)
{
        char out[12];
        int n;

        if (c == quote || c == '\\')
                n = snprintf(out, sizeof out, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
                n = snprintf(out, sizeof out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (chars_is_printable(c))
                n = (int)chars_put(out, c);
        else if (c < 0x100)
                n = snprintf(out, sizeof out, "\\x%02x", (unsigned)(c < 0 ? -1 - c : c));
        else
                n = snprintf(out, sizeof out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        run_write(r, text, out, (size_t)n);
}

static void repr_string(struct run *r, struct buf *text, struct str s)
{
        bool single = s.len && memchr(s.data, '\'', s.len), twofold = s.len && memchr(s.data, '"', s.len);
        char quote = single && !twofold ? '"' : '\'';

        run_write(r, text, &quote, 1);
        for (size_t pos = 0; pos < s.len && run_ok(r);)
                repr_char(r, text, chars_next(s, &pos), quote);
        run_write(r, text, &quote, 1);
}

static void repr_items(struct run *r, struct buf *text, const struct list *list, const char *open, const char *close)
{
        write_text(r, text, open);
        for (size_t i = 0; i < list->n && run_ok(r); i++) {
                if (i)
                        write_text(r, text, ", ");
                print_repr(r, text, list->items[i]);
        }
        write_text(r, text, close);
}

static void repr_dict(struct run *r, struct buf *text, const struct dict *dict)
{
        write_text(r, text, "{");
        for (size_t i = 0; i < dict->n && run_ok(r); i++) {
                if (i)
                        write_text(r, text, ", ");
                print_repr(r, text, dict->pairs[i].key);
                write_text(r, text, ": ");
                print_repr(r, text, dict->pairs[i].value);
        }
        write_text(r, text, "}");
}

static void repr_named(struct run *r, struct buf *text, const char *open, struct str name, const char *close)
{
        write_text(r, text, open);
        run_write_str(r, text, name);
        write_text(r, text, close);
}

static void repr(struct run *r, struct buf *text, struct value v)
{
        char number[48];

        switch (v.kind) {
        case VALUE_ABSENT:
        case VALUE_UNDEFINED:
                return write_text(r, text, "Undefined");
        case VALUE_NONE:
                return write_text(r, text, "None");
        case VALUE_BOOL:
                return write_text(r, text, v.truth ? "True" : "False");
        case VALUE_INT:
                snprintf(number, sizeof number, "%" PRId64, v.integer);
                return write_text(r, text, number);
        case VALUE_FLOAT:
                print_real(number, v.real);
                return write_text(r, text, number);
        case VALUE_STRING:
                return repr_string(r, text, v.string);
        case VALUE_LIST:
                return repr_items(r, text, v.list, "[", "]");
        case VALUE_TUPLE:
                return repr_items(r, text, v.list, "(", v.list->n == 1 ? ",)" : ")");
        case VALUE_RANGE:
                return run_write_str(r, text, v.list->label);
        case VALUE_KEYS:
                return repr_items(r, text, v.list, "dict_keys([", "])");
        case VALUE_VALUES:
                return repr_items(r, text, v.list, "dict_values([", "])");
        case VALUE_ITEMS:
                return repr_items(r, text, v.list, "dict_items([", "])");
        case VALUE_DICT:
                return repr_dict(r, text, v.dict);
        case VALUE_NAMESPACE:
                write_text(r, text, "<Namespace ");
                repr_dict(r, text, v.dict);
                return write_text(r, text, ">");
        case VALUE_MACRO:
                return repr_named(r, text, "<Macro '", closure_name(r, v.macro), "'>");
        case VALUE_LOOP:
                snprintf(number, sizeof number, "%" PRId64 "/%" PRId64, v.loop->index + 1, loop_length(r, v.loop));
                return repr_named(r, text, "<LoopContext ", str_of(number), ">");
        default:
                return repr_named(r, text, "<", str_of(value_type(v.kind)), ">");
        }
}

void print_repr(struct run *r, struct buf *text, struct value v)
{
        if (!run_enter(r))
                return;
        repr(r, text, v);
        run_leave(r);
}

void print_value(struct run *r, struct buf *text, struct value v)
{
        if (v.kind == VALUE_STRING)
                run_write_str(r, text, v.string);
        else if (v.kind != VALUE_UNDEFINED && v.kind != VALUE_ABSENT)
                print_repr(r, text, v);
}

struct str print_text(struct run *r, struct value v)
{
        struct buf text = {0};

        if (v.kind == VALUE_STRING)
                return v.string;
        print_value(r, &text, v);
        return run_take(r, &text);
}
