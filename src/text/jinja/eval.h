// Walking the tree: expressions to values (eval.c), statements to output (exec.c), calls (call.c) and loops (loop.c).
// Called by template.c to render and by filters that call back.
#ifndef DYNLORA_TEXT_JINJA_EVAL_H
#define DYNLORA_TEXT_JINJA_EVAL_H

#include "text/jinja/access.h"
#include "text/jinja/run.h"

struct builtin;

// A macro, or the block of a call, together with the variables around its definition.
struct closure {
        const struct node *node;
        struct scope *scope;
};

// What a turn of a loop knows as "loop". Items are taken from the source as they are needed, as in Python, so that a
// filter sees what the body did before.
struct loop {
        const struct node *node; // NODE_FOR
        struct scope *outside;
        struct cursor source;
        bool filtered;                       // items have yet to pass node->loop.test
        struct value current, before, after; // after: VALUE_ABSENT unless looked at already
        struct value changed;                // what changed() saw last
        int64_t index;                       // from 0; -1 before the first turn
        int64_t length;                      // -1 until somebody asks
};

enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

struct value eval_value(struct run *, const struct node *);

enum flow exec_body(struct run *, const struct node *body);

// Assigns to a target; a tuple takes as many items as it has places.
void exec_assign(struct run *, const struct node *target, struct value);

// Calls what `callee` is with arguments without and with names.
struct value call_value(struct run *, struct value callee, const struct list *positional, const struct dict *named);
struct value call_builtin(struct run *, const struct builtin *, struct value self, const struct list *positional,
        const struct dict *named);

// Evaluates arguments as they stand in the template.
void call_arguments(struct run *, const struct node *args, struct value *positional, struct value *named);

struct str closure_name(const struct run *, const struct closure *);

// The next item moves into loop->current; false at the end.
bool loop_advance(struct run *, struct loop *);
int64_t loop_length(struct run *, struct loop *);

// VALUE_ABSENT if loop has no such attribute.
struct value loop_attr(struct run *, struct loop *, struct str name);

#endif
