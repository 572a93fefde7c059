// Budget, memory and variables of a rendering.
#include "text/jinja/run.h"

#include "text/jinja/compare.h"

#include <stdarg.h>
#include <stdio.h>

// What calls return once the memory budget is used up: nothing is written to these.
static struct list no_list;
static struct dict no_dict;

static struct value undefined(void)
{
        return value_undefined(VALUE_ABSENT, (struct str){0});
}

struct value run_fail(struct run *r, const char *format, ...)
{
        char text[400];
        va_list args;

        if (!run_ok(r))
                return undefined();
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        r->status = dyn_fail(r->err, DYN_INVALID, "chat template, line %d: %s", r->line, text);
        return undefined();
}

struct value run_raise(struct run *r, struct str message)
{
        if (run_ok(r))
                r->status = dyn_fail(
                        r->err, DYN_INVALID, "%.*s", (int)(message.len < 400 ? message.len : 400), message.data);
        return undefined();
}

bool run_spend(struct run *r, size_t steps)
{
        if (!run_ok(r))
                return false;
        r->steps += steps;
        if (r->steps > RUN_MAX_STEPS)
                run_fail(r, "the template takes more than %d steps", RUN_MAX_STEPS);
        return run_ok(r);
}

bool run_enter(struct run *r)
{
        if (!run_spend(r, 1))
                return false;
        if (r->depth >= RUN_MAX_DEPTH) {
                run_fail(r, "values or calls nest more than %d levels deep", RUN_MAX_DEPTH);
                return false;
        }
        r->depth++;
        return true;
}

void run_leave(struct run *r)
{
        r->depth--;
}

static bool take_bytes(struct run *r, size_t bytes)
{
        if (!run_ok(r))
                return false;
        if (bytes > RUN_MAX_BYTES - r->bytes) {
                run_fail(r, "the template makes more than %d MiB of text and values", RUN_MAX_BYTES >> 20);
                return false;
        }
        r->bytes += bytes;
        return true;
}

void *run_alloc(struct run *r, size_t bytes)
{
        return take_bytes(r, bytes) ? jinja_pool_alloc(&r->pool, bytes) : NULL;
}

void run_write(struct run *r, struct buf *text, const char *data, size_t len)
{
        if (!take_bytes(r, len) || len == 0)
                return;
        if (text == r->out && len > RUN_MAX_OUTPUT - (text->len < RUN_MAX_OUTPUT ? text->len : RUN_MAX_OUTPUT))
                run_fail(r, "the template writes more than %d MiB", RUN_MAX_OUTPUT >> 20);
        else
                buf_append(text, data, len);
}

void run_write_str(struct run *r, struct buf *text, struct str s)
{
        run_write(r, text, s.data, s.len);
}

struct str run_take(struct run *r, struct buf *text)
{
        char *copy = run_alloc(r, text->len + 1);
        struct str s = {copy ? copy : "", copy ? text->len : 0};

        if (copy && text->len)
                memcpy(copy, text->data, text->len);
        buf_free(text);
        return s;
}

struct str run_join(struct run *r, struct str a, struct str b)
{
        char *joined = a.len > SIZE_MAX / 2 || b.len > SIZE_MAX / 2 ? NULL : run_alloc(r, a.len + b.len + 1);

        if (!joined)
                return (struct str){"", 0};
        if (a.len)
                memcpy(joined, a.data, a.len);
        if (b.len)
                memcpy(joined + a.len, b.data, b.len);
        return (struct str){joined, a.len + b.len};
}

// Room for one more element in an array of the pool. False when the budget is used up.
static bool grow(struct run *r, void **array, size_t n, size_t *cap, size_t size)
{
        if (n < *cap)
                return run_spend(r, 1);
        size_t more = *cap ? *cap * 2 : 4;
        void *moved = run_alloc(r, more * size);

        if (!moved)
                return false;
        if (n)
                memcpy(moved, *array, n * size);
        *array = moved;
        *cap = more;
        return run_spend(r, 1);
}

struct value run_list(struct run *r, enum value_kind kind)
{
        struct list *list = run_alloc(r, sizeof *list);

        return (struct value){.kind = kind, .list = list ? list : &no_list};
}

void run_push(struct run *r, struct value list, struct value item)
{
        struct list *l = list.list;
        void *items = l->items;

        if (!grow(r, &items, l->n, &l->cap, sizeof *l->items))
                return;
        l->items = items;
        l->items[l->n++] = item;
}

struct value run_pair(struct run *r, struct value a, struct value b)
{
        struct value pair = run_list(r, VALUE_TUPLE);

        run_push(r, pair, a);
        run_push(r, pair, b);
        return pair;
}

struct value run_dict(struct run *r, enum value_kind kind)
{
        struct dict *dict = run_alloc(r, sizeof *dict);

        return (struct value){.kind = kind, .dict = dict ? dict : &no_dict};
}

static struct value *find(struct run *r, const struct dict *dict, struct value key)
{
        if (!run_spend(r, dict->n / 4))
                return NULL;
        for (size_t i = 0; i < dict->n; i++)
                if (compare_equal(r, dict->pairs[i].key, key))
                        return &dict->pairs[i].value;
        return NULL;
}

void run_put(struct run *r, struct dict *dict, struct value key, struct value value)
{
        struct value *there = find(r, dict, key);
        void *pairs = dict->pairs;

        if (there) {
                *there = value;
                return;
        }
        if (!grow(r, &pairs, dict->n, &dict->cap, sizeof *dict->pairs))
                return;
        dict->pairs = pairs;
        dict->pairs[dict->n++] = (struct pair){key, value};
}

const struct value *run_get(struct run *r, const struct dict *dict, struct value key)
{
        return find(r, dict, key);
}

static struct value *variable(struct run *r, const struct scope *scope, int name)
{
        run_spend(r, scope->n / 4);
        for (size_t i = scope->n; i-- > 0;)
                if (scope->vars[i].name == name)
                        return &scope->vars[i].value;
        return NULL;
}

struct value run_lookup(struct run *r, int name)
{
        for (const struct scope *scope = r->scope; scope; scope = scope->up) {
                const struct value *v = variable(r, scope, name);

                if (v)
                        return *v;
        }
        return r->globals[name];
}

void run_assign(struct run *r, int name, struct value value)
{
        struct scope *scope = r->scope;
        struct value *there = scope ? variable(r, scope, name) : &r->globals[name];

        if (there) {
                *there = value;
                return;
        }
        void *vars = scope->vars;

        if (!grow(r, &vars, scope->n, &scope->cap, sizeof *scope->vars))
                return;
        scope->vars = vars;
        scope->vars[scope->n++] = (struct binding){name, value};
}

struct scope *run_push_scope(struct run *r, struct scope *up)
{
        struct scope *scope = run_alloc(r, sizeof *scope);

        if (scope) {
                scope->up = up;
                r->scope = scope;
        }
        return scope;
}
