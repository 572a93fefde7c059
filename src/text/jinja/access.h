// Reaching into values: attributes, items, slices, and going over what can be gone over.
#ifndef DYNLORA_TEXT_JINJA_ACCESS_H
#define DYNLORA_TEXT_JINJA_ACCESS_H

#include "text/jinja/run.h"

// Fails with what is missing: for operations that an undefined value does not have.
struct value access_undefined(struct run *, struct value undefined);

// object.name: an attribute, else an item of that key. object[index]: the other way round. Undefined if there is
// neither.
struct value access_attr(struct run *, struct value object, struct str name);
struct value access_item(struct run *, struct value object, struct value index);

// A dotted path such as "function.name" or "0.role", as the attribute arguments of filters have it. Each step that
// leads nowhere gives `fallback` unless that is absent.
struct value access_path(struct run *, struct value object, struct value path, struct value fallback);

// object[start:stop:step], parts left out being absent.
struct value access_slice(struct run *, struct value object, struct value start, struct value stop, struct value step);

// Python's len(); -1, and a failure, for what has none.
int64_t access_length(struct run *, struct value);

struct cursor {
        struct value over;
        size_t pos; // items given so far, in a string bytes
};

bool access_is_iterable(struct value);

// False, and a failure, for what cannot be gone over.
bool access_iterate(struct run *, struct value, struct cursor *);

// False at the end.
bool access_next(struct run *, struct cursor *, struct value *item);

// Everything that is left, as a new list of that kind.
struct value access_collect(struct run *, struct value, enum value_kind);

#endif
