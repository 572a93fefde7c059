// Calls: arguments are evaluated, matched with parameters, and given to a builtin or to a macro.
#include "text/jinja/builtin.h"
#include "text/jinja/eval.h"

void call_arguments(struct run *r, const struct node *args, struct value *positional, struct value *named)
{
        *positional = run_list(r, VALUE_TUPLE);
        *named = run_dict(r, VALUE_DICT);
        for (; args && run_ok(r); args = args->next) {
                if (args->kind == NODE_KEYWORD)
                        run_put(r, named->dict, value_string(args->keyword.name), eval_value(r, args->keyword.value));
                else
                        run_push(r, *positional, eval_value(r, args));
        }
}

// Puts each argument at the place of its parameter. False, and a failure, when they do not match.
static bool match(struct run *r, const struct builtin *b, const struct list *positional, const struct dict *named,
        struct value args[BUILTIN_ARGS])
{
        int n = builtin_n_params(b);

        if (positional->n > (size_t)n) {
                run_fail(r, "%s takes at most %d arguments, found %zu", b->name, n, positional->n);
                return false;
        }
        for (size_t i = 0; i < positional->n; i++)
                args[i] = positional->items[i];
        for (size_t i = 0; i < named->n; i++) {
                struct str name = named->pairs[i].key.string;
                int at = builtin_param(b, name);

                if (at < 0 || args[at].kind != VALUE_ABSENT) {
                        run_fail(r, "%s takes no argument %.*s here", b->name, (int)name.len, name.data);
                        return false;
                }
                args[at] = named->pairs[i].value;
        }
        for (int i = 0; i < b->required; i++)
                if (args[i].kind == VALUE_ABSENT) {
                        run_fail(r, "%s needs %d arguments", b->name, b->required);
                        return false;
                }
        return true;
}

struct value call_builtin(struct run *r, const struct builtin *b, struct value self, const struct list *positional,
        const struct dict *named)
{
        struct value args[BUILTIN_ARGS] = {0};

        if (!run_ok(r))
                return self;
        if (builtin_is_variadic(b)) {
                args[0] = (struct value){.kind = VALUE_TUPLE, .list = (struct list *)positional};
                args[1] = (struct value){.kind = VALUE_DICT, .dict = (struct dict *)named};
        } else if (!match(r, b, positional, named, args)) {
                return self;
        }
        return b->call(r, self, args);
}

// The value for a parameter: by position, by name, its default, or nothing.
static struct value argument(
        struct run *r, const struct node *param, size_t i, const struct list *positional, const struct dict *named)
{
        struct str name = r->tree->names[param->set.target->name].text;
        const struct value *by_name = run_get(r, named, value_string(name));

        if (i < positional->n)
                return positional->items[i];
        if (by_name)
                return *by_name;
        return param->set.value ? eval_value(r, param->set.value) : value_undefined(VALUE_ABSENT, name);
}

// The arguments that no parameter took, under the names varargs, kwargs and caller.
static void bind_rest(struct run *r, const struct node *macro, size_t n_params, const struct list *positional,
        const struct dict *named)
{
        struct value varargs = run_list(r, VALUE_TUPLE), kwargs = run_dict(r, VALUE_DICT);
        struct str caller_name = str_of("caller");
        const struct value *caller = run_get(r, named, value_string(caller_name));

        for (size_t i = n_params; i < positional->n; i++)
                run_push(r, varargs, positional->items[i]);
        for (size_t i = 0; i < named->n && run_ok(r); i++) {
                bool taken = str_equal(named->pairs[i].key.string, caller_name);

                for (const struct node *p = macro->macro.params; p && run_spend(r, 1); p = p->next)
                        taken |= str_equal(named->pairs[i].key.string, r->tree->names[p->set.target->name].text);
                if (!taken)
                        run_put(r, kwargs.dict, named->pairs[i].key, named->pairs[i].value);
        }
        if (!macro->macro.uses_varargs && varargs.list->n)
                run_fail(r, "a macro takes %zu arguments, found %zu", n_params, positional->n);
        if (!macro->macro.uses_kwargs && kwargs.dict->n)
                run_fail(r, "a macro takes no argument %.*s", (int)kwargs.dict->pairs[0].key.string.len,
                        kwargs.dict->pairs[0].key.string.data);
        run_assign(r, r->tree->varargs, varargs);
        run_assign(r, r->tree->kwargs, kwargs);
        run_assign(r, r->tree->caller, caller ? *caller : value_undefined(VALUE_ABSENT, caller_name));
}

static struct value call_closure(
        struct run *r, const struct closure *c, const struct list *positional, const struct dict *named)
{
        struct scope *saved = r->scope;
        struct buf *out = r->out, text = {0};
        size_t i = 0;

        if (!run_push_scope(r, c->scope))
                return value_none();
        r->out = &text;
        for (const struct node *param = c->node->macro.params; param && run_ok(r); param = param->next, i++)
                run_assign(r, param->set.target->name, argument(r, param, i, positional, named));
        bind_rest(r, c->node, i, positional, named);
        exec_body(r, c->node->macro.body);
        r->out = out;
        r->scope = saved;
        return value_string(run_take(r, &text));
}

struct value call_value(struct run *r, struct value callee, const struct list *positional, const struct dict *named)
{
        struct value result;

        if (!run_enter(r))
                return callee;
        switch (callee.kind) {
        case VALUE_FUNCTION:
                result = call_builtin(r, callee.function, value_none(), positional, named);
                break;
        case VALUE_METHOD:
                result = call_builtin(r, callee.method->builtin, callee.method->self, positional, named);
                break;
        case VALUE_MACRO:
                result = call_closure(r, callee.macro, positional, named);
                break;
        case VALUE_UNDEFINED:
                result = access_undefined(r, callee);
                break;
        default:
                result = run_fail(r, "%s cannot be called", value_type(callee.kind));
        }
        run_leave(r);
        return result;
}

struct str closure_name(const struct run *r, const struct closure *c)
{
        return c->node->kind == NODE_MACRO ? r->tree->names[c->node->macro.name].text : str_of("caller");
}
