// Cuts the source of a template into tokens, the way Jinja does with trim_blocks and lstrip_blocks set: text outside of
// tags with its white space already controlled, and the words, literals and operators inside. Called by the parser
// alone; knows no grammar.
#ifndef DYNLORA_TEXT_JINJA_LEX_H
#define DYNLORA_TEXT_JINJA_LEX_H

#include "dynlora/status.h"
#include "text/jinja/chars.h"
#include "text/jinja/pool.h"

enum { LEX_BRACKETS = 200 };

enum token_kind {
        TOKEN_END,
        TOKEN_TEXT,
        TOKEN_PRINT_BEGIN, // {{
        TOKEN_PRINT_END,
        TOKEN_TAG_BEGIN, // {%
        TOKEN_TAG_END,
        TOKEN_NAME,
        TOKEN_STRING,
        TOKEN_INT,
        TOKEN_FLOAT,
        TOKEN_ADD,
        TOKEN_SUB,
        TOKEN_MUL,
        TOKEN_DIV,
        TOKEN_FLOORDIV,
        TOKEN_MOD,
        TOKEN_POW,
        TOKEN_TILDE,
        TOKEN_EQ,
        TOKEN_NE,
        TOKEN_LT,
        TOKEN_LE,
        TOKEN_GT,
        TOKEN_GE,
        TOKEN_ASSIGN,
        TOKEN_DOT,
        TOKEN_COMMA,
        TOKEN_COLON,
        TOKEN_SEMICOLON,
        TOKEN_PIPE,
        TOKEN_LPAREN,
        TOKEN_RPAREN,
        TOKEN_LBRACKET,
        TOKEN_RBRACKET,
        TOKEN_LBRACE,
        TOKEN_RBRACE,
};

struct token {
        enum token_kind kind;
        int line;        // from 1
        struct str text; // the word, the text, the decoded string
        int64_t integer; // TOKEN_INT
        double real;     // TOKEN_FLOAT
};

enum lex_state { LEX_TEXT, LEX_OPENER, LEX_PRINT, LEX_TAG };

struct lexer {
        struct str source; // line ends are \n
        size_t pos;
        int line;
        enum lex_state state;
        bool line_starting;          // whether what was just passed ended with a line end
        char brackets[LEX_BRACKETS]; // the closing ones awaited
        int n_brackets;
        struct pool *pool;
        struct dyn_error *err;
        enum dyn_status status; // once not DYN_OK, every token is TOKEN_END
};

// The source is copied into the pool.
void lex_init(struct lexer *, struct str source, struct pool *, struct dyn_error *);

struct token lex_next(struct lexer *);

// How a token reads in a message: its own text for words, a description for the others.
struct str lex_describe(const struct token *);

#endif
