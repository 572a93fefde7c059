// Methods of str, as Python has them. Source: the Python library reference, "String Methods".
#include "text/jinja/access.h"
#include "text/jinja/builtin.h"
#include "text/jinja/print.h"
#include "text/jinja/words.h"

// A str argument; what is not one is a failure, and then the empty string.
static struct str text_of(struct run *r, struct value v, const char *method)
{
        if (v.kind == VALUE_STRING)
                return v.string;
        if (v.kind == VALUE_UNDEFINED)
                access_undefined(r, v);
        else
                run_fail(r, "%s takes a str, found %s", method, value_type(v.kind));
        return (struct str){"", 0};
}

static int64_t count_of(struct run *r, struct value v, int64_t absent)
{
        if (v.kind == VALUE_ABSENT)
                return absent;
        if (!value_is_integral(v))
                run_fail(r, "a number of times is an int, found %s", value_type(v.kind));
        return value_is_integral(v) ? value_integer(v) : 0;
}

static struct value strip(struct run *r, struct value self, struct value chars, enum strip_side side)
{
        bool space = chars.kind == VALUE_ABSENT || chars.kind == VALUE_NONE;

        return value_string(words_strip(r, self.string, space ? (struct str){0} : text_of(r, chars, "strip"), side));
}

static struct value str_strip(struct run *r, struct value self, const struct value *args)
{
        return strip(r, self, args[0], STRIP_BOTH);
}

static struct value str_lstrip(struct run *r, struct value self, const struct value *args)
{
        return strip(r, self, args[0], STRIP_LEFT);
}

static struct value str_rstrip(struct run *r, struct value self, const struct value *args)
{
        return strip(r, self, args[0], STRIP_RIGHT);
}

static struct value split(struct run *r, struct value self, const struct value *args, bool from_right)
{
        bool space = args[0].kind == VALUE_ABSENT || args[0].kind == VALUE_NONE;
        struct str separator = space ? (struct str){0} : text_of(r, args[0], "split");

        return words_split(r, self.string, separator, count_of(r, args[1], -1), from_right);
}

static struct value str_split(struct run *r, struct value self, const struct value *args)
{
        return split(r, self, args, false);
}

static struct value str_rsplit(struct run *r, struct value self, const struct value *args)
{
        return split(r, self, args, true);
}

static struct value str_splitlines(struct run *r, struct value self, const struct value *args)
{
        return words_lines(r, self.string, value_truth(args[0]));
}

static bool has_at(struct run *r, struct str s, struct str part, bool at_end)
{
        run_spend(r, part.len / 64);
        return s.len >= part.len &&
               str_equal(str_part(s, at_end ? s.len - part.len : 0, at_end ? s.len : part.len), part);
}

static struct value has(struct run *r, struct value self, struct value part, bool at_end)
{
        bool found = false;

        if (part.kind != VALUE_TUPLE)
                return value_bool(has_at(r, self.string, text_of(r, part, at_end ? "endswith" : "startswith"), at_end));
        for (size_t i = 0; i < part.list->n && !found; i++)
                found = has_at(r, self.string, text_of(r, part.list->items[i], "startswith"), at_end);
        return value_bool(found);
}

static struct value str_startswith(struct run *r, struct value self, const struct value *args)
{
        return has(r, self, args[0], false);
}

static struct value str_endswith(struct run *r, struct value self, const struct value *args)
{
        return has(r, self, args[0], true);
}

static struct value str_removeprefix(struct run *r, struct value self, const struct value *args)
{
        struct str s = self.string, part = text_of(r, args[0], "removeprefix");

        return value_string(str_part(s, has_at(r, s, part, false) ? part.len : 0, s.len));
}

static struct value str_removesuffix(struct run *r, struct value self, const struct value *args)
{
        struct str s = self.string, part = text_of(r, args[0], "removesuffix");

        return value_string(str_part(s, 0, s.len - (has_at(r, s, part, true) ? part.len : 0)));
}

static struct value str_upper(struct run *r, struct value self, const struct value *args)
{
        return value_string(words_upper(r, self.string));
}

static struct value str_lower(struct run *r, struct value self, const struct value *args)
{
        return value_string(words_lower(r, self.string));
}

static struct value str_capitalize(struct run *r, struct value self, const struct value *args)
{
        return value_string(words_capitalize(r, self.string));
}

static bool is_no_letter(int32_t c)
{
        return !chars_is_letter(c);
}

static struct value str_title(struct run *r, struct value self, const struct value *args)
{
        return value_string(words_title(r, self.string, is_no_letter, false));
}

static struct value str_replace(struct run *r, struct value self, const struct value *args)
{
        struct str old = text_of(r, args[0], "replace"), fresh = text_of(r, args[1], "replace");

        return value_string(words_replace(r, self.string, old, fresh, count_of(r, args[2], -1)));
}

static struct value str_join(struct run *r, struct value self, const struct value *args)
{
        struct buf text = {0};
        struct cursor cursor;
        struct value item;

        if (access_iterate(r, args[0], &cursor))
                for (bool first = true; access_next(r, &cursor, &item); first = false) {
                        if (!first)
                                run_write_str(r, &text, self.string);
                        run_write_str(r, &text, text_of(r, item, "join"));
                }
        return value_string(run_take(r, &text));
}

// The character at which a part was found, as find() counts.
static struct value position(struct run *r, struct str s, size_t at)
{
        run_spend(r, s.len / 16);
        return value_int(at == SIZE_MAX ? -1 : (int64_t)chars_count(str_part(s, 0, at)));
}

static struct value str_find_first(struct run *r, struct value self, const struct value *args)
{
        return position(r, self.string, str_find(self.string, text_of(r, args[0], "find"), 0));
}

static struct value str_rfind(struct run *r, struct value self, const struct value *args)
{
        return position(r, self.string, str_find_last(self.string, text_of(r, args[0], "rfind")));
}

static struct value str_index(struct run *r, struct value self, const struct value *args)
{
        struct value at = str_find_first(r, self, args);

        return at.integer < 0 ? run_fail(r, "index finds nothing") : at;
}

static struct value str_count(struct run *r, struct value self, const struct value *args)
{
        struct str s = self.string, part = text_of(r, args[0], "count");
        int64_t n = 0;

        run_spend(r, s.len / 16);
        if (part.len == 0)
                return value_int((int64_t)chars_count(s) + 1);
        for (size_t at = str_find(s, part, 0); at != SIZE_MAX && run_spend(r, 1); at = str_find(s, part, at + part.len))
                n++;
        return value_int(n);
}

// Whether there are characters and the property holds for each of them.
static struct value all_are(struct run *r, struct value self, bool (*property)(int32_t))
{
        run_spend(r, self.string.len / 16);
        for (size_t pos = 0; pos < self.string.len;)
                if (!property(chars_next(self.string, &pos)))
                        return value_bool(false);
        return value_bool(self.string.len > 0);
}

static bool is_letter_or_digit(int32_t c)
{
        return chars_is_letter(c) || chars_is_digit(c);
}

static struct value str_isalpha(struct run *r, struct value self, const struct value *args)
{
        return all_are(r, self, chars_is_letter);
}

static struct value str_isdigit(struct run *r, struct value self, const struct value *args)
{
        return all_are(r, self, chars_is_digit);
}

static struct value str_isalnum(struct run *r, struct value self, const struct value *args)
{
        return all_are(r, self, is_letter_or_digit);
}

static struct value str_isspace(struct run *r, struct value self, const struct value *args)
{
        return all_are(r, self, chars_is_space);
}

static struct value str_islower(struct run *r, struct value self, const struct value *args)
{
        return builtin_test(str_of("lower"))->call(r, self, args);
}

static struct value str_isupper(struct run *r, struct value self, const struct value *args)
{
        return builtin_test(str_of("upper"))->call(r, self, args);
}

static struct value pad(struct run *r, struct value self, const struct value *args, int left)
{
        struct str fill = args[1].kind == VALUE_ABSENT ? str_of(" ") : text_of(r, args[1], "a justified str");

        if (chars_count(fill) != 1)
                return run_fail(r, "a str is filled with one character");
        return value_string(words_pad(r, self.string, count_of(r, args[0], 0), fill, left));
}

static struct value str_ljust(struct run *r, struct value self, const struct value *args)
{
        return pad(r, self, args, 0);
}

static struct value str_center(struct run *r, struct value self, const struct value *args)
{
        return pad(r, self, args, 1);
}

static struct value str_rjust(struct run *r, struct value self, const struct value *args)
{
        return pad(r, self, args, 2);
}

static struct value str_zfill(struct run *r, struct value self, const struct value *args)
{
        struct str s = self.string;
        int64_t width = count_of(r, args[0], 0);
        size_t sign = s.len > 0 && (s.data[0] == '-' || s.data[0] == '+');
        struct str digits = words_pad(r, str_part(s, sign, s.len), width - (int64_t)sign, str_of("0"), 2);

        return value_string(run_join(r, str_part(s, 0, sign), digits));
}

// The part before a separator, the separator, the part after it.
static struct value partition(struct run *r, struct value self, struct value by, bool from_right)
{
        struct str s = self.string, separator = text_of(r, by, "partition");
        struct value parts = run_list(r, VALUE_TUPLE);
        size_t at = from_right ? str_find_last(s, separator) : str_find(s, separator, 0);

        if (separator.len == 0)
                return run_fail(r, "a str cannot be cut at an empty separator");
        run_spend(r, s.len / 64);
        if (at == SIZE_MAX) {
                struct value whole = value_string(s), empty = value_string(str_of(""));

                run_push(r, parts, from_right ? empty : whole);
                run_push(r, parts, empty);
                run_push(r, parts, from_right ? whole : empty);
                return parts;
        }
        run_push(r, parts, value_string(str_part(s, 0, at)));
        run_push(r, parts, value_string(separator));
        run_push(r, parts, value_string(str_part(s, at + separator.len, s.len)));
        return parts;
}

static struct value str_partition(struct run *r, struct value self, const struct value *args)
{
        return partition(r, self, args[0], false);
}

static struct value str_rpartition(struct run *r, struct value self, const struct value *args)
{
        return partition(r, self, args[0], true);
}

const struct builtin builtin_str_methods[] = {
        {"strip", "chars", 0, str_strip},
        {"lstrip", "chars", 0, str_lstrip},
        {"rstrip", "chars", 0, str_rstrip},
        {"split", "sep maxsplit", 0, str_split},
        {"rsplit", "sep maxsplit", 0, str_rsplit},
        {"splitlines", "keepends", 0, str_splitlines},
        {"startswith", "prefix", 1, str_startswith},
        {"endswith", "suffix", 1, str_endswith},
        {"removeprefix", "prefix", 1, str_removeprefix},
        {"removesuffix", "suffix", 1, str_removesuffix},
        {"upper", "", 0, str_upper},
        {"lower", "", 0, str_lower},
        {"capitalize", "", 0, str_capitalize},
        {"title", "", 0, str_title},
        {"replace", "old new count", 2, str_replace},
        {"join", "iterable", 1, str_join},
        {"find", "sub", 1, str_find_first},
        {"rfind", "sub", 1, str_rfind},
        {"index", "sub", 1, str_index},
        {"count", "sub", 1, str_count},
        {"isalpha", "", 0, str_isalpha},
        {"isdigit", "", 0, str_isdigit},
        {"isalnum", "", 0, str_isalnum},
        {"isspace", "", 0, str_isspace},
        {"islower", "", 0, str_islower},
        {"isupper", "", 0, str_isupper},
        {"ljust", "width fillchar", 1, str_ljust},
        {"center", "width fillchar", 1, str_center},
        {"rjust", "width fillchar", 1, str_rjust},
        {"zfill", "width", 1, str_zfill},
        {"partition", "sep", 1, str_partition},
        {"rpartition", "sep", 1, str_rpartition},
        {0},
};
