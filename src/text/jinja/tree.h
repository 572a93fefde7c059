// A template as a tree: what the parser makes and the evaluator walks. Nodes, names and constants live as long as the
// tree and are never written after parsing, so one tree serves any number of renderings.
#ifndef DYNLORA_TEXT_JINJA_TREE_H
#define DYNLORA_TEXT_JINJA_TREE_H

#include "dynlora/status.h"
#include "text/jinja/pool.h"
#include "text/jinja/value.h"

enum node_kind {
        // expressions
        NODE_CONST,
        NODE_NAME,
        NODE_LIST,
        NODE_TUPLE,
        NODE_DICT,  // keys and values take turns in `first`
        NODE_ATTR,  // object.name
        NODE_ITEM,  // object[index]
        NODE_SLICE, // object[start:stop:step]
        NODE_CALL,
        NODE_KEYWORD, // name=value, only among arguments
        NODE_FILTER,
        NODE_TEST,
        NODE_NOT,
        NODE_NEGATIVE,
        NODE_POSITIVE,
        NODE_BINARY,
        NODE_AND,
        NODE_OR,
        NODE_COMPARE, // first, then operands
        NODE_OPERAND,
        NODE_COND,
        NODE_CAPTURED, // the text of the block that a filter stands at the head of
        // statements
        NODE_TEXT,
        NODE_PRINT,
        NODE_IF,
        NODE_FOR,
        NODE_SET,
        NODE_SET_BLOCK,
        NODE_MACRO,
        NODE_CALL_BLOCK,
        NODE_FILTER_BLOCK,
        NODE_WITH,
        NODE_BREAK,
        NODE_CONTINUE,
        NODE_UNSET, // names that start undefined here: shadow.h
        // only as a target of set
        NODE_MEMBER, // namespace.name
};

enum op {
        OP_ADD,
        OP_SUB,
        OP_MUL,
        OP_DIV,
        OP_FLOORDIV,
        OP_MOD,
        OP_POW,
        OP_CONCAT,
        OP_EQ,
        OP_NE,
        OP_LT,
        OP_LE,
        OP_GT,
        OP_GE,
        OP_IN,
        OP_NOT_IN,
};

struct node {
        enum node_kind kind;
        int line;
        struct node *next; // the sibling after it
        union {
                struct value constant; // NODE_CONST
                struct str text;       // NODE_TEXT
                int name;              // NODE_NAME: its number
                struct node *first;    // NODE_LIST, NODE_TUPLE, NODE_DICT, NODE_COMPARE, NODE_PRINT, NODE_UNSET: a list
                struct node *operand;  // NODE_NOT, NODE_NEGATIVE, NODE_POSITIVE
                struct {
                        struct node *object;
                        struct str name;
                } attr; // NODE_ATTR
                struct {
                        struct node *object, *index;
                } item; // NODE_ITEM
                struct {
                        struct node *object, *start, *stop, *step; // NULL where left out
                } slice;                                           // NODE_SLICE
                struct {
                        struct node *callee, *args;
                } call; // NODE_CALL
                struct {
                        struct str name;
                        struct node *value;
                } keyword; // NODE_KEYWORD
                struct {
                        struct node *subject, *args;
                        const struct builtin *builtin;
                } apply; // NODE_FILTER, NODE_TEST
                struct {
                        enum op op;
                        struct node *left, *right; // NODE_OPERAND has only a right one
                } binary;                          // NODE_BINARY, NODE_AND, NODE_OR, NODE_OPERAND
                struct {
                        struct node *test, *yes, *no; // no: NULL where left out
                } cond;                               // NODE_COND, NODE_IF (lists; `no` may be one NODE_IF: elif)
                struct {
                        struct node *target, *over, *test, *body, *otherwise;
                } loop; // NODE_FOR
                struct {
                        struct node *target, *value; // of NODE_SET_BLOCK the value is a filter or NODE_CAPTURED
                        struct node *body;
                } set; // NODE_SET, NODE_SET_BLOCK
                struct {
                        int name;            // of NODE_MACRO
                        struct node *call;   // of NODE_CALL_BLOCK
                        struct node *params; // NODE_SETs; a parameter without default has no value
                        struct node *body;
                        bool uses_varargs, uses_kwargs;
                } macro; // NODE_MACRO, NODE_CALL_BLOCK
                struct {
                        struct node *head; // NODE_FILTER_BLOCK: the filter; NODE_WITH: NODE_SETs, NULL in a plain scope
                        struct node *body;
                } block; // NODE_FILTER_BLOCK, NODE_WITH
                struct {
                        int name;
                        struct str member;
                } member; // NODE_MEMBER
        };
};

struct tree_name {
        struct str text;
        bool bound;      // something in the template gives it a value
        int called_line; // where it is first called, 0 if never
};

struct tree {
        struct pool pool;
        struct node *body;
        struct tree_name *names; // (n_names)
        int n_names;
        // names with a meaning of their own
        int loop, caller, varargs, kwargs;
};

// DYN_INVALID for what Jinja would not parse, DYN_UNSUPPORTED for what this reader does not know, both with the line.
// The tree is to be freed either way.
enum dyn_status tree_parse(struct tree *, struct str source, struct dyn_error *);

void tree_free(struct tree *);

#endif
