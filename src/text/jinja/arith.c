// One function for each family of operators; what Python refuses is a failure of the run.
#include "text/jinja/arith.h"

#include "text/jinja/access.h"
#include "text/jinja/compare.h"
#include "text/jinja/print.h"
#include "text/jinja/words.h"

#include <math.h>

static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**", "~"};

static struct value too_large(struct run *r)
{
        return run_fail(r, "an integer does not fit 64 bits");
}

static struct value power(struct run *r, int64_t base, int64_t exponent)
{
        int64_t result = 1;

        if (exponent < 0) {
                if (base == 0)
                        return run_fail(r, "0 has no negative powers");
                return value_float(pow((double)base, (double)exponent));
        }
        if (base == 0 || base == 1 || base == -1)
                return value_int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base);
        for (; exponent > 0; exponent--)
                if (__builtin_mul_overflow(result, base, &result))
                        return too_large(r);
        return value_int(result);
}

static struct value integers(struct run *r, enum op op, int64_t a, int64_t b)
{
        int64_t result;

        switch (op) {
        case OP_ADD:
                return __builtin_add_overflow(a, b, &result) ? too_large(r) : value_int(result);
        case OP_SUB:
                return __builtin_sub_overflow(a, b, &result) ? too_large(r) : value_int(result);
        case OP_MUL:
                return __builtin_mul_overflow(a, b, &result) ? too_large(r) : value_int(result);
        case OP_POW:
                return power(r, a, b);
        default:
                break;
        }
        if (b == 0)
                return run_fail(r, "division by zero");
        if (op == OP_DIV)
                return value_float((double)a / (double)b);
        if (b == -1) // a / b may overflow
                return op == OP_MOD ? value_int(0) : integers(r, OP_SUB, 0, a);
        result = a % b;
        bool down = result != 0 && (result < 0) != (b < 0);

        return value_int(op == OP_MOD ? result + (down ? b : 0) : a / b - down);
}

static struct value reals(struct run *r, enum op op, double a, double b)
{
        double rest;

        switch (op) {
        case OP_ADD:
                return value_float(a + b);
        case OP_SUB:
                return value_float(a - b);
        case OP_MUL:
                return value_float(a * b);
        case OP_POW:
                if ((a == 0 && b < 0) || (a < 0 && b != floor(b)))
                        return run_fail(r, "a power that is no real number");
                rest = pow(a, b);
                return isinf(rest) && isfinite(a) && isfinite(b) ? run_fail(r, "a power is too large")
                                                                 : value_float(rest);
        default:
                break;
        }
        if (b == 0)
                return run_fail(r, "division by zero");
        if (op == OP_DIV)
                return value_float(a / b);
        rest = fmod(a, b);
        if (rest != 0 && (rest < 0) != (b < 0))
                rest += b;
        if (rest == 0)
                rest = copysign(0, b);
        if (op == OP_MOD)
                return value_float(rest);
        double quotient = (a - rest) / b, whole = floor(quotient);

        return value_float(quotient == 0 ? copysign(0, a / b) : whole + (quotient - whole > 0.5));
}

static struct value join_lists(struct run *r, struct value a, struct value b)
{
        struct value sum = run_list(r, a.kind);

        for (size_t i = 0; i < a.list->n && run_ok(r); i++)
                run_push(r, sum, a.list->items[i]);
        for (size_t i = 0; i < b.list->n && run_ok(r); i++)
                run_push(r, sum, b.list->items[i]);
        return sum;
}

static struct value repeat(struct run *r, struct value v, int64_t times)
{
        if (v.kind == VALUE_STRING)
                return value_string(words_repeat(r, v.string, times));
        struct value product = run_list(r, v.kind);

        for (; v.list->n > 0 && times > 0 && run_ok(r); times--)
                for (size_t i = 0; i < v.list->n && run_ok(r); i++)
                        run_push(r, product, v.list->items[i]);
        return product;
}

static bool is_sequence(struct value v)
{
        return v.kind == VALUE_STRING || v.kind == VALUE_LIST || v.kind == VALUE_TUPLE;
}

static struct value concat(struct run *r, struct value a, struct value b)
{
        struct str left = print_text(r, a);

        return value_string(run_join(r, left, print_text(r, b)));
}

struct value arith_binary(struct run *r, enum op op, struct value a, struct value b)
{
        if (op == OP_CONCAT)
                return concat(r, a, b);
        if (value_is_integral(a) && value_is_integral(b))
                return integers(r, op, value_integer(a), value_integer(b));
        if (value_is_number(a) && value_is_number(b))
                return reals(r, op, value_real(a), value_real(b));
        if (op == OP_MOD && a.kind == VALUE_STRING)
                return arith_format(r, a.string, b);
        if (a.kind == VALUE_UNDEFINED || b.kind == VALUE_UNDEFINED)
                return access_undefined(r, a.kind == VALUE_UNDEFINED ? a : b);
        if (op == OP_ADD && a.kind == b.kind && a.kind == VALUE_STRING)
                return value_string(run_join(r, a.string, b.string));
        if (op == OP_ADD && a.kind == b.kind && is_sequence(a))
                return join_lists(r, a, b);
        if (op == OP_MUL && is_sequence(a) && value_is_integral(b))
                return repeat(r, a, value_integer(b));
        if (op == OP_MUL && is_sequence(b) && value_is_integral(a))
                return repeat(r, b, value_integer(a));
        return run_fail(r, "%s %s %s has no meaning", value_type(a.kind), signs[op], value_type(b.kind));
}

bool arith_compare(struct run *r, enum op op, struct value a, struct value b)
{
        bool nan = (a.kind == VALUE_FLOAT && isnan(a.real)) || (b.kind == VALUE_FLOAT && isnan(b.real));

        switch (op) {
        case OP_EQ:
                return compare_equal(r, a, b);
        case OP_NE:
                return !compare_equal(r, a, b);
        case OP_IN:
                return compare_contains(r, b, a);
        case OP_NOT_IN:
                return !compare_contains(r, b, a);
        default:
                break;
        }
        int order = compare_order(r, a, b);

        if (nan)
                return false;
        return op == OP_LT ? order < 0 : op == OP_LE ? order <= 0 : op == OP_GT ? order > 0 : order >= 0;
}

struct value arith_sign(struct run *r, struct value v, bool negative)
{
        if (v.kind == VALUE_UNDEFINED)
                return access_undefined(r, v);
        if (!value_is_number(v))
                return run_fail(r, "%s has no sign", value_type(v.kind));
        if (v.kind == VALUE_FLOAT)
                return value_float(negative ? -v.real : v.real);
        return negative ? integers(r, OP_SUB, 0, value_integer(v)) : value_int(value_integer(v));
}
