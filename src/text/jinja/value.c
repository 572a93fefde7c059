// What can be said about a value without a rendering around it.
#include "text/jinja/value.h"

bool value_truth(struct value v)
{
        switch (v.kind) {
        case VALUE_ABSENT:
        case VALUE_UNDEFINED:
        case VALUE_NONE:
                return false;
        case VALUE_BOOL:
                return v.truth;
        case VALUE_INT:
                return v.integer != 0;
        case VALUE_FLOAT:
                return v.real != 0;
        case VALUE_STRING:
                return v.string.len != 0;
        case VALUE_LIST:
        case VALUE_TUPLE:
        case VALUE_RANGE:
        case VALUE_KEYS:
        case VALUE_VALUES:
        case VALUE_ITEMS:
                return v.list->n != 0;
        case VALUE_DICT:
                return v.dict->n != 0;
        default:
                return true;
        }
}

const char *value_type(enum value_kind kind)
{
        static const char *const names[] = {
                [VALUE_ABSENT] = "nothing",
                [VALUE_UNDEFINED] = "Undefined",
                [VALUE_NONE] = "None",
                [VALUE_BOOL] = "bool",
                [VALUE_INT] = "int",
                [VALUE_FLOAT] = "float",
                [VALUE_STRING] = "str",
                [VALUE_LIST] = "list",
                [VALUE_TUPLE] = "tuple",
                [VALUE_RANGE] = "range",
                [VALUE_KEYS] = "dict_keys",
                [VALUE_VALUES] = "dict_values",
                [VALUE_ITEMS] = "dict_items",
                [VALUE_ITERATOR] = "generator",
                [VALUE_DICT] = "dict",
                [VALUE_NAMESPACE] = "Namespace",
                [VALUE_LOOP] = "LoopContext",
                [VALUE_MACRO] = "Macro",
                [VALUE_FUNCTION] = "function",
                [VALUE_METHOD] = "method",
        };

        return names[kind];
}
