// The words after "is". Source: Jinja's template designer documentation, "List of Builtin Tests".
#include "text/jinja/access.h"
#include "text/jinja/arith.h"
#include "text/jinja/builtin.h"
#include "text/jinja/compare.h"
#include "text/jinja/print.h"

static struct value test_defined(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind != VALUE_UNDEFINED);
}

static struct value test_undefined(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_UNDEFINED);
}

static struct value test_none(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_NONE);
}

static struct value test_boolean(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_BOOL);
}

static struct value test_true(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_BOOL && self.truth);
}

static struct value test_false(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_BOOL && !self.truth);
}

static struct value test_integer(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_INT);
}

static struct value test_float(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_FLOAT);
}

static struct value test_number(struct run *r, struct value self, const struct value *args)
{
        return value_bool(value_is_number(self));
}

static struct value test_string(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_STRING);
}

static struct value test_mapping(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind == VALUE_DICT);
}

static struct value test_iterable(struct run *r, struct value self, const struct value *args)
{
        return value_bool(access_is_iterable(self) || self.kind == VALUE_LOOP);
}

static struct value test_sequence(struct run *r, struct value self, const struct value *args)
{
        bool indexed = self.kind >= VALUE_STRING && self.kind <= VALUE_RANGE;

        return value_bool(indexed || self.kind == VALUE_DICT || self.kind == VALUE_UNDEFINED);
}

static struct value test_callable(struct run *r, struct value self, const struct value *args)
{
        return value_bool(self.kind >= VALUE_LOOP || self.kind == VALUE_UNDEFINED);
}

static struct value leaves(struct run *r, struct value self, struct value by, int64_t rest)
{
        return value_bool(compare_equal(r, arith_binary(r, OP_MOD, self, by), value_int(rest)));
}

static struct value test_odd(struct run *r, struct value self, const struct value *args)
{
        return leaves(r, self, value_int(2), 1);
}

static struct value test_even(struct run *r, struct value self, const struct value *args)
{
        return leaves(r, self, value_int(2), 0);
}

static struct value test_divisibleby(struct run *r, struct value self, const struct value *args)
{
        return leaves(r, self, args[0], 0);
}

// Whether there are letters and all that have a case have this one.
static struct value cased(struct run *r, struct value self, bool (*wanted)(int32_t), bool (*unwanted)(int32_t))
{
        struct str s = print_text(r, self);
        bool any = false;

        run_spend(r, s.len / 16);
        for (size_t pos = 0; pos < s.len;) {
                int32_t c = chars_next(s, &pos);

                if (unwanted(c))
                        return value_bool(false);
                any |= wanted(c);
        }
        return value_bool(any);
}

static struct value test_lower(struct run *r, struct value self, const struct value *args)
{
        return cased(r, self, chars_is_lower, chars_is_upper);
}

static struct value test_upper(struct run *r, struct value self, const struct value *args)
{
        return cased(r, self, chars_is_upper, chars_is_lower);
}

static struct value test_sameas(struct run *r, struct value self, const struct value *args)
{
        if (self.kind != args[0].kind)
                return value_bool(false);
        switch (self.kind) {
        case VALUE_NONE:
                return value_bool(true);
        case VALUE_BOOL:
                return value_bool(self.truth == args[0].truth);
        case VALUE_INT:
                return value_bool(self.integer == args[0].integer);
        case VALUE_STRING:
                return value_bool(str_equal(self.string, args[0].string));
        default:
                return value_bool(self.list == args[0].list);
        }
}

static struct value test_in(struct run *r, struct value self, const struct value *args)
{
        return value_bool(compare_contains(r, args[0], self));
}

static struct value test_eq(struct run *r, struct value self, const struct value *args)
{
        return value_bool(arith_compare(r, OP_EQ, self, args[0]));
}

static struct value test_ne(struct run *r, struct value self, const struct value *args)
{
        return value_bool(arith_compare(r, OP_NE, self, args[0]));
}

static struct value test_lt(struct run *r, struct value self, const struct value *args)
{
        return value_bool(arith_compare(r, OP_LT, self, args[0]));
}

static struct value test_le(struct run *r, struct value self, const struct value *args)
{
        return value_bool(arith_compare(r, OP_LE, self, args[0]));
}

static struct value test_gt(struct run *r, struct value self, const struct value *args)
{
        return value_bool(arith_compare(r, OP_GT, self, args[0]));
}

static struct value test_ge(struct run *r, struct value self, const struct value *args)
{
        return value_bool(arith_compare(r, OP_GE, self, args[0]));
}

const struct builtin builtin_tests[] = {
        {"defined", "", 0, test_defined},
        {"undefined", "", 0, test_undefined},
        {"none", "", 0, test_none},
        {"boolean", "", 0, test_boolean},
        {"true", "", 0, test_true},
        {"false", "", 0, test_false},
        {"integer", "", 0, test_integer},
        {"float", "", 0, test_float},
        {"number", "", 0, test_number},
        {"string", "", 0, test_string},
        {"mapping", "", 0, test_mapping},
        {"iterable", "", 0, test_iterable},
        {"sequence", "", 0, test_sequence},
        {"callable", "", 0, test_callable},
        {"odd", "", 0, test_odd},
        {"even", "", 0, test_even},
        {"divisibleby", "num", 1, test_divisibleby},
        {"lower", "", 0, test_lower},
        {"upper", "", 0, test_upper},
        {"sameas", "other", 1, test_sameas},
        {"in", "seq", 1, test_in},
        {"eq", "other", 1, test_eq},
        {"equalto", "other", 1, test_eq},
        {"==", "other", 1, test_eq},
        {"ne", "other", 1, test_ne},
        {"!=", "other", 1, test_ne},
        {"lt", "other", 1, test_lt},
        {"lessthan", "other", 1, test_lt},
        {"<", "other", 1, test_lt},
        {"le", "other", 1, test_le},
        {"<=", "other", 1, test_le},
        {"gt", "other", 1, test_gt},
        {"greaterthan", "other", 1, test_gt},
        {">", "other", 1, test_gt},
        {"ge", "other", 1, test_ge},
        {">=", "other", 1, test_ge},
        {0},
};
