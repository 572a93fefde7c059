// Deep comparisons count every element as a step and every level as one of recursion.
#include "text/jinja/compare.h"

#include "text/jinja/access.h"

// Lists, tuples, ranges and views are equal only to their own kind.
static bool lists_equal(struct run *r, const struct list *a, const struct list *b)
{
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (!compare_equal(r, a->items[i], b->items[i]))
                        return false;
        return true;
}

static bool dicts_equal(struct run *r, const struct dict *a, const struct dict *b)
{
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++) {
                const struct value *other = run_get(r, b, a->pairs[i].key);

                if (!other || !compare_equal(r, a->pairs[i].value, *other))
                        return false;
        }
        return true;
}

static bool numbers_equal(struct value a, struct value b)
{
        if (value_is_integral(a) && value_is_integral(b))
                return value_integer(a) == value_integer(b);
        return value_real(a) == value_real(b);
}

static bool same_kind_equal(struct run *r, struct value a, struct value b)
{
        switch (a.kind) {
        case VALUE_UNDEFINED:
        case VALUE_NONE:
                return true;
        case VALUE_LIST:
        case VALUE_TUPLE:
        case VALUE_RANGE:
        case VALUE_KEYS:
        case VALUE_ITEMS:
                return lists_equal(r, a.list, b.list);
        case VALUE_DICT:
                return dicts_equal(r, a.dict, b.dict);
        default:
                return a.list == b.list;
        }
}

bool compare_equal(struct run *r, struct value a, struct value b)
{
        if (value_is_number(a) && value_is_number(b))
                return numbers_equal(a, b);
        if (a.kind != b.kind)
                return false;
        if (a.kind == VALUE_STRING)
                return a.string.len == b.string.len && run_spend(r, a.string.len / 64) && str_equal(a.string, b.string);
        if (!run_enter(r))
                return false;
        bool equal = same_kind_equal(r, a, b);

        run_leave(r);
        return equal;
}

static int order_of_numbers(struct value a, struct value b)
{
        if (value_is_integral(a) && value_is_integral(b)) {
                int64_t x = value_integer(a), y = value_integer(b);

                return (x > y) - (x < y);
        }
        double x = value_real(a), y = value_real(b);

        return (x > y) - (x < y);
}

static int order_of_lists(struct run *r, const struct list *a, const struct list *b)
{
        for (size_t i = 0; i < a->n && i < b->n && run_ok(r); i++)
                if (!compare_equal(r, a->items[i], b->items[i]))
                        return compare_order(r, a->items[i], b->items[i]);
        return (a->n > b->n) - (a->n < b->n);
}

int compare_order(struct run *r, struct value a, struct value b)
{
        if (value_is_number(a) && value_is_number(b))
                return order_of_numbers(a, b);
        if (a.kind == VALUE_STRING && b.kind == VALUE_STRING)
                return run_spend(r, a.string.len / 64) ? str_compare(a.string, b.string) : 0;
        if (a.kind == b.kind && (a.kind == VALUE_LIST || a.kind == VALUE_TUPLE) && run_enter(r)) {
                int order = order_of_lists(r, a.list, b.list);

                run_leave(r);
                return order;
        }
        if (a.kind == VALUE_UNDEFINED || b.kind == VALUE_UNDEFINED)
                access_undefined(r, a.kind == VALUE_UNDEFINED ? a : b);
        else
                run_fail(r, "%s and %s have no order", value_type(a.kind), value_type(b.kind));
        return 0;
}

bool compare_hashable(struct run *r, struct value v)
{
        switch (v.kind) {
        case VALUE_LIST:
        case VALUE_DICT:
        case VALUE_KEYS:
        case VALUE_ITEMS:
                return false;
        case VALUE_TUPLE:
                for (size_t i = 0; i < v.list->n && run_spend(r, 1); i++)
                        if (v.list->items[i].kind == VALUE_TUPLE || !compare_hashable(r, v.list->items[i]))
                                return false;
                return true;
        default:
                return true;
        }
}

bool compare_contains(struct run *r, struct value container, struct value item)
{
        struct cursor cursor;
        struct value v;

        if (container.kind == VALUE_STRING) {
                if (item.kind != VALUE_STRING) {
                        run_fail(r, "in a str only a str can be looked for, found %s", value_type(item.kind));
                        return false;
                }
                run_spend(r, container.string.len / 64);
                return str_find(container.string, item.string, 0) != SIZE_MAX;
        }
        if (container.kind == VALUE_DICT) {
                if (!compare_hashable(r, item))
                        run_fail(r, "%s cannot be a key", value_type(item.kind));
                return run_get(r, container.dict, item) != NULL;
        }
        if (!access_iterate(r, container, &cursor))
                return false;
        while (access_next(r, &cursor, &v))
                if (compare_equal(r, v, item))
                        return true;
        return false;
}
