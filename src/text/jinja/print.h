// Values as text: what {{ }} and str() write, what repr() writes inside of lists, and JSON.
#ifndef DYNLORA_TEXT_JINJA_PRINT_H
#define DYNLORA_TEXT_JINJA_PRINT_H

#include "text/jinja/run.h"

void print_value(struct run *, struct buf *, struct value);
void print_repr(struct run *, struct buf *, struct value);

// str(v); a string is returned as it is.
struct str print_text(struct run *, struct value);

// The shortest decimal that reads back as the same double, as Python writes it. `to` takes at least 48 bytes.
void print_real(char to[48], double);

struct json_style {
        bool ascii;                               // escape everything else
        bool sort_keys;                           //
        struct str indent;                        // one level; data is NULL for a single line
        struct str item_separator, key_separator; //
};

// As Python's json.dumps; what has no JSON form is a failure of the run.
void print_json(struct run *, struct buf *, struct value, const struct json_style *);

#endif
