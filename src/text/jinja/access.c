// The rules that Jinja's sandbox has for a.b and a[b], and Python's for indices, slices and iteration.
#include "text/jinja/access.h"

#include "text/jinja/builtin.h"
#include "text/jinja/compare.h"
#include "text/jinja/eval.h"

#include <inttypes.h>
#include <stdio.h>

struct value access_undefined(struct run *r, struct value v)
{
        int n = (int)(v.string.len < 100 ? v.string.len : 100);

        if (v.owner == VALUE_ABSENT)
                return run_fail(r, "'%.*s' is undefined", n, v.string.data);
        return run_fail(r, "'%s' has no attribute or item '%.*s'", value_type(v.owner), n, v.string.data);
}

static struct value missing(struct value object, struct str name)
{
        return value_undefined(object.kind, name);
}

// A method bound to its value, or an attribute that the kind itself has; absent if there is none.
static struct value own_attr(struct run *r, struct value object, struct str name)
{
        const struct builtin *b = builtin_method(object.kind, name);

        if (b) {
                struct method *m = run_alloc(r, sizeof *m);

                if (m)
                        *m = (struct method){object, b};
                return m ? (struct value){.kind = VALUE_METHOD, .method = m} : (struct value){0};
        }
        if (object.kind == VALUE_NAMESPACE) {
                const struct value *v = run_get(r, object.dict, value_string(name));

                return v ? *v : (struct value){0};
        }
        return object.kind == VALUE_LOOP ? loop_attr(r, object.loop, name) : (struct value){0};
}

// Methods of dict that change it are hidden by the sandbox, and hide keys of their name.
static bool is_hidden(struct value object, struct str name)
{
        static const char *const hidden[] = {"clear", "pop", "popitem", "setdefault", "update"};

        for (int i = 0; object.kind == VALUE_DICT && i < 5; i++)
                if (str_equal(name, str_of(hidden[i])))
                        return true;
        return false;
}

static struct value missing_index(struct run *r, struct value object, int64_t index)
{
        char digits[24];

        snprintf(digits, sizeof digits, "%" PRId64, index);
        return missing(object, run_join(r, str_of(digits), str_of("")));
}

static struct value item_of_list(struct run *r, struct value object, const struct list *list, struct value index)
{
        if (!value_is_integral(index))
                return (struct value){0};
        int64_t i = value_integer(index);

        if (i < 0)
                i += (int64_t)list->n;
        if (i < 0 || (size_t)i >= list->n)
                return missing_index(r, object, value_integer(index));
        return list->items[i];
}

static struct value item_of_string(struct run *r, struct value object, struct value index)
{
        if (!value_is_integral(index))
                return (struct value){0};
        int64_t i = value_integer(index);

        run_spend(r, object.string.len / 16);
        if (i < 0)
                i += (int64_t)chars_count(object.string);
        size_t from = i < 0 ? SIZE_MAX : chars_offset(object.string, (size_t)i), to = from;

        if (i < 0 || from >= object.string.len)
                return missing_index(r, object, value_integer(index));
        chars_next(object.string, &to);
        return value_string(str_part(object.string, from, to));
}

// object[index] without a look at attributes; absent if there is none.
static struct value own_item(struct run *r, struct value object, struct value index)
{
        switch (object.kind) {
        case VALUE_DICT: {
                const struct value *v = compare_hashable(r, index) ? run_get(r, object.dict, index) : NULL;

                return v ? *v : (struct value){0};
        }
        case VALUE_LIST:
        case VALUE_TUPLE:
        case VALUE_RANGE:
                return item_of_list(r, object, object.list, index);
        case VALUE_STRING:
                return item_of_string(r, object, index);
        default:
                return (struct value){0};
        }
}

struct value access_attr(struct run *r, struct value object, struct str name)
{
        if (object.kind == VALUE_UNDEFINED)
                return access_undefined(r, object);
        struct value v = own_attr(r, object, name);

        if (v.kind == VALUE_ABSENT && !is_hidden(object, name))
                v = own_item(r, object, value_string(name));
        return v.kind == VALUE_ABSENT ? missing(object, name) : v;
}

struct value access_item(struct run *r, struct value object, struct value index)
{
        if (object.kind == VALUE_UNDEFINED)
                return access_undefined(r, object);
        struct value v = own_item(r, object, index);

        if (v.kind == VALUE_ABSENT && index.kind == VALUE_STRING)
                v = own_attr(r, object, index.string);
        if (v.kind == VALUE_ABSENT)
                return missing(object, index.kind == VALUE_STRING ? index.string : str_of(value_type(index.kind)));
        return v;
}

static bool all_digits(struct str s)
{
        size_t i = 0;

        while (i < s.len && s.data[i] >= '0' && s.data[i] <= '9')
                i++;
        return i > 0 && i == s.len && s.len < 10;
}

static struct value step_into(struct run *r, struct value object, struct value part, struct value fallback)
{
        struct value v = access_item(r, object, part);
        bool falls_back = fallback.kind != VALUE_ABSENT && fallback.kind != VALUE_NONE;

        return v.kind == VALUE_UNDEFINED && falls_back ? fallback : v;
}

struct value access_path(struct run *r, struct value object, struct value path, struct value fallback)
{
        if (path.kind == VALUE_NONE || path.kind == VALUE_ABSENT)
                return object;
        if (path.kind != VALUE_STRING)
                return step_into(r, object, path, fallback);
        for (size_t from = 0; from <= path.string.len && run_ok(r);) {
                size_t dot = str_find(path.string, str_of("."), from);
                struct str part = str_part(path.string, from, dot == SIZE_MAX ? path.string.len : dot);
                int64_t index = 0;

                for (size_t i = 0; all_digits(part) && i < part.len; i++)
                        index = index * 10 + (part.data[i] - '0');
                object = step_into(r, object, all_digits(part) ? value_int(index) : value_string(part), fallback);
                from += part.len + 1;
        }
        return object;
}

// One end of a slice of n elements, as Python clips it.
static int64_t clip(struct run *r, struct value v, int64_t n, int64_t absent, bool backward)
{
        if (v.kind == VALUE_ABSENT || v.kind == VALUE_NONE)
                return absent;
        if (!value_is_integral(v)) {
                run_fail(r, "a slice needs integers, found %s", value_type(v.kind));
                return 0;
        }
        int64_t i = value_integer(v), least = backward ? -1 : 0, most = backward ? n - 1 : n;

        if (i < 0)
                i += n;
        return i < least ? least : i > most ? most : i;
}

static struct value slice_of_string(struct run *r, struct str s, int64_t from, int64_t to, int64_t step)
{
        struct buf text = {0};

        run_spend(r, s.len / 16);
        if (step == 1) {
                size_t start = chars_offset(s, (size_t)from);
                struct str rest = str_part(s, start, s.len);

                return value_string(str_part(rest, 0, to > from ? chars_offset(rest, (size_t)(to - from)) : 0));
        }
        size_t n = chars_count(s);
        uint32_t *starts = run_alloc(r, (n + 1) * sizeof *starts);

        if (!starts || s.len > UINT32_MAX)
                return run_fail(r, "a string is too long to be sliced");
        for (size_t i = 0, pos = 0; i <= n; i++) {
                starts[i] = (uint32_t)pos;
                if (i < n)
                        chars_next(s, &pos);
        }
        for (int64_t i = from; step > 0 ? i < to : i > to; i += step)
                run_write(r, &text, s.data + starts[i], starts[i + 1] - starts[i]);
        return value_string(run_take(r, &text));
}

struct value access_slice(struct run *r, struct value object, struct value start, struct value stop, struct value step)
{
        bool text = object.kind == VALUE_STRING;
        bool listed = object.kind == VALUE_LIST || object.kind == VALUE_TUPLE || object.kind == VALUE_RANGE;

        if (object.kind == VALUE_UNDEFINED)
                return access_undefined(r, object);
        if (!text && !listed)
                return run_fail(r, "%s cannot be sliced", value_type(object.kind));
        int64_t n = text ? (int64_t)chars_count(object.string) : (int64_t)object.list->n;
        int64_t by = step.kind == VALUE_ABSENT || step.kind == VALUE_NONE ? 1
                     : value_is_integral(step)                            ? value_integer(step)
                                                                          : 0;

        if (by == 0)
                return run_fail(r, "the step of a slice must be an integer that is not 0");
        if (by > n + 1 || by < -n - 1)
                by = by > 0 ? n + 1 : -n - 1;
        int64_t from = clip(r, start, n, by > 0 ? 0 : n - 1, by < 0), to = clip(r, stop, n, by > 0 ? n : -1, by < 0);

        if (!run_ok(r))
                return value_none();
        if (text)
                return slice_of_string(r, object.string, from, to, by);
        struct value part = run_list(r, object.kind);

        for (int64_t i = from; (by > 0 ? i < to : i > to) && run_ok(r); i += by)
                run_push(r, part, object.list->items[i]);
        return part;
}

int64_t access_length(struct run *r, struct value v)
{
        switch (v.kind) {
        case VALUE_UNDEFINED:
                return 0;
        case VALUE_STRING:
                run_spend(r, v.string.len / 16);
                return (int64_t)chars_count(v.string);
        case VALUE_LIST:
        case VALUE_TUPLE:
        case VALUE_RANGE:
        case VALUE_KEYS:
        case VALUE_VALUES:
        case VALUE_ITEMS:
                return (int64_t)v.list->n;
        case VALUE_DICT:
                return (int64_t)v.dict->n;
        case VALUE_LOOP:
                return loop_length(r, v.loop);
        default:
                run_fail(r, "%s has no length", value_type(v.kind));
                return -1;
        }
}

bool access_is_iterable(struct value v)
{
        return value_is_listed(v) || v.kind == VALUE_STRING || v.kind == VALUE_DICT || v.kind == VALUE_UNDEFINED;
}

bool access_iterate(struct run *r, struct value v, struct cursor *cursor)
{
        *cursor = (struct cursor){.over = v};
        if (!access_is_iterable(v))
                run_fail(r, "%s cannot be iterated over", value_type(v.kind));
        return run_ok(r);
}

bool access_next(struct run *r, struct cursor *cursor, struct value *item)
{
        struct value over = cursor->over;
        size_t pos = cursor->pos;

        if (!run_spend(r, 1))
                return false;
        switch (over.kind) {
        case VALUE_STRING:
                if (pos >= over.string.len)
                        return false;
                chars_next(over.string, &cursor->pos);
                *item = value_string(str_part(over.string, pos, cursor->pos));
                return true;
        case VALUE_DICT:
                if (pos >= over.dict->n)
                        return false;
                *item = over.dict->pairs[cursor->pos++].key;
                return true;
        case VALUE_ITERATOR:
                if (over.list->next >= over.list->n)
                        return false;
                *item = over.list->items[over.list->next++];
                return true;
        case VALUE_UNDEFINED:
                return false;
        default:
                if (pos >= over.list->n)
                        return false;
                *item = over.list->items[cursor->pos++];
                return true;
        }
}

struct value access_collect(struct run *r, struct value v, enum value_kind kind)
{
        struct value list = run_list(r, kind), item;
        struct cursor cursor;

        if (access_iterate(r, v, &cursor))
                while (access_next(r, &cursor, &item))
                        run_push(r, list, item);
        return list;
}
