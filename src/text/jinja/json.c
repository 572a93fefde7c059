// JSON the way Python's json.dumps writes it, which is what models were trained on.
#include "text/jinja/builtin.h"
#include "text/jinja/print.h"
#include "text/jinja/sort.h"

#include <math.h>
#include <stdio.h>

static void write_text(struct run *r, struct buf *text, const char *s)
{
        run_write(r, text, s, strlen(s));
}

static void write_char(struct run *r, struct buf *text, int32_t c, bool ascii)
{
        static const char plain[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
        const char *known = c > 0 && c < 0x80 ? memchr(plain, c, sizeof plain - 1) : NULL;
        char out[16];
        int n;

        if (known)
                n = snprintf(out, sizeof out, "\\%c", letters[known - plain]);
        else if ((c >= 0 && c < 0x20) || (ascii && c > 0x7e && c < 0x10000))
                n = snprintf(out, sizeof out, "\\u%04x", (unsigned)c);
        else if (ascii && c >= 0x10000)
                n = snprintf(out, sizeof out, "\\u%04x\\u%04x", 0xd800u + ((unsigned)(c - 0x10000) >> 10),
                        0xdc00u + ((unsigned)(c - 0x10000) & 0x3ff));
        else
                n = (int)chars_put(out, c);
        run_write(r, text, out, (size_t)n);
}

static void write_string(struct run *r, struct buf *text, struct str s, bool ascii)
{
        run_write(r, text, "\"", 1);
        for (size_t pos = 0; pos < s.len && run_ok(r);) {
                size_t from = pos;

                while (pos < s.len && s.data[pos] >= 0x20 && s.data[pos] < 0x7f && s.data[pos] != '"' &&
                        s.data[pos] != '\\')
                        pos++;
                run_write(r, text, s.data + from, pos - from);
                if (pos < s.len)
                        write_char(r, text, chars_next(s, &pos), ascii);
        }
        run_write(r, text, "\"", 1);
}

static void write_real(struct run *r, struct buf *text, double d)
{
        char number[48];

        print_real(number, d);
        write_text(r, text, isnan(d) ? "NaN" : isinf(d) ? d < 0 ? "-Infinity" : "Infinity" : number);
}

static void write_value(struct run *, struct buf *, struct value, const struct json_style *, int level);

static void write_key(struct run *r, struct buf *text, struct value key, const struct json_style *style)
{
        switch (key.kind) {
        case VALUE_STRING:
                return write_string(r, text, key.string, style->ascii);
        case VALUE_NONE:
        case VALUE_BOOL:
        case VALUE_INT:
        case VALUE_FLOAT:
                write_text(r, text, "\"");
                write_value(r, text, key, style, 0);
                return write_text(r, text, "\"");
        default:
                run_fail(r, "%s cannot be a key in JSON", value_type(key.kind));
        }
}

static void new_line(struct run *r, struct buf *text, const struct json_style *style, int level)
{
        if (!style->indent.data)
                return;
        write_text(r, text, "\n");
        for (int i = 0; i < level && run_ok(r); i++)
                run_write_str(r, text, style->indent);
}

static void write_list(
        struct run *r, struct buf *text, const struct list *list, const struct json_style *style, int level)
{
        write_text(r, text, "[");
        for (size_t i = 0; i < list->n && run_ok(r); i++) {
                if (i)
                        run_write_str(r, text, style->item_separator);
                new_line(r, text, style, level + 1);
                write_value(r, text, list->items[i], style, level + 1);
        }
        if (list->n)
                new_line(r, text, style, level);
        write_text(r, text, "]");
}

static void write_dict(
        struct run *r, struct buf *text, const struct dict *dict, const struct json_style *style, int level)
{
        const struct pair *pairs = style->sort_keys ? sort_pairs(r, dict, 0, false, false) : dict->pairs;

        write_text(r, text, "{");
        for (size_t i = 0; i < dict->n && run_ok(r); i++) {
                if (i)
                        run_write_str(r, text, style->item_separator);
                new_line(r, text, style, level + 1);
                write_key(r, text, pairs[i].key, style);
                run_write_str(r, text, style->key_separator);
                write_value(r, text, pairs[i].value, style, level + 1);
        }
        if (dict->n)
                new_line(r, text, style, level);
        write_text(r, text, "}");
}

static void write_any(struct run *r, struct buf *text, struct value v, const struct json_style *style, int level)
{
        switch (v.kind) {
        case VALUE_NONE:
                return write_text(r, text, "null");
        case VALUE_BOOL:
                return write_text(r, text, v.truth ? "true" : "false");
        case VALUE_INT:
                return print_repr(r, text, v);
        case VALUE_FLOAT:
                return write_real(r, text, v.real);
        case VALUE_STRING:
                return write_string(r, text, v.string, style->ascii);
        case VALUE_LIST:
        case VALUE_TUPLE:
                return write_list(r, text, v.list, style, level);
        case VALUE_DICT:
                return write_dict(r, text, v.dict, style, level);
        default:
                run_fail(r, "%s has no form in JSON", value_type(v.kind));
        }
}

static void write_value(struct run *r, struct buf *text, struct value v, const struct json_style *style, int level)
{
        if (!run_enter(r))
                return;
        write_any(r, text, v, style, level);
        run_leave(r);
}

void print_json(struct run *r, struct buf *text, struct value v, const struct json_style *style)
{
        write_value(r, text, v, style, 0);
}
