// Looking up rows. Tables are short and names are looked up while parsing, so a walk does.
#include "text/jinja/builtin.h"

static const struct builtin *find(const struct builtin *table, struct str name)
{
        for (; table->name; table++)
                if (str_equal(str_of(table->name), name))
                        return table;
        return NULL;
}

const struct builtin *builtin_filter(struct str name)
{
        const struct builtin *b = find(builtin_text_filters, name);

        return b ? b : find(builtin_sequence_filters, name);
}

const struct builtin *builtin_test(struct str name)
{
        return find(builtin_tests, name);
}

const struct builtin *builtin_function(struct str name)
{
        return find(builtin_functions, name);
}

const struct builtin *builtin_method(enum value_kind of, struct str name)
{
        switch (of) {
        case VALUE_STRING:
                return find(builtin_str_methods, name);
        case VALUE_DICT:
                return find(builtin_dict_methods, name);
        case VALUE_LIST:
                return find(builtin_list_methods, name);
        case VALUE_TUPLE:
        case VALUE_RANGE:
                return find(builtin_tuple_methods, name);
        case VALUE_LOOP:
                return find(builtin_loop_methods, name);
        default:
                return NULL;
        }
}

bool builtin_is_method(struct str name)
{
        return find(builtin_str_methods, name) || find(builtin_dict_methods, name) ||
               find(builtin_list_methods, name) || find(builtin_loop_methods, name);
}

// Moves *list past its first word and returns it; empty at the end.
static struct str word(const char **list)
{
        size_t n = strcspn(*list, " ");
        struct str w = {*list, n};

        *list += n + ((*list)[n] == ' ');
        return w;
}

int builtin_param(const struct builtin *b, struct str name)
{
        const char *list = b->params;

        for (int i = 0;; i++) {
                struct str w = word(&list);

                if (w.len == 0)
                        return -1;
                if (str_equal(w, name))
                        return i;
        }
}

int builtin_n_params(const struct builtin *b)
{
        const char *list = b->params;
        int n = 0;

        while (word(&list).len > 0)
                n++;
        return n;
}
