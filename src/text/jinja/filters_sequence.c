// Filters that work on sequences. Those that Python has as generators give an iterator, which has no length, is always
// true and passes over its items once. Source: Jinja's template designer documentation, "List of Builtin Filters".
#include "text/jinja/access.h"
#include "text/jinja/arith.h"
#include "text/jinja/builtin.h"
#include "text/jinja/compare.h"
#include "text/jinja/eval.h"
#include "text/jinja/print.h"
#include "text/jinja/sort.h"

static const struct value none = {0}; // no fallback

static struct value filter_join(struct run *r, struct value self, const struct value *args)
{
        struct str between = print_text(r, args[0]);
        struct buf text = {0};
        struct cursor cursor;
        struct value item;

        if (access_iterate(r, self, &cursor))
                for (bool first = true; access_next(r, &cursor, &item); first = false) {
                        if (!first)
                                run_write_str(r, &text, between);
                        print_value(r, &text, access_path(r, item, args[1], none));
                }
        return value_string(run_take(r, &text));
}

static struct value filter_list(struct run *r, struct value self, const struct value *args)
{
        return access_collect(r, self, VALUE_LIST);
}

static struct value filter_first(struct run *r, struct value self, const struct value *args)
{
        struct cursor cursor;
        struct value item;

        if (access_iterate(r, self, &cursor) && access_next(r, &cursor, &item))
                return item;
        return value_undefined(VALUE_ABSENT, str_of("first item"));
}

static bool is_reversible(struct value v)
{
        return v.kind != VALUE_ITERATOR && access_is_iterable(v);
}

static struct value filter_last(struct run *r, struct value self, const struct value *args)
{
        if (!is_reversible(self))
                return run_fail(r, "%s has no last item", value_type(self.kind));
        struct value all = access_collect(r, self, VALUE_LIST);

        return all.list->n ? all.list->items[all.list->n - 1] : value_undefined(VALUE_ABSENT, str_of("last item"));
}

static struct value filter_reverse(struct run *r, struct value self, const struct value *args)
{
        struct value all = access_collect(r, self, VALUE_LIST);
        struct value turned = run_list(r, self.kind == VALUE_ITERATOR ? VALUE_LIST : VALUE_ITERATOR);
        struct value from_end[3] = {{0}, {0}, value_int(-1)};

        if (self.kind == VALUE_STRING)
                return access_slice(r, self, from_end[0], from_end[1], from_end[2]);
        for (size_t i = all.list->n; i-- > 0 && run_ok(r);)
                run_push(r, turned, all.list->items[i]);
        return turned;
}

static struct value filter_items(struct run *r, struct value self, const struct value *args)
{
        struct value items = run_list(r, VALUE_ITERATOR);

        if (self.kind == VALUE_UNDEFINED)
                return items;
        if (self.kind != VALUE_DICT)
                return run_fail(r, "items takes a dict, found %s", value_type(self.kind));
        for (size_t i = 0; i < self.dict->n && run_ok(r); i++)
                run_push(r, items, run_pair(r, self.dict->pairs[i].key, self.dict->pairs[i].value));
        return items;
}

// The arguments after the first n.
static struct list rest_of(const struct list *list, size_t n)
{
        return (struct list){.items = list->items + n, .n = list->n - n, .cap = list->n - n};
}

static struct value filter_map(struct run *r, struct value self, const struct value *args)
{
        const struct list *positional = args[0].list;
        const struct value *path = run_get(r, args[1].dict, value_string(str_of("attribute"))),
                           *fallback = run_get(r, args[1].dict, value_string(str_of("default")));
        const struct builtin *filter = NULL;
        struct value mapped = run_list(r, VALUE_ITERATOR), item;
        struct cursor cursor;

        if (!value_truth(self))
                return mapped;
        if (positional->n == 0 && !path)
                return run_fail(r, "map needs the name of a filter or an attribute");
        if (positional->n > 0)
                filter = builtin_filter(print_text(r, positional->items[0]));
        if (positional->n > 0 && !filter)
                return run_fail(r, "map needs the name of a filter that is supported");
        if (!access_iterate(r, self, &cursor))
                return mapped;
        while (access_next(r, &cursor, &item)) {
                if (filter) {
                        struct list rest = rest_of(positional, 1);

                        run_push(r, mapped, call_builtin(r, filter, item, &rest, args[1].dict));
                        continue;
                }
                run_push(r, mapped, access_path(r, item, *path, fallback ? *fallback : (struct value){0}));
        }
        return mapped;
}

// Keeps the items for which a test of the item, or of its attribute, comes out as `want`.
static struct value pick(struct run *r, struct value self, const struct value *args, bool by_attr, bool want)
{
        const struct list *positional = args[0].list;
        struct value picked = run_list(r, VALUE_ITERATOR), item;
        const struct builtin *test = NULL;
        struct cursor cursor;

        if (by_attr && positional->n == 0)
                return run_fail(r, "the name of an attribute is missing");
        if (positional->n > by_attr) {
                test = builtin_test(print_text(r, positional->items[by_attr]));
                if (!test)
                        return run_fail(r, "the name of a test that is supported is missing");
        }
        if (!value_truth(self) || !access_iterate(r, self, &cursor))
                return value_truth(self) ? self : picked;
        while (access_next(r, &cursor, &item)) {
                struct value v = by_attr ? access_path(r, item, positional->items[0], none) : item;

                if (test) {
                        struct list rest = rest_of(positional, by_attr + 1u);

                        v = call_builtin(r, test, v, &rest, args[1].dict);
                }
                if (value_truth(v) == want)
                        run_push(r, picked, item);
        }
        return picked;
}

static struct value filter_select(struct run *r, struct value self, const struct value *args)
{
        return pick(r, self, args, false, true);
}

static struct value filter_reject(struct run *r, struct value self, const struct value *args)
{
        return pick(r, self, args, false, false);
}

static struct value filter_selectattr(struct run *r, struct value self, const struct value *args)
{
        return pick(r, self, args, true, true);
}

static struct value filter_rejectattr(struct run *r, struct value self, const struct value *args)
{
        return pick(r, self, args, true, false);
}

// What items are sorted by: a list, so that equal ones need no order, of the attributes that are named with commas
// between them; letter case folded unless it counts.
static struct value sort_key(struct run *r, struct value item, struct value path, bool case_counts)
{
        struct value keys = run_list(r, VALUE_LIST);
        size_t from = 0;

        if (path.kind != VALUE_STRING) {
                item = access_path(r, item, path, none);
                run_push(r, keys, case_counts ? item : sort_fold(r, item));
                return keys;
        }
        for (size_t comma = 0; comma != SIZE_MAX && run_ok(r); from = comma + 1) {
                comma = str_find(path.string, str_of(","), from);
                struct str part = str_part(path.string, from, comma == SIZE_MAX ? path.string.len : comma);
                struct value key = access_path(r, item, value_string(part), none);

                run_push(r, keys, case_counts ? key : sort_fold(r, key));
        }
        return keys;
}

static struct value filter_sort(struct run *r, struct value self, const struct value *args)
{
        enum { REVERSE, CASE_SENSITIVE, ATTRIBUTE };
        struct value all = access_collect(r, self, VALUE_LIST);
        struct pair *pairs = run_alloc(r, all.list->n * sizeof *pairs);

        if (!pairs)
                return all;
        for (size_t i = 0; i < all.list->n; i++)
                pairs[i] = (struct pair){
                        sort_key(r, all.list->items[i], args[ATTRIBUTE], value_truth(args[CASE_SENSITIVE])),
                        all.list->items[i]};
        sort_by_key(r, pairs, all.list->n, value_truth(args[REVERSE]));
        for (size_t i = 0; i < all.list->n; i++)
                all.list->items[i] = pairs[i].value;
        return all;
}

static struct value filter_unique(struct run *r, struct value self, const struct value *args)
{
        enum { CASE_SENSITIVE, ATTRIBUTE };
        struct value unique = run_list(r, VALUE_ITERATOR), seen = run_dict(r, VALUE_DICT), item;
        struct cursor cursor;

        if (!access_iterate(r, self, &cursor))
                return unique;
        while (access_next(r, &cursor, &item)) {
                struct value path = args[ATTRIBUTE];
                struct value key = access_path(r, item, path, none);

                if (!value_truth(args[CASE_SENSITIVE]))
                        key = sort_fold(r, key);
                if (!compare_hashable(r, key))
                        return run_fail(r, "unique cannot tell %s apart", value_type(key.kind));
                if (run_get(r, seen.dict, key))
                        continue;
                run_put(r, seen.dict, key, value_none());
                run_push(r, unique, item);
        }
        return unique;
}

static struct value extreme(struct run *r, struct value self, const struct value *args, int sign)
{
        struct value best = value_undefined(VALUE_ABSENT, str_of("item of an empty sequence")), best_key = {0}, item;
        struct cursor cursor;

        if (!access_iterate(r, self, &cursor))
                return best;
        while (access_next(r, &cursor, &item)) {
                struct value key = access_path(r, item, args[1], none);

                if (!value_truth(args[0]))
                        key = sort_fold(r, key);
                if (best_key.kind == VALUE_ABSENT || sign * compare_order(r, key, best_key) > 0) {
                        best = item;
                        best_key = key;
                }
        }
        return best;
}

static struct value filter_min(struct run *r, struct value self, const struct value *args)
{
        return extreme(r, self, args, -1);
}

static struct value filter_max(struct run *r, struct value self, const struct value *args)
{
        return extreme(r, self, args, 1);
}

static struct value filter_sum(struct run *r, struct value self, const struct value *args)
{
        struct value sum = args[1].kind == VALUE_ABSENT ? value_int(0) : args[1], item;
        struct cursor cursor;

        if (sum.kind == VALUE_STRING)
                return run_fail(r, "sum does not add strings");
        if (access_iterate(r, self, &cursor))
                while (access_next(r, &cursor, &item))
                        sum = arith_binary(r, OP_ADD, sum, access_path(r, item, args[0], none));
        return sum;
}

static struct value filter_dictsort(struct run *r, struct value self, const struct value *args)
{
        enum { CASE_SENSITIVE, BY, REVERSE };
        struct str by = args[BY].kind == VALUE_ABSENT ? str_of("key") : print_text(r, args[BY]);
        struct value sorted = run_list(r, VALUE_LIST);

        if (self.kind != VALUE_DICT)
                return run_fail(r, "dictsort takes a dict, found %s", value_type(self.kind));
        if (!str_equal(by, str_of("key")) && !str_equal(by, str_of("value")))
                return run_fail(r, "dictsort sorts by key or value");
        const struct pair *pairs = sort_pairs(
                r, self.dict, by.data[0] == 'v', !value_truth(args[CASE_SENSITIVE]), value_truth(args[REVERSE]));

        for (size_t i = 0; i < self.dict->n && run_ok(r); i++)
                run_push(r, sorted, run_pair(r, pairs[i].key, pairs[i].value));
        return sorted;
}

const struct builtin builtin_sequence_filters[] = {
        {"join", "d attribute", 0, filter_join},
        {"list", "", 0, filter_list},
        {"first", "", 0, filter_first},
        {"last", "", 0, filter_last},
        {"reverse", "", 0, filter_reverse},
        {"items", "", 0, filter_items},
        {"map", "*", 0, filter_map},
        {"select", "*", 0, filter_select},
        {"reject", "*", 0, filter_reject},
        {"selectattr", "*", 0, filter_selectattr},
        {"rejectattr", "*", 0, filter_rejectattr},
        {"sort", "reverse case_sensitive attribute", 0, filter_sort},
        {"unique", "case_sensitive attribute", 0, filter_unique},
        {"min", "case_sensitive attribute", 0, filter_min},
        {"max", "case_sensitive attribute", 0, filter_max},
        {"sum", "attribute start", 0, filter_sum},
        {"dictsort", "case_sensitive by reverse", 0, filter_dictsort},
        {0},
};
