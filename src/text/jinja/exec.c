// Statements: output goes to run.out, assignments to the innermost scope. Source for scoping: Jinja's template
// designer documentation, "Assignments": loops, macros and blocks have scopes of their own, if has none.
#include "text/jinja/eval.h"

#include "text/jinja/print.h"

static void assign_items(struct run *r, const struct node *target, struct value v)
{
        struct value items = access_collect(r, v, VALUE_TUPLE);
        size_t n = 0, i = 0;

        for (const struct node *t = target->first; t; t = t->next)
                n++;
        if (items.list->n != n) {
                run_fail(r, "expected %zu values to assign, found %zu", n, items.list->n);
                return;
        }
        for (const struct node *t = target->first; t && run_ok(r); t = t->next)
                exec_assign(r, t, items.list->items[i++]);
}

static void assign_member(struct run *r, const struct node *target, struct value v)
{
        struct value space = run_lookup(r, target->member.name);

        r->line = target->line;
        if (space.kind != VALUE_NAMESPACE)
                run_fail(r, "only a namespace has members that can be set, found %s", value_type(space.kind));
        else
                run_put(r, space.dict, value_string(target->member.member), v);
}

void exec_assign(struct run *r, const struct node *target, struct value v)
{
        if (!run_ok(r))
                return;
        if (target->kind == NODE_TUPLE)
                assign_items(r, target, v);
        else if (target->kind == NODE_MEMBER)
                assign_member(r, target, v);
        else
                run_assign(r, target->name, v);
}

// The turns of a loop; whether any of them came to the end of the body, without which "else" is due.
static bool turns(struct run *r, const struct node *n, struct loop *loop)
{
        struct scope *saved = r->scope, *scope = run_push_scope(r, saved);
        bool completed = false;

        while (scope && loop_advance(r, loop)) {
                scope->n = 0;
                r->scope = scope;
                run_assign(r, r->tree->loop, (struct value){.kind = VALUE_LOOP, .loop = loop});
                exec_assign(r, n->loop.target, loop->current);
                enum flow flow = exec_body(r, n->loop.body);

                if (flow == FLOW_BREAK)
                        break;
                completed |= flow == FLOW_NEXT;
        }
        r->scope = saved;
        return completed;
}

static enum flow exec_for(struct run *r, const struct node *n)
{
        struct loop *loop = run_alloc(r, sizeof *loop);
        struct value over = eval_value(r, n->loop.over);
        struct scope *saved = r->scope;
        enum flow flow = FLOW_NEXT;

        if (!loop)
                return FLOW_NEXT;
        *loop = (struct loop){.node = n, .outside = saved, .filtered = n->loop.test != NULL, .index = -1, .length = -1};
        r->line = n->line;
        if (!access_iterate(r, over, &loop->source))
                return FLOW_NEXT;
        if (!turns(r, n, loop) && n->loop.otherwise && run_push_scope(r, saved))
                flow = exec_body(r, n->loop.otherwise);
        r->scope = saved;
        return flow;
}

static enum flow exec_if(struct run *r, const struct node *n)
{
        while (!value_truth(eval_value(r, n->cond.test))) {
                const struct node *no = n->cond.no;

                if (!run_ok(r))
                        return FLOW_NEXT;
                if (!no || no->kind != NODE_IF || no->next)
                        return exec_body(r, no);
                n = no;
        }
        return exec_body(r, n->cond.yes);
}

// Runs a body in a scope of its own with its output in run.captured, then evaluates `head`, which may name that.
static enum flow capture(struct run *r, const struct node *body, const struct node *head, struct value *result)
{
        struct scope *saved = r->scope;
        struct value captured = r->captured;
        struct buf *out = r->out, text = {0};
        enum flow flow;

        if (!run_push_scope(r, saved))
                return FLOW_NEXT;
        r->out = &text;
        flow = exec_body(r, body);
        r->out = out;
        r->captured = value_string(run_take(r, &text));
        *result = eval_value(r, head);
        r->captured = captured;
        r->scope = saved;
        return flow;
}

static enum flow exec_set_block(struct run *r, const struct node *n)
{
        struct value v = value_none();
        enum flow flow = capture(r, n->set.body, n->set.value, &v);

        if (flow == FLOW_NEXT)
                exec_assign(r, n->set.target, v);
        return flow;
}

static enum flow exec_filter_block(struct run *r, const struct node *n)
{
        struct value v = value_none();
        enum flow flow = capture(r, n->block.body, n->block.head, &v);

        if (flow == FLOW_NEXT)
                print_value(r, r->out, v);
        return flow;
}

static enum flow exec_with(struct run *r, const struct node *n)
{
        struct scope *saved = r->scope, *inner = run_push_scope(r, saved);
        enum flow flow = FLOW_NEXT;

        for (const struct node *set = n->block.head; set && inner && run_ok(r); set = set->next) {
                r->scope = saved;
                struct value v = eval_value(r, set->set.value);

                r->scope = inner;
                exec_assign(r, set->set.target, v);
        }
        if (inner)
                flow = exec_body(r, n->block.body);
        r->scope = saved;
        return flow;
}

static struct value closure(struct run *r, const struct node *n)
{
        struct closure *c = run_alloc(r, sizeof *c);

        if (!c)
                return value_none();
        *c = (struct closure){n, r->scope};
        return (struct value){.kind = VALUE_MACRO, .macro = c};
}

// {% call m(...) %}: m is called with its own arguments and the block as "caller".
static void exec_call(struct run *r, const struct node *n)
{
        const struct node *call = n->macro.call;
        struct value block = closure(r, n), callee = eval_value(r, call->call.callee), positional, named;

        call_arguments(r, call->call.args, &positional, &named);
        run_put(r, named.dict, value_string(str_of("caller")), block);
        print_value(r, r->out, call_value(r, callee, positional.list, named.dict));
}

static enum flow exec_statement(struct run *r, const struct node *n)
{
        switch (n->kind) {
        case NODE_TEXT:
                run_write_str(r, r->out, n->text);
                return FLOW_NEXT;
        case NODE_PRINT:
                for (const struct node *e = n->first; e && run_ok(r); e = e->next)
                        print_value(r, r->out, eval_value(r, e));
                return FLOW_NEXT;
        case NODE_IF:
                return exec_if(r, n);
        case NODE_FOR:
                return exec_for(r, n);
        case NODE_SET:
                exec_assign(r, n->set.target, eval_value(r, n->set.value));
                return FLOW_NEXT;
        case NODE_SET_BLOCK:
                return exec_set_block(r, n);
        case NODE_MACRO:
                run_assign(r, n->macro.name, closure(r, n));
                return FLOW_NEXT;
        case NODE_CALL_BLOCK:
                exec_call(r, n);
                return FLOW_NEXT;
        case NODE_FILTER_BLOCK:
                return exec_filter_block(r, n);
        case NODE_WITH:
                return exec_with(r, n);
        case NODE_UNSET:
                for (const struct node *name = n->first; name && run_ok(r); name = name->next)
                        run_assign(r, name->name, value_undefined(VALUE_ABSENT, r->tree->names[name->name].text));
                return FLOW_NEXT;
        case NODE_BREAK:
                return FLOW_BREAK;
        case NODE_CONTINUE:
                return FLOW_CONTINUE;
        default:
                run_fail(r, "a value stands where a statement should");
                return FLOW_NEXT;
        }
}

enum flow exec_body(struct run *r, const struct node *body)
{
        enum flow flow = FLOW_NEXT;

        if (!run_enter(r))
                return FLOW_NEXT;
        for (const struct node *n = body; n && flow == FLOW_NEXT && run_spend(r, 1); n = n->next) {
                r->line = n->line;
                flow = exec_statement(r, n);
        }
        run_leave(r);
        return flow;
}
