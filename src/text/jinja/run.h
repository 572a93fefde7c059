// One rendering: its memory, its budget, its variables and its first failure. Everything that runs a template takes
// one. After a failure every call returns quickly with some value, and loops stop because spending fails, so callers
// check only where a wrong value would do harm. One thread; lives as long as the call of template_render.
#ifndef DYNLORA_TEXT_JINJA_RUN_H
#define DYNLORA_TEXT_JINJA_RUN_H

#include "base/buf.h"
#include "dynlora/status.h"
#include "text/jinja/tree.h"

#include <time.h>

// A template that wants more than this is refused: what the largest sane conversation needs, many times over, and
// about a second of work.
enum {
        RUN_MAX_STEPS = 5000000,
        RUN_MAX_BYTES = 256 << 20,
        RUN_MAX_OUTPUT = 32 << 20,
        RUN_MAX_DEPTH = 500,
};

struct binding {
        int name;
        struct value value;
};

// The variables of a loop's turn, a macro's call or a with block. Outside of all scopes, names are in run.globals.
struct scope {
        struct scope *up;
        struct binding *vars; // (n)
        size_t n, cap;
};

struct run {
        const struct tree *tree;
        const struct tm *now;
        struct pool pool;
        size_t bytes; // made so far: pool and text
        uint64_t steps;
        int depth;
        int line; // being worked on
        struct buf *out;
        struct value captured; // what NODE_CAPTURED stands for
        struct value *globals; // (n_names)
        struct scope *scope;
        struct dyn_error *err;
        enum dyn_status status;
};

static inline bool run_ok(const struct run *r)
{
        return r->status == DYN_OK;
}

// Keeps the first failure, DYN_INVALID with the line. Returns an undefined value, for `return run_fail(...)`.
struct value run_fail(struct run *, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The same with the template's own words and nothing else.
struct value run_raise(struct run *, struct str message);

// Takes steps from the budget; false (and a failure) when it is used up or something failed before.
bool run_spend(struct run *, size_t steps);

// One level of recursion; leave only if enter said true.
bool run_enter(struct run *);
void run_leave(struct run *);

// Zeroed. NULL, and a failure, when the budget is used up.
void *run_alloc(struct run *, size_t bytes);

// Appends to text, within the budget.
void run_write(struct run *, struct buf *, const char *data, size_t len);
void run_write_str(struct run *, struct buf *, struct str);

// The text as a string in the pool; the buffer is freed.
struct str run_take(struct run *, struct buf *);

// Concatenates.
struct str run_join(struct run *, struct str a, struct str b);

// An empty one of a kind from VALUE_LIST to VALUE_ITERATOR. Its list is never NULL.
struct value run_list(struct run *, enum value_kind);
void run_push(struct run *, struct value list, struct value item);
struct value run_pair(struct run *, struct value a, struct value b);

// VALUE_DICT or VALUE_NAMESPACE. A key that is there gets the new value in its old place.
struct value run_dict(struct run *, enum value_kind);
void run_put(struct run *, struct dict *, struct value key, struct value value);

// NULL if the key is not there.
const struct value *run_get(struct run *, const struct dict *, struct value key);

// VALUE_ABSENT if nothing has that name here.
struct value run_lookup(struct run *, int name);
void run_assign(struct run *, int name, struct value);

struct scope *run_push_scope(struct run *, struct scope *up);

#endif
