// Text, openers and what stands inside tags, each with a function of its own. The rules for white space: a tag with "-"
// takes all white space on that side; %} and #} take one line end after them unless they say "+"; {% and {# take the
// white space before them on their line if nothing else is there. Source: Jinja's template designer documentation.
#include "text/jinja/lex.h"

#include "text/jinja/literal.h"

#include <string.h>

static struct token end(struct lexer *lex)
{
        return (struct token){.kind = TOKEN_END, .line = lex->line};
}

static struct token broken(struct lexer *lex, const char *what)
{
        lex->status = dyn_fail(lex->err, DYN_INVALID, "line %d: %s", lex->line, what);
        return end(lex);
}

void lex_init(struct lexer *lex, struct str source, struct pool *pool, struct dyn_error *err)
{
        char *copy = jinja_pool_alloc(pool, source.len + 1);
        size_t n = 0;

        for (size_t i = 0; i < source.len; i++) {
                if (source.data[i] == '\r' && i + 1 < source.len && source.data[i + 1] == '\n')
                        continue;
                copy[n++] = source.data[i] == '\r' ? '\n' : source.data[i];
        }
        if (n > 0 && copy[n - 1] == '\n')
                n--;
        *lex = (struct lexer){
                .source = {copy, n}, .line = 1, .line_starting = true, .pool = pool, .err = err, .status = DYN_OK};
}

static char at(const struct lexer *lex, size_t i)
{
        return i < lex->source.len ? lex->source.data[i] : '\0';
}

static bool starts(const struct lexer *lex, size_t i, const char *what)
{
        size_t n = strlen(what);

        return lex->source.len - i >= n && memcmp(lex->source.data + i, what, n) == 0;
}

static size_t skip_space(const struct lexer *lex, size_t i)
{
        while (i < lex->source.len) {
                size_t next = i;

                if (!chars_is_space(chars_next(lex->source, &next)))
                        break;
                i = next;
        }
        return i;
}

// Moves to `to`, counting the lines passed.
static void advance(struct lexer *lex, size_t to)
{
        for (; lex->pos < to; lex->pos++)
                lex->line += at(lex, lex->pos) == '\n';
}

// Past the closing mark of a tag at i, or SIZE_MAX if it does not stand there. `trims`: a line end after it goes too.
static size_t closer(const struct lexer *lex, size_t i, const char *mark, bool trims)
{
        if (at(lex, i) == '-' && starts(lex, i + 1, mark))
                return skip_space(lex, i + 3);
        if (trims && at(lex, i) == '+' && starts(lex, i + 1, mark))
                return i + 3;
        if (!starts(lex, i, mark))
                return SIZE_MAX;
        return i + 2 + (trims && at(lex, i + 2) == '\n');
}

static void pass_closer(struct lexer *lex, size_t to)
{
        advance(lex, to);
        lex->line_starting = at(lex, to - 1) == '\n';
        lex->state = LEX_TEXT;
}

// The text before an opener, without the white space that the opener takes.
static struct str before_opener(const struct lexer *lex, size_t open)
{
        struct str text = str_part(lex->source, lex->pos, open);
        char sign = at(lex, open + 2);

        if (sign == '-')
                return chars_strip(text, (struct str){0}, STRIP_RIGHT);
        if (sign == '+' || at(lex, open + 1) == '{')
                return text;
        size_t line = text.len;

        while (line > 0 && text.data[line - 1] != '\n')
                line--;
        if (line == 0 && !lex->line_starting)
                return text;
        return chars_strip(str_part(text, line, text.len), (struct str){0}, STRIP_BOTH).len ? text
                                                                                            : str_part(text, 0, line);
}

static struct token text_token(const struct lexer *lex, struct str text)
{
        return (struct token){.kind = TOKEN_TEXT, .line = lex->line, .text = text};
}

static struct token lex_text(struct lexer *lex)
{
        size_t open = lex->pos;

        while (open < lex->source.len &&
                !(at(lex, open) == '{' && at(lex, open + 1) && strchr("{%#", at(lex, open + 1))))
                open++;
        struct str text = open < lex->source.len ? before_opener(lex, open) : str_part(lex->source, lex->pos, open);
        struct token token = text_token(lex, text);

        advance(lex, open);
        lex->state = LEX_OPENER;
        return token;
}

// If {% raw %} opens at the position, past it, else 0.
static size_t raw_opener(const struct lexer *lex, size_t after_sign)
{
        size_t i = skip_space(lex, after_sign);

        if (!starts(lex, i, "raw"))
                return 0;
        i = closer(lex, skip_space(lex, i + 3), "%}", false);
        return i == SIZE_MAX ? 0 : i;
}

// Everything up to {% endraw %} as text.
static struct token lex_raw(struct lexer *lex, size_t from)
{
        pass_closer(lex, from);
        if (from >= lex->source.len) // Jinja lets these end with the template
                return end(lex);
        for (size_t i = from; i < lex->source.len; i++) {
                if (!starts(lex, i, "{%"))
                        continue;
                size_t word = skip_space(lex, i + 2 + (at(lex, i + 2) == '-' || at(lex, i + 2) == '+'));

                if (!starts(lex, word, "endraw"))
                        continue;
                size_t to = closer(lex, skip_space(lex, word + 6), "%}", true);

                if (to == SIZE_MAX)
                        continue;
                struct token token = text_token(lex, before_opener(lex, i));

                pass_closer(lex, to);
                return token;
        }
        return broken(lex, "{% raw %} is never closed");
}

static struct token lex_comment(struct lexer *lex)
{
        if (lex->pos >= lex->source.len)
                return end(lex);
        for (size_t i = lex->pos; i + 1 < lex->source.len; i++) {
                size_t to = closer(lex, i, "#}", true);

                if (to != SIZE_MAX) {
                        pass_closer(lex, to);
                        return lex_text(lex);
                }
        }
        return broken(lex, "a comment is never closed");
}

static struct token lex_opener(struct lexer *lex)
{
        if (lex->pos >= lex->source.len)
                return end(lex);
        char mark = at(lex, lex->pos + 1), sign = at(lex, lex->pos + 2);
        size_t after = lex->pos + 2 + (sign == '-' || sign == '+');
        size_t raw = mark == '%' ? raw_opener(lex, after) : 0;

        if (raw)
                return lex_raw(lex, raw);
        advance(lex, after);
        lex->line_starting = false;
        lex->n_brackets = 0;
        if (mark == '#')
                return lex_comment(lex);
        lex->state = mark == '%' ? LEX_TAG : LEX_PRINT;
        return (struct token){.kind = mark == '%' ? TOKEN_TAG_BEGIN : TOKEN_PRINT_BEGIN, .line = lex->line};
}

static const struct {
        char text[3];
        enum token_kind kind;
} operators[] = {
        {"//", TOKEN_FLOORDIV},
        {"**", TOKEN_POW},
        {"==", TOKEN_EQ},
        {"!=", TOKEN_NE},
        {">=", TOKEN_GE},
        {"<=", TOKEN_LE},
        {"+", TOKEN_ADD},
        {"-", TOKEN_SUB},
        {"*", TOKEN_MUL},
        {"/", TOKEN_DIV},
        {"%", TOKEN_MOD},
        {"~", TOKEN_TILDE},
        {"<", TOKEN_LT},
        {">", TOKEN_GT},
        {"=", TOKEN_ASSIGN},
        {".", TOKEN_DOT},
        {",", TOKEN_COMMA},
        {":", TOKEN_COLON},
        {";", TOKEN_SEMICOLON},
        {"|", TOKEN_PIPE},
        {"(", TOKEN_LPAREN},
        {")", TOKEN_RPAREN},
        {"[", TOKEN_LBRACKET},
        {"]", TOKEN_RBRACKET},
        {"{", TOKEN_LBRACE},
        {"}", TOKEN_RBRACE},
};

// Keeps account of open brackets, so that "}}" inside of a dict does not end a tag. False when they do not match.
static bool balance(struct lexer *lex, char c)
{
        if (c == '(' || c == '[' || c == '{') {
                if (lex->n_brackets == LEX_BRACKETS)
                        return false;
                lex->brackets[lex->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        }
        if (c == ')' || c == ']' || c == '}')
                return lex->n_brackets > 0 && lex->brackets[--lex->n_brackets] == c;
        return true;
}

static struct token lex_operator(struct lexer *lex)
{
        for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
                if (!starts(lex, lex->pos, operators[i].text))
                        continue;
                struct token token = {.kind = operators[i].kind, .line = lex->line, .text = str_of(operators[i].text)};

                if (!balance(lex, operators[i].text[0]))
                        return broken(lex, "brackets do not match or nest too deep");
                advance(lex, lex->pos + token.text.len);
                return token;
        }
        return broken(lex, "a character that is no part of the language");
}

static bool in_word(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80);
}

static struct token lex_literal(struct lexer *lex)
{
        struct token token = {.line = lex->line};
        size_t to;
        const char *why = NULL;

        if (at(lex, lex->pos) == '"' || at(lex, lex->pos) == '\'') {
                token.kind = TOKEN_STRING;
                to = literal_string(lex->source, lex->pos, lex->pool, &token.text, &why);
        } else {
                bool after_dot = lex->pos > 0 && at(lex, lex->pos - 1) == '.';

                to = literal_number(lex->source, lex->pos, after_dot, &token, &why);
        }
        if (why)
                return broken(lex, why);
        advance(lex, to);
        return token;
}

static struct token lex_inside(struct lexer *lex)
{
        bool tag = lex->state == LEX_TAG;

        advance(lex, skip_space(lex, lex->pos));
        if (lex->pos >= lex->source.len)
                return broken(lex, tag ? "a {% tag is never closed" : "a {{ tag is never closed");
        size_t to = lex->n_brackets ? SIZE_MAX : closer(lex, lex->pos, tag ? "%}" : "}}", tag);

        if (to != SIZE_MAX) {
                struct token token = {.kind = tag ? TOKEN_TAG_END : TOKEN_PRINT_END, .line = lex->line};

                pass_closer(lex, to);
                return token;
        }
        char c = at(lex, lex->pos);

        if (c == '"' || c == '\'' || (c >= '0' && c <= '9'))
                return lex_literal(lex);
        if (!in_word(c))
                return lex_operator(lex);
        struct token word = {.kind = TOKEN_NAME, .line = lex->line};

        for (to = lex->pos; in_word(at(lex, to));)
                to++;
        word.text = str_part(lex->source, lex->pos, to);
        advance(lex, to);
        return word;
}

struct token lex_next(struct lexer *lex)
{
        for (;;) {
                if (lex->status != DYN_OK)
                        return end(lex);
                struct token token = lex->state == LEX_TEXT     ? lex_text(lex)
                                     : lex->state == LEX_OPENER ? lex_opener(lex)
                                                                : lex_inside(lex);

                if (token.kind != TOKEN_TEXT || token.text.len > 0)
                        return token;
        }
}

struct str lex_describe(const struct token *token)
{
        switch (token->kind) {
        case TOKEN_END:
                return str_of("the end of the template");
        case TOKEN_TEXT:
                return str_of("text");
        case TOKEN_PRINT_BEGIN:
                return str_of("{{");
        case TOKEN_PRINT_END:
                return str_of("}}");
        case TOKEN_TAG_BEGIN:
                return str_of("{%");
        case TOKEN_TAG_END:
                return str_of("%}");
        case TOKEN_STRING:
                return str_of("a string");
        case TOKEN_INT:
        case TOKEN_FLOAT:
                return str_of("a number");
        default:
                return token->text;
        }
}
