// The functions that templates find without defining them: Jinja's, and the two that Hugging Face adds.
#include "text/jinja/access.h"
#include "text/jinja/builtin.h"
#include "text/jinja/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { MAX_RANGE = 100000 }; // as Jinja's sandbox has it

static struct value function_range(struct run *r, struct value self, const struct value *args)
{
        const struct list *given = args[0].list;
        struct value range = run_list(r, VALUE_RANGE);
        int64_t bounds[3] = {0, 0, 1}, start, stop, step;
        char label[96];

        if (args[1].dict->n || given->n < 1 || given->n > 3)
                return run_fail(r, "range takes one to three integers");
        for (size_t i = 0; i < given->n; i++) {
                if (!value_is_integral(given->items[i]))
                        return run_fail(r, "range takes integers, found %s", value_type(given->items[i].kind));
                bounds[given->n == 1 ? 1 : i] = value_integer(given->items[i]);
        }
        start = bounds[0], stop = bounds[1], step = bounds[2];
        if (step == 0)
                return run_fail(r, "the step of range must not be 0");
        for (int64_t i = start; (step > 0 ? i < stop : i > stop) && run_ok(r);) {
                if (range.list->n >= MAX_RANGE)
                        return run_fail(r, "a range is longer than %d", MAX_RANGE);
                run_push(r, range, value_int(i));
                if (__builtin_add_overflow(i, step, &i))
                        break;
        }
        if (given->n == 3)
                snprintf(label, sizeof label, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", start, stop, step);
        else
                snprintf(label, sizeof label, "range(%" PRId64 ", %" PRId64 ")", start, stop);
        if (run_ok(r))
                range.list->label = run_join(r, str_of(label), str_of(""));
        return range;
}

// The pairs of dict(...) and namespace(...): of a dict or of pairs, then those with names.
static struct value from_arguments(struct run *r, const struct value *args, enum value_kind kind)
{
        struct value made = run_dict(r, kind), item;
        struct cursor cursor;

        if (args[0].list->n > 1)
                return run_fail(r, "a dict is made of at most one argument without a name");
        if (args[0].list->n == 1 && access_iterate(r, args[0].list->items[0], &cursor))
                while (access_next(r, &cursor, &item)) {
                        struct value source = args[0].list->items[0], pair = item;

                        if (source.kind == VALUE_DICT)
                                pair = run_pair(r, item, *run_get(r, source.dict, item));
                        if (!(pair.kind == VALUE_TUPLE || pair.kind == VALUE_LIST) || pair.list->n != 2)
                                return run_fail(r, "a dict is made of pairs, found %s", value_type(pair.kind));
                        run_put(r, made.dict, pair.list->items[0], pair.list->items[1]);
                }
        for (size_t i = 0; i < args[1].dict->n && run_ok(r); i++)
                run_put(r, made.dict, args[1].dict->pairs[i].key, args[1].dict->pairs[i].value);
        return made;
}

static struct value function_dict(struct run *r, struct value self, const struct value *args)
{
        return from_arguments(r, args, VALUE_DICT);
}

static struct value function_namespace(struct run *r, struct value self, const struct value *args)
{
        return from_arguments(r, args, VALUE_NAMESPACE);
}

static struct value function_raise_exception(struct run *r, struct value self, const struct value *args)
{
        return run_raise(r, print_text(r, args[0]));
}

static struct value function_strftime_now(struct run *r, struct value self, const struct value *args)
{
        struct str given = print_text(r, args[0]), format = run_join(r, given, str_of(" "));
        char text[256];

        // The space keeps an empty result apart from one that did not fit.
        if (!run_ok(r))
                return value_none();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        size_t n = strftime(text, sizeof text, format.data, r->now);
#pragma GCC diagnostic pop

        if (n == 0)
                return run_fail(r, "strftime_now writes more than %zu bytes", sizeof text);
        return value_string(run_join(r, (struct str){text, n - 1}, str_of("")));
}

const struct builtin builtin_functions[] = {
        {"range", "*", 0, function_range},
        {"dict", "*", 0, function_dict},
        {"namespace", "*", 0, function_namespace},
        {"raise_exception", "message", 1, function_raise_exception},
        {"strftime_now", "format", 1, function_strftime_now},
        {0},
};
