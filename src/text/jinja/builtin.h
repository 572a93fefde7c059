// The filters, tests, functions and methods that templates may name: one row each, looked up while parsing so that an
// unknown one is refused before anything runs. To add one, write its function and its row in the table of its file.
#ifndef DYNLORA_TEXT_JINJA_BUILTIN_H
#define DYNLORA_TEXT_JINJA_BUILTIN_H

#include "text/jinja/value.h"

struct run;

enum { BUILTIN_ARGS = 6 };

struct builtin {
        const char *name;
        // The arguments by name, required ones first, separated by spaces. "*": any number; then args[0] is a tuple of
        // those without a name and args[1] a dict of the others.
        const char *params;
        int required;
        // self: what stands left of the bar, of "is", or of the dot; absent for a function. Arguments that were not
        // given are absent. A failed call has told the run and may return anything.
        struct value (*call)(struct run *, struct value self, const struct value *args);
};

// A method of one value.
struct method {
        struct value self;
        const struct builtin *builtin;
};

// Each table ends with a row without name.
extern const struct builtin builtin_text_filters[], builtin_sequence_filters[], builtin_tests[], builtin_functions[],
        builtin_str_methods[], builtin_dict_methods[], builtin_list_methods[], builtin_tuple_methods[],
        builtin_loop_methods[];

// All answer NULL for what is not there.
const struct builtin *builtin_filter(struct str name);
const struct builtin *builtin_test(struct str name);
const struct builtin *builtin_function(struct str name);
const struct builtin *builtin_method(enum value_kind of, struct str name);

// Whether any kind of value has a method of that name.
bool builtin_is_method(struct str name);

// The position of a parameter, or -1.
int builtin_param(const struct builtin *, struct str name);
int builtin_n_params(const struct builtin *);

static inline bool builtin_is_variadic(const struct builtin *b)
{
        return b->params[0] == '*';
}

#endif
