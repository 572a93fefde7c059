// Filters that make a text or a number of one value. Source: Jinja's template designer documentation, "List of Builtin
// Filters"; tojson as Hugging Face's chat templates know it.
#include "text/jinja/access.h"
#include "text/jinja/arith.h"
#include "text/jinja/builtin.h"
#include "text/jinja/numbers.h"
#include "text/jinja/print.h"
#include "text/jinja/words.h"

#include <math.h>

static struct value text_value(struct str s)
{
        return value_string(s);
}

static struct value filter_string(struct run *r, struct value self, const struct value *args)
{
        return text_value(print_text(r, self));
}

static struct value filter_upper(struct run *r, struct value self, const struct value *args)
{
        return text_value(words_upper(r, print_text(r, self)));
}

static struct value filter_lower(struct run *r, struct value self, const struct value *args)
{
        return text_value(words_lower(r, print_text(r, self)));
}

static struct value filter_capitalize(struct run *r, struct value self, const struct value *args)
{
        return text_value(words_capitalize(r, print_text(r, self)));
}

static bool starts_word(int32_t c)
{
        return chars_is_space(c) || (c > 0 && c < 0x80 && strchr("-({[<", c));
}

static struct value filter_title(struct run *r, struct value self, const struct value *args)
{
        return text_value(words_title(r, print_text(r, self), starts_word, true));
}

static struct value filter_trim(struct run *r, struct value self, const struct value *args)
{
        struct str set = args[0].kind == VALUE_STRING ? args[0].string : (struct str){0};

        if (args[0].kind != VALUE_STRING && args[0].kind != VALUE_ABSENT && args[0].kind != VALUE_NONE)
                return run_fail(r, "trim takes a str, found %s", value_type(args[0].kind));
        return text_value(words_strip(r, print_text(r, self), set, STRIP_BOTH));
}

static struct value filter_replace(struct run *r, struct value self, const struct value *args)
{
        int64_t count = value_is_integral(args[2]) ? value_integer(args[2]) : -1;
        struct str s = print_text(r, self), old = print_text(r, args[0]);

        return text_value(words_replace(r, s, old, print_text(r, args[1]), count));
}

static struct value filter_indent(struct run *r, struct value self, const struct value *args)
{
        bool first = value_truth(args[1]), blank = value_truth(args[2]);
        int64_t width = args[0].kind == VALUE_ABSENT ? 4 : value_is_integral(args[0]) ? value_integer(args[0]) : 0;
        struct buf text = {0};

        if (self.kind == VALUE_UNDEFINED)
                return access_undefined(r, self);
        if (self.kind != VALUE_STRING)
                return run_fail(r, "indent takes a str, found %s", value_type(self.kind));
        struct str margin = args[0].kind == VALUE_STRING ? args[0].string : words_repeat(r, str_of(" "), width);
        struct value lines = words_lines(r, run_join(r, self.string, str_of("\n")), false);

        for (size_t i = 0; i < lines.list->n && run_ok(r); i++) {
                struct str line = lines.list->items[i].string;

                if (i > 0)
                        run_write(r, &text, "\n", 1);
                if (i > 0 ? blank || line.len > 0 : first)
                        run_write_str(r, &text, margin);
                run_write_str(r, &text, line);
        }
        return text_value(run_take(r, &text));
}

static struct value filter_tojson(struct run *r, struct value self, const struct value *args)
{
        enum { ASCII, INDENT, SEPARATORS, SORT_KEYS };
        bool indented = args[INDENT].kind != VALUE_ABSENT && args[INDENT].kind != VALUE_NONE;
        struct json_style style = {.ascii = value_truth(args[ASCII]),
                .sort_keys = value_truth(args[SORT_KEYS]),
                .item_separator = str_of(indented ? "," : ", "),
                .key_separator = str_of(": ")};
        struct value separators = args[SEPARATORS];
        struct buf text = {0};

        if (indented && args[INDENT].kind == VALUE_STRING)
                style.indent = args[INDENT].string;
        else if (indented && value_is_integral(args[INDENT]))
                style.indent = words_repeat(r, str_of(" "), value_integer(args[INDENT]));
        else if (indented)
                return run_fail(r, "the indent of tojson is an int or a str, found %s", value_type(args[INDENT].kind));
        if (separators.kind == VALUE_LIST || separators.kind == VALUE_TUPLE) {
                struct value *pair = separators.list->items;

                if (separators.list->n != 2 || pair[0].kind != VALUE_STRING || pair[1].kind != VALUE_STRING)
                        return run_fail(r, "the separators of tojson are two strings");
                style.item_separator = pair[0].string;
                style.key_separator = pair[1].string;
        }
        print_json(r, &text, self, &style);
        return text_value(run_take(r, &text));
}

static struct value filter_safe(struct run *r, struct value self, const struct value *args)
{
        return text_value(print_text(r, self));
}

static struct value filter_default(struct run *r, struct value self, const struct value *args)
{
        if (self.kind != VALUE_UNDEFINED && (!value_truth(args[1]) || value_truth(self)))
                return self;
        return args[0].kind == VALUE_ABSENT ? value_string(str_of("")) : args[0];
}

static struct value filter_length(struct run *r, struct value self, const struct value *args)
{
        return value_int(access_length(r, self));
}

static struct value filter_int(struct run *r, struct value self, const struct value *args)
{
        struct value fallback = args[0].kind == VALUE_ABSENT ? value_int(0) : args[0], v;

        if (self.kind == VALUE_UNDEFINED)
                return access_undefined(r, self);
        if (args[1].kind != VALUE_ABSENT && !(value_is_integral(args[1]) && value_integer(args[1]) == 10))
                return run_fail(r, "int with a base other than 10 is not supported");
        run_spend(r, self.kind == VALUE_STRING ? self.string.len / 16 : 0);
        v = numbers_int(self);
        double d = value_real(numbers_float(self)); // of what is no number, 0

        if (v.kind == VALUE_ABSENT && isfinite(d) && fabs(d) >= 9.2e18)
                return run_fail(r, "an integer does not fit 64 bits");
        return v.kind == VALUE_ABSENT ? fallback : v;
}

static struct value filter_float(struct run *r, struct value self, const struct value *args)
{
        struct value fallback = args[0].kind == VALUE_ABSENT ? value_float(0) : args[0], v;

        if (self.kind == VALUE_UNDEFINED)
                return access_undefined(r, self);
        run_spend(r, self.kind == VALUE_STRING ? self.string.len / 16 : 0);
        v = numbers_float(self);
        return v.kind == VALUE_ABSENT ? fallback : v;
}

static struct value filter_abs(struct run *r, struct value self, const struct value *args)
{
        if (!value_is_number(self))
                return run_fail(r, "abs takes a number, found %s", value_type(self.kind));
        return arith_sign(r, self, value_real(self) < 0);
}

static struct value filter_round(struct run *r, struct value self, const struct value *args)
{
        int64_t places = value_is_integral(args[0]) ? value_integer(args[0]) : 0;
        struct str method = args[1].kind == VALUE_ABSENT ? str_of("common") : print_text(r, args[1]);

        if (!value_is_number(self))
                return run_fail(r, "round takes a number, found %s", value_type(self.kind));
        if (places < 0 || places > 15)
                return run_fail(r, "round takes 0 to 15 places");
        if (str_equal(method, str_of("common")))
                return numbers_round(self, (int)places);
        if (!str_equal(method, str_of("ceil")) && !str_equal(method, str_of("floor")))
                return run_fail(r, "the method of round is common, ceil or floor");
        return numbers_round_to(self, (int)places, method.data[0] == 'c');
}

static struct value filter_format(struct run *r, struct value self, const struct value *args)
{
        struct value values = args[1].dict->n ? args[1] : args[0];

        if (args[0].list->n && args[1].dict->n)
                return run_fail(r, "format takes values with names or without, not both");
        return arith_format(r, print_text(r, self), values);
}

const struct builtin builtin_text_filters[] = {
        {"string", "", 0, filter_string},
        {"upper", "", 0, filter_upper},
        {"lower", "", 0, filter_lower},
        {"capitalize", "", 0, filter_capitalize},
        {"title", "", 0, filter_title},
        {"trim", "chars", 0, filter_trim},
        {"replace", "old new count", 2, filter_replace},
        {"indent", "width first blank", 0, filter_indent},
        {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson},
        {"safe", "", 0, filter_safe},
        {"default", "default_value boolean", 0, filter_default},
        {"d", "default_value boolean", 0, filter_default},
        {"length", "", 0, filter_length},
        {"count", "", 0, filter_length},
        {"int", "default base", 0, filter_int},
        {"float", "default", 0, filter_float},
        {"abs", "", 0, filter_abs},
        {"round", "precision method", 0, filter_round},
        {"format", "*", 0, filter_format},
        {0},
};
