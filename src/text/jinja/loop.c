// The object "loop" of a for statement. Source: Jinja's template designer documentation, "For".
#include "text/jinja/eval.h"

// The next item of the source that passes the filter of the for statement.
static bool pull(struct run *r, struct loop *loop, struct value *item)
{
        while (access_next(r, &loop->source, item)) {
                if (!loop->filtered)
                        return true;
                struct scope *saved = r->scope;
                bool passes = false;

                if (run_push_scope(r, loop->outside)) {
                        exec_assign(r, loop->node->loop.target, *item);
                        passes = value_truth(eval_value(r, loop->node->loop.test));
                }
                r->scope = saved;
                if (passes && run_ok(r))
                        return true;
        }
        return false;
}

// Looks one item ahead; VALUE_ABSENT at the end.
static struct value peek(struct run *r, struct loop *loop)
{
        if (loop->after.kind == VALUE_ABSENT && !pull(r, loop, &loop->after))
                loop->after = (struct value){0};
        return loop->after;
}

bool loop_advance(struct run *r, struct loop *loop)
{
        struct value next = loop->after;

        if (next.kind == VALUE_ABSENT && !pull(r, loop, &next))
                return false;
        loop->after = (struct value){0};
        loop->before = loop->current;
        loop->current = next;
        loop->index++;
        return run_ok(r);
}

int64_t loop_length(struct run *r, struct loop *loop)
{
        if (loop->length >= 0)
                return loop->length;
        if (!loop->filtered && loop->source.over.kind != VALUE_ITERATOR) {
                loop->length = access_length(r, loop->source.over);
                return loop->length;
        }
        struct value rest = run_list(r, VALUE_LIST), item;

        while (pull(r, loop, &item))
                run_push(r, rest, item);
        loop->source = (struct cursor){.over = rest};
        loop->filtered = false;
        loop->length = loop->index + 1 + (loop->after.kind != VALUE_ABSENT) + (int64_t)rest.list->n;
        return loop->length;
}

struct value loop_attr(struct run *r, struct loop *loop, struct str name)
{
        struct value v;

        if (str_equal(name, str_of("index")))
                return value_int(loop->index + 1);
        if (str_equal(name, str_of("index0")))
                return value_int(loop->index);
        if (str_equal(name, str_of("first")))
                return value_bool(loop->index == 0);
        if (str_equal(name, str_of("last")))
                return value_bool(peek(r, loop).kind == VALUE_ABSENT);
        if (str_equal(name, str_of("length")))
                return value_int(loop_length(r, loop));
        if (str_equal(name, str_of("revindex")))
                return value_int(loop_length(r, loop) - loop->index);
        if (str_equal(name, str_of("revindex0")))
                return value_int(loop_length(r, loop) - loop->index - 1);
        if (str_equal(name, str_of("depth")))
                return value_int(1);
        if (str_equal(name, str_of("depth0")))
                return value_int(0);
        if (str_equal(name, str_of("previtem")))
                return loop->index == 0 ? value_undefined(VALUE_ABSENT, name) : loop->before;
        if (str_equal(name, str_of("nextitem"))) {
                v = peek(r, loop);
                return v.kind == VALUE_ABSENT ? value_undefined(VALUE_ABSENT, name) : v;
        }
        return (struct value){0};
}
