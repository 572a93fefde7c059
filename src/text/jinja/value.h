// What a template computes with: Python's values as far as chat templates can tell. Values are small and passed by
// copy; strings, lists and dicts lie in the pool of the rendering (or in the JSON it was given) and never change once
// others can see them, except a namespace and an iterator's position.
#ifndef DYNLORA_TEXT_JINJA_VALUE_H
#define DYNLORA_TEXT_JINJA_VALUE_H

#include "text/jinja/chars.h"

enum value_kind {
        VALUE_ABSENT, // no value at all: an argument that was not given, a variable that was never set
        VALUE_UNDEFINED,
        VALUE_NONE,
        VALUE_BOOL,
        VALUE_INT,
        VALUE_FLOAT,
        VALUE_STRING,
        VALUE_LIST,
        VALUE_TUPLE,
        VALUE_RANGE,
        VALUE_KEYS,     // dict.keys() and its kin: a list that prints and indexes otherwise
        VALUE_VALUES,   //
        VALUE_ITEMS,    //
        VALUE_ITERATOR, // what map, select and their kin give: passes over its items once
        VALUE_DICT,
        VALUE_NAMESPACE,
        VALUE_LOOP,
        VALUE_MACRO,
        VALUE_FUNCTION,
        VALUE_METHOD,
};

struct value {
        enum value_kind kind;
        enum value_kind owner; // VALUE_UNDEFINED: what has no such attribute; VALUE_ABSENT for a variable
        union {
                bool truth;
                int64_t integer;
                double real;
                struct str string;              // VALUE_UNDEFINED: the name that was looked up
                struct list *list;              // VALUE_LIST to VALUE_ITERATOR
                struct dict *dict;              // VALUE_DICT, VALUE_NAMESPACE
                struct loop *loop;              // eval.h
                struct closure *macro;          // eval.h
                const struct builtin *function; // builtin.h
                struct method *method;          // builtin.h
        };
};

struct list {
        struct value *items; // (n)
        size_t n, cap;
        size_t next;      // the first item that an iterator has not given away
        struct str label; // how a range prints
};

struct pair {
        struct value key, value;
};

struct dict {
        struct pair *pairs; // (n), in the order of insertion
        size_t n, cap;
};

static inline struct value value_none(void)
{
        return (struct value){.kind = VALUE_NONE};
}

static inline struct value value_bool(bool truth)
{
        return (struct value){.kind = VALUE_BOOL, .truth = truth};
}

static inline struct value value_int(int64_t i)
{
        return (struct value){.kind = VALUE_INT, .integer = i};
}

static inline struct value value_float(double d)
{
        return (struct value){.kind = VALUE_FLOAT, .real = d};
}

static inline struct value value_string(struct str s)
{
        return (struct value){.kind = VALUE_STRING, .string = s};
}

// `name` was looked up in a value of kind `owner`, or among the variables if that is VALUE_ABSENT.
static inline struct value value_undefined(enum value_kind owner, struct str name)
{
        return (struct value){.kind = VALUE_UNDEFINED, .owner = owner, .string = name};
}

// Whether the items lie in v.list.
static inline bool value_is_listed(struct value v)
{
        return v.kind >= VALUE_LIST && v.kind <= VALUE_ITERATOR;
}

static inline bool value_is_number(struct value v)
{
        return v.kind == VALUE_BOOL || v.kind == VALUE_INT || v.kind == VALUE_FLOAT;
}

// bool and int, which Python does not tell apart in arithmetic.
static inline bool value_is_integral(struct value v)
{
        return v.kind == VALUE_BOOL || v.kind == VALUE_INT;
}

static inline int64_t value_integer(struct value v)
{
        return v.kind == VALUE_BOOL ? v.truth : v.integer;
}

static inline double value_real(struct value v)
{
        return v.kind == VALUE_FLOAT ? v.real : (double)value_integer(v);
}

bool value_truth(struct value);

// Python's name of the type, for messages.
const char *value_type(enum value_kind);

#endif
