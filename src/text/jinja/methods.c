// Methods of dict, list, tuple and loop; those that change their object are left out, as in Jinja's immutable sandbox.
// Source: the Python library reference, "Built-in Types".
#include "text/jinja/access.h"
#include "text/jinja/builtin.h"
#include "text/jinja/compare.h"
#include "text/jinja/eval.h"

static struct value dict_get(struct run *r, struct value self, const struct value *args)
{
        if (!compare_hashable(r, args[0]))
                return run_fail(r, "%s cannot be a key", value_type(args[0].kind));
        const struct value *v = run_get(r, self.dict, args[0]);

        return v ? *v : args[1].kind == VALUE_ABSENT ? value_none() : args[1];
}

static struct value view(struct run *r, struct value self, enum value_kind kind)
{
        struct value list = run_list(r, kind);

        for (size_t i = 0; i < self.dict->n && run_ok(r); i++) {
                struct pair pair = self.dict->pairs[i];

                run_push(r, list,
                        kind == VALUE_ITEMS  ? run_pair(r, pair.key, pair.value)
                        : kind == VALUE_KEYS ? pair.key
                                             : pair.value);
        }
        return list;
}

static struct value dict_items(struct run *r, struct value self, const struct value *args)
{
        return view(r, self, VALUE_ITEMS);
}

static struct value dict_keys(struct run *r, struct value self, const struct value *args)
{
        return view(r, self, VALUE_KEYS);
}

static struct value dict_values(struct run *r, struct value self, const struct value *args)
{
        return view(r, self, VALUE_VALUES);
}

// Nothing can change a dict or a list, so a copy is the thing itself.
static struct value copy(struct run *r, struct value self, const struct value *args)
{
        return self;
}

const struct builtin builtin_dict_methods[] = {
        {"get", "key default", 1, dict_get},
        {"items", "", 0, dict_items},
        {"keys", "", 0, dict_keys},
        {"values", "", 0, dict_values},
        {"copy", "", 0, copy},
        {0},
};

static struct value list_index(struct run *r, struct value self, const struct value *args)
{
        for (size_t i = 0; i < self.list->n && run_spend(r, 1); i++)
                if (compare_equal(r, self.list->items[i], args[0]))
                        return value_int((int64_t)i);
        return run_fail(r, "index finds nothing");
}

static struct value list_count(struct run *r, struct value self, const struct value *args)
{
        int64_t n = 0;

        for (size_t i = 0; i < self.list->n && run_spend(r, 1); i++)
                n += compare_equal(r, self.list->items[i], args[0]);
        return value_int(n);
}

const struct builtin builtin_list_methods[] = {
        {"index", "value", 1, list_index},
        {"count", "value", 1, list_count},
        {"copy", "", 0, copy},
        {0},
};

const struct builtin builtin_tuple_methods[] = {
        {"index", "value", 1, list_index},
        {"count", "value", 1, list_count},
        {0},
};

static struct value loop_cycle(struct run *r, struct value self, const struct value *args)
{
        const struct list *values = args[0].list;

        if (values->n == 0)
                return run_fail(r, "cycle needs values");
        return values->items[(size_t)self.loop->index % values->n];
}

static struct value loop_changed(struct run *r, struct value self, const struct value *args)
{
        struct value before = self.loop->changed;
        bool changed = before.kind == VALUE_ABSENT || !compare_equal(r, before, args[0]);

        self.loop->changed = args[0];
        return value_bool(changed);
}

const struct builtin builtin_loop_methods[] = {
        {"cycle", "*", 0, loop_cycle},
        {"changed", "*", 0, loop_changed},
        {0},
};
