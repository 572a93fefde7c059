// Expressions. Every node is a step and a level of recursion, so that no expression can run away.
#include "text/jinja/eval.h"

#include "text/jinja/arith.h"
#include "text/jinja/builtin.h"
#include "text/jinja/compare.h"

static struct value eval_name(struct run *r, const struct node *n)
{
        struct value v = run_lookup(r, n->name);

        if (v.kind != VALUE_ABSENT)
                return v;
        return value_undefined(VALUE_ABSENT, r->tree->names[n->name].text);
}

static struct value eval_items(struct run *r, const struct node *first, enum value_kind kind)
{
        struct value list = run_list(r, kind);

        for (const struct node *item = first; item && run_ok(r); item = item->next)
                run_push(r, list, eval_value(r, item));
        return list;
}

static struct value eval_dict(struct run *r, const struct node *n)
{
        struct value dict = run_dict(r, VALUE_DICT);

        for (const struct node *item = n->first; item && run_ok(r); item = item->next->next) {
                struct value key = eval_value(r, item);

                if (!compare_hashable(r, key))
                        return run_fail(r, "%s cannot be a key", value_type(key.kind));
                run_put(r, dict.dict, key, eval_value(r, item->next));
        }
        return dict;
}

static struct value eval_optional(struct run *r, const struct node *n)
{
        return n ? eval_value(r, n) : (struct value){0};
}

static struct value eval_slice(struct run *r, const struct node *n)
{
        struct value object = eval_value(r, n->slice.object), start = eval_optional(r, n->slice.start),
                     stop = eval_optional(r, n->slice.stop), step = eval_optional(r, n->slice.step);

        r->line = n->line;
        return access_slice(r, object, start, stop, step);
}

static struct value eval_call(struct run *r, const struct node *n)
{
        struct value callee = eval_value(r, n->call.callee), positional, named;

        call_arguments(r, n->call.args, &positional, &named);
        r->line = n->line;
        return call_value(r, callee, positional.list, named.dict);
}

static struct value eval_apply(struct run *r, const struct node *n)
{
        struct value subject = eval_value(r, n->apply.subject), positional, named;

        call_arguments(r, n->apply.args, &positional, &named);
        r->line = n->line;
        return call_builtin(r, n->apply.builtin, subject, positional.list, named.dict);
}

static struct value eval_binary(struct run *r, const struct node *n)
{
        struct value left = eval_value(r, n->binary.left), right = eval_value(r, n->binary.right);

        r->line = n->line;
        return arith_binary(r, n->binary.op, left, right);
}

static struct value eval_compare(struct run *r, const struct node *n)
{
        struct value left = eval_value(r, n->first);
        bool holds = true;

        for (const struct node *operand = n->first->next; operand && holds && run_ok(r); operand = operand->next) {
                struct value right = eval_value(r, operand->binary.right);

                r->line = operand->line;
                holds = arith_compare(r, operand->binary.op, left, right);
                left = right;
        }
        return value_bool(holds);
}

static struct value eval_cond(struct run *r, const struct node *n)
{
        if (value_truth(eval_value(r, n->cond.test)))
                return eval_value(r, n->cond.yes);
        return n->cond.no ? eval_value(r, n->cond.no) : value_undefined(VALUE_ABSENT, str_of("an if without else"));
}

static struct value eval_node(struct run *r, const struct node *n)
{
        struct value v;

        switch (n->kind) {
        case NODE_CONST:
                return n->constant;
        case NODE_NAME:
                return eval_name(r, n);
        case NODE_LIST:
                return eval_items(r, n->first, VALUE_LIST);
        case NODE_TUPLE:
                return eval_items(r, n->first, VALUE_TUPLE);
        case NODE_DICT:
                return eval_dict(r, n);
        case NODE_ATTR:
                v = eval_value(r, n->attr.object);
                r->line = n->line;
                return access_attr(r, v, n->attr.name);
        case NODE_ITEM:
                v = eval_value(r, n->item.object);
                return access_item(r, v, eval_value(r, n->item.index));
        case NODE_SLICE:
                return eval_slice(r, n);
        case NODE_CALL:
                return eval_call(r, n);
        case NODE_FILTER:
        case NODE_TEST:
                return eval_apply(r, n);
        case NODE_NOT:
                return value_bool(!value_truth(eval_value(r, n->operand)));
        case NODE_NEGATIVE:
        case NODE_POSITIVE:
                return arith_sign(r, eval_value(r, n->operand), n->kind == NODE_NEGATIVE);
        case NODE_BINARY:
                return eval_binary(r, n);
        case NODE_AND:
                v = eval_value(r, n->binary.left);
                return value_truth(v) ? eval_value(r, n->binary.right) : v;
        case NODE_OR:
                v = eval_value(r, n->binary.left);
                return value_truth(v) ? v : eval_value(r, n->binary.right);
        case NODE_COMPARE:
                return eval_compare(r, n);
        case NODE_COND:
                return eval_cond(r, n);
        case NODE_CAPTURED:
                return r->captured;
        default:
                return run_fail(r, "a statement stands where a value should");
        }
}

struct value eval_value(struct run *r, const struct node *n)
{
        if (!run_enter(r))
                return value_undefined(VALUE_ABSENT, (struct str){0});
        r->line = n->line;
        struct value v = eval_node(r, n);

        run_leave(r);
        return v;
}
