// The parser's hands: the tokens at this point, names and nodes, and what happens on a failure.
#include "text/jinja/parser.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_DEPTH = 300 };

void parser_fail(struct parser *p, enum dyn_status status, int line, const char *format, ...)
{
        char text[400];
        va_list args;

        if (p->status != DYN_OK)
                return;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        p->status = dyn_fail(p->err, status, "line %d: %s", line, text);
        p->now = p->ahead = (struct token){.kind = TOKEN_END, .line = line};
}

bool parser_enter(struct parser *p)
{
        if (p->depth >= MAX_DEPTH)
                parser_fail(p, DYN_INVALID, p->now.line, "the template nests more than %d levels deep", MAX_DEPTH);
        p->depth++;
        return p->status == DYN_OK;
}

void parser_leave(struct parser *p)
{
        p->depth--;
}

void parser_advance(struct parser *p)
{
        if (p->status != DYN_OK)
                return;
        p->now = p->ahead;
        p->ahead = lex_next(&p->lex);
}

bool parser_at(const struct parser *p, enum token_kind kind)
{
        return p->now.kind == kind;
}

bool parser_at_word(const struct parser *p, const char *word)
{
        return p->now.kind == TOKEN_NAME && str_equal(p->now.text, str_of(word));
}

bool parser_skip(struct parser *p, enum token_kind kind)
{
        if (!parser_at(p, kind))
                return false;
        parser_advance(p);
        return true;
}

bool parser_skip_word(struct parser *p, const char *word)
{
        if (!parser_at_word(p, word))
                return false;
        parser_advance(p);
        return true;
}

void parser_unexpected(struct parser *p, const char *expected)
{
        struct str found = lex_describe(&p->now);

        if (p->now.kind == TOKEN_END && p->lex.status != DYN_OK)
                p->status = p->lex.status;
        else
                parser_fail(p, DYN_INVALID, p->now.line, "expected %s, found %.*s", expected,
                        (int)(found.len < 60 ? found.len : 60), found.data);
}

bool parser_expect(struct parser *p, enum token_kind kind, const char *what)
{
        if (parser_skip(p, kind))
                return true;
        parser_unexpected(p, what);
        return false;
}

struct str parser_expect_name(struct parser *p)
{
        struct str name = p->now.text;

        return parser_expect(p, TOKEN_NAME, "a name") ? name : (struct str){0};
}

int parser_name(struct parser *p, struct str text, bool bound)
{
        struct tree *tree = p->tree;
        uint64_t id;

        if (!text.data) // expected and not found
                return 0;
        if (!map_get(&p->ids, text.data, text.len, &id)) {
                if (tree->n_names == p->names_cap) {
                        p->names_cap = p->names_cap ? 2 * p->names_cap : 64;
                        tree->names = mem_realloc(tree->names, (size_t)p->names_cap * sizeof *tree->names);
                }
                id = (uint64_t)tree->n_names++;
                tree->names[id] = (struct tree_name){.text = text};
                map_put(&p->ids, text.data, text.len, id);
        }
        tree->names[id].bound |= bound;
        return (int)id;
}

struct node *parser_node(struct parser *p, enum node_kind kind, int line)
{
        struct node *node = jinja_pool_alloc(&p->tree->pool, sizeof *node);

        node->kind = kind;
        node->line = line;
        return node;
}

void parser_append(struct node ***tail, struct node *node)
{
        **tail = node;
        if (node)
                *tail = &node->next;
}
