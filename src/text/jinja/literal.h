// Strings and numbers as they are written in a template. Called by the lexer alone.
#ifndef DYNLORA_TEXT_JINJA_LITERAL_H
#define DYNLORA_TEXT_JINJA_LITERAL_H

#include "text/jinja/lex.h"

// Both return the offset behind the literal that starts at pos; if it is malformed *why says how.
// Escapes are Python's; the decoded bytes lie in the pool.
size_t literal_string(struct str source, size_t pos, struct pool *, struct str *out, const char **why);

// Fills kind and value of the token. A number after a dot (as in messages.0.role) is never a float.
size_t literal_number(struct str source, size_t pos, bool after_dot, struct token *, const char **why);

#endif
