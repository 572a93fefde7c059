// What the parts of the parser share: statements (parse.c) call down into expressions (expression.c), those into
// operands (operand.c). The first
// failure is kept and turns every further token into the end of the template, so callers need not check each step.
#ifndef DYNLORA_TEXT_JINJA_PARSER_H
#define DYNLORA_TEXT_JINJA_PARSER_H

#include "base/map.h"
#include "text/jinja/lex.h"
#include "text/jinja/tree.h"

struct parser {
        struct lexer lex;
        struct token now, ahead;
        struct tree *tree;
        struct map ids; // name -> its number
        int names_cap;
        int depth;   // of statements and expressions around this point
        int n_loops; // loops around this point that break would leave
        int n_safe;  // uses of the filter safe that are not the whole of a print
        int safe_line;
        struct node *macro; // around this point
        struct dyn_error *err;
        enum dyn_status status;
};

// DYN_INVALID or DYN_UNSUPPORTED; "line L: " is put before the text.
void parser_fail(struct parser *, enum dyn_status, int line, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

// Each level of nesting enters and leaves; false when it goes too deep.
bool parser_enter(struct parser *);
void parser_leave(struct parser *);

void parser_advance(struct parser *);

bool parser_at(const struct parser *, enum token_kind);
bool parser_at_word(const struct parser *, const char *word);

// Moves on if that stands here; the skip forms say whether it did, the expect forms fail if not.
bool parser_skip(struct parser *, enum token_kind);
bool parser_skip_word(struct parser *, const char *word);
bool parser_expect(struct parser *, enum token_kind, const char *what);
struct str parser_expect_name(struct parser *);

// Fails: `expected` should stand here.
void parser_unexpected(struct parser *, const char *expected);

// The number of a name; `bound`: the template gives it a value here.
int parser_name(struct parser *, struct str text, bool bound);

struct node *parser_node(struct parser *, enum node_kind, int line);

// Appends to a list of siblings whose end is *tail.
void parser_append(struct node ***tail, struct node *);

// expression.c and operand.c
struct node *parse_expression(struct parser *);

// An expression that an "if" after it does not belong to.
struct node *parse_expression_before_if(struct parser *);

// Expressions with commas between them: a tuple if there is a comma. Unless `conditional`, an "if" ends it.
struct node *parse_tuple(struct parser *, bool conditional);

// What operators stand between: a sign, a primary and what follows it.
struct node *parse_operand(struct parser *);

// The filters that stand here after bars, applied to `subject`, which is returned if there are none.
struct node *parse_filters(struct parser *, struct node *subject);

// The filter whose name stands here.
struct node *parse_filter(struct parser *, struct node *subject);

#endif
