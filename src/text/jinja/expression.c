// Expressions, from the loosest binding downward: a if b else c, or, and, not, comparisons, + -, ~, * / // %, **. What
// stands between the operators is read by operand.c.
#include "text/jinja/parser.h"

static struct node *binary(
        struct parser *p, enum node_kind kind, int line, enum op op, struct node *left, struct node *right)
{
        struct node *node = parser_node(p, kind, line);

        node->binary.op = op;
        node->binary.left = left;
        node->binary.right = right;
        return node;
}

// The operators that bind left to right, level by level.
static struct node *arithmetic(struct parser *p, int level)
{
        static const struct {
                int level;
                enum token_kind token;
                enum op op;
        } operators[] = {
                {0, TOKEN_ADD, OP_ADD},
                {0, TOKEN_SUB, OP_SUB},
                {1, TOKEN_TILDE, OP_CONCAT},
                {2, TOKEN_MUL, OP_MUL},
                {2, TOKEN_DIV, OP_DIV},
                {2, TOKEN_FLOORDIV, OP_FLOORDIV},
                {2, TOKEN_MOD, OP_MOD},
                {3, TOKEN_POW, OP_POW},
        };
        enum { N = sizeof operators / sizeof operators[0], LEVELS = 4 };

        if (level == LEVELS)
                return parse_operand(p);
        struct node *left = arithmetic(p, level + 1);

        for (;;) {
                int i = 0, line = p->now.line;

                while (i < N && (operators[i].level != level || operators[i].token != p->now.kind))
                        i++;
                if (i == N)
                        return left;
                parser_advance(p);
                left = binary(p, NODE_BINARY, line, operators[i].op, left, arithmetic(p, level + 1));
        }
}

// The comparison that stands here is passed; -1 if there is none.
static int comparison_operator(struct parser *p)
{
        static const enum op by_token[] = {
                [TOKEN_EQ] = OP_EQ,
                [TOKEN_NE] = OP_NE,
                [TOKEN_LT] = OP_LT,
                [TOKEN_LE] = OP_LE,
                [TOKEN_GT] = OP_GT,
                [TOKEN_GE] = OP_GE,
        };
        enum token_kind kind = p->now.kind;

        if (kind >= TOKEN_EQ && kind <= TOKEN_GE) {
                parser_advance(p);
                return (int)by_token[kind];
        }
        if (parser_skip_word(p, "in"))
                return OP_IN;
        if (parser_at_word(p, "not") && p->ahead.kind == TOKEN_NAME && str_equal(p->ahead.text, str_of("in"))) {
                parser_advance(p);
                parser_advance(p);
                return OP_NOT_IN;
        }
        return -1;
}

static struct node *comparison(struct parser *p)
{
        struct node *left = arithmetic(p, 0), *compare = NULL, **tail = NULL;
        int line = p->now.line, op;

        while ((op = comparison_operator(p)) >= 0) {
                if (!compare) {
                        compare = parser_node(p, NODE_COMPARE, line);
                        tail = &compare->first;
                        parser_append(&tail, left);
                }
                parser_append(&tail, binary(p, NODE_OPERAND, line, (enum op)op, NULL, arithmetic(p, 0)));
        }
        return compare ? compare : left;
}

static struct node *negation(struct parser *p)
{
        if (!parser_at_word(p, "not"))
                return comparison(p);
        struct node *node = parser_node(p, NODE_NOT, p->now.line);

        parser_advance(p);
        node->operand = parser_enter(p) ? negation(p) : NULL;
        parser_leave(p);
        return node;
}

static struct node *conjunction(struct parser *p)
{
        struct node *left = negation(p);

        while (parser_at_word(p, "and")) {
                int line = p->now.line;

                parser_advance(p);
                left = binary(p, NODE_AND, line, 0, left, negation(p));
        }
        return left;
}

struct node *parse_expression_before_if(struct parser *p)
{
        struct node *left = conjunction(p);

        while (parser_at_word(p, "or")) {
                int line = p->now.line;

                parser_advance(p);
                left = binary(p, NODE_OR, line, 0, left, conjunction(p));
        }
        return left;
}

struct node *parse_expression(struct parser *p)
{
        struct node *node = parse_expression_before_if(p);

        while (parser_at_word(p, "if")) {
                struct node *cond = parser_node(p, NODE_COND, p->now.line);

                parser_advance(p);
                cond->cond.yes = node;
                cond->cond.test = parse_expression_before_if(p);
                if (parser_skip_word(p, "else")) {
                        cond->cond.no = parser_enter(p) ? parse_expression(p) : NULL;
                        parser_leave(p);
                }
                node = cond;
        }
        return node;
}

struct node *parse_tuple(struct parser *p, bool conditional)
{
        struct node *one = conditional ? parse_expression(p) : parse_expression_before_if(p);

        if (!parser_at(p, TOKEN_COMMA))
                return one;
        struct node *tuple = parser_node(p, NODE_TUPLE, p->now.line), **tail = &tuple->first;

        parser_append(&tail, one);
        while (parser_skip(p, TOKEN_COMMA)) {
                if (parser_at(p, TOKEN_PRINT_END) || parser_at(p, TOKEN_TAG_END) || parser_at(p, TOKEN_RPAREN))
                        break;
                parser_append(&tail, conditional ? parse_expression(p) : parse_expression_before_if(p));
        }
        return tuple;
}
