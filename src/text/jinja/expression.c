// Expressions, from the loosest binding downward: a if b else c, or, and, not, comparisons, + -, ~, * / // %, **,
// signs, then what follows a primary: attributes, items, calls, filters and tests.
#include "text/jinja/parser.h"

#include "text/jinja/builtin.h"

static struct node *negation(struct parser *);

static struct node *unary(struct parser *, bool with_filters);

static struct node *constant(struct parser *p, int line, struct value v)
{
        struct node *node = parser_node(p, NODE_CONST, line);

        node->constant = v;
        return node;
}

static struct node *binary(
        struct parser *p, enum node_kind kind, int line, enum op op, struct node *left, struct node *right)
{
        struct node *node = parser_node(p, kind, line);

        node->binary.op = op;
        node->binary.left = left;
        node->binary.right = right;
        return node;
}

// "ab" 'cd' is one string.
static struct node *string(struct parser *p)
{
        struct token first = p->now;
        struct str text = first.text;

        parser_advance(p);
        while (parser_at(p, TOKEN_STRING)) {
                char *joined = pool_alloc(&p->tree->pool, text.len + p->now.text.len + 1);

                memcpy(joined, text.data, text.len);
                memcpy(joined + text.len, p->now.text.data, p->now.text.len);
                text = (struct str){joined, text.len + p->now.text.len};
                parser_advance(p);
        }
        return constant(p, first.line, value_string(text));
}

static struct node *name(struct parser *p)
{
        struct token token = p->now;

        parser_advance(p);
        if (str_equal(token.text, str_of("true")) || str_equal(token.text, str_of("True")))
                return constant(p, token.line, value_bool(true));
        if (str_equal(token.text, str_of("false")) || str_equal(token.text, str_of("False")))
                return constant(p, token.line, value_bool(false));
        if (str_equal(token.text, str_of("none")) || str_equal(token.text, str_of("None")))
                return constant(p, token.line, value_none());
        struct node *node = parser_node(p, NODE_NAME, token.line);

        node->name = parser_name(p, token.text, false);
        if (p->macro) {
                p->macro->macro.uses_varargs |= node->name == p->tree->varargs;
                p->macro->macro.uses_kwargs |= node->name == p->tree->kwargs;
        }
        return node;
}

// Expressions with commas between them up to the closing bracket, which is passed; a dict has "key: value".
static struct node *display(struct parser *p, enum node_kind kind, enum token_kind close, const char *close_text)
{
        struct node *node = parser_node(p, kind, p->now.line), **tail = &node->first;

        parser_advance(p);
        while (p->status == DYN_OK && !parser_at(p, close)) {
                if (node->first && (!parser_expect(p, TOKEN_COMMA, ",") || parser_at(p, close)))
                        break;
                parser_append(&tail, parse_expression(p));
                if (kind == NODE_DICT) {
                        parser_expect(p, TOKEN_COLON, ":");
                        parser_append(&tail, parse_expression(p));
                }
        }
        parser_expect(p, close, close_text);
        return node;
}

static struct node *parenthesised(struct parser *p)
{
        int line = p->now.line;

        parser_advance(p);
        if (parser_skip(p, TOKEN_RPAREN))
                return parser_node(p, NODE_TUPLE, line);
        struct node *node = parse_tuple(p, true);

        parser_expect(p, TOKEN_RPAREN, ")");
        return node;
}

static struct node *primary(struct parser *p)
{
        struct token token = p->now;

        switch (token.kind) {
        case TOKEN_NAME:
                return name(p);
        case TOKEN_STRING:
                return string(p);
        case TOKEN_INT:
                parser_advance(p);
                return constant(p, token.line, value_int(token.integer));
        case TOKEN_FLOAT:
                parser_advance(p);
                return constant(p, token.line, value_float(token.real));
        case TOKEN_LPAREN:
                return parenthesised(p);
        case TOKEN_LBRACKET:
                return display(p, NODE_LIST, TOKEN_RBRACKET, "]");
        case TOKEN_LBRACE:
                return display(p, NODE_DICT, TOKEN_RBRACE, "}");
        default:
                parser_expect(p, TOKEN_NAME, "an expression");
                return constant(p, token.line, value_none());
        }
}

// The arguments in their brackets: first those without a name, then the NODE_KEYWORDs.
static struct node *arguments(struct parser *p)
{
        struct node *first = NULL, **tail = &first;
        bool named = false;

        parser_expect(p, TOKEN_LPAREN, "(");
        while (p->status == DYN_OK && !parser_at(p, TOKEN_RPAREN)) {
                if (first && (!parser_expect(p, TOKEN_COMMA, ",") || parser_at(p, TOKEN_RPAREN)))
                        break;
                if (parser_at(p, TOKEN_MUL) || parser_at(p, TOKEN_POW)) {
                        parser_fail(p, DYN_UNSUPPORTED, p->now.line, "unpacking of arguments (*, **) is not supported");
                } else if (parser_at(p, TOKEN_NAME) && p->ahead.kind == TOKEN_ASSIGN) {
                        struct node *keyword = parser_node(p, NODE_KEYWORD, p->now.line);

                        keyword->keyword.name = parser_expect_name(p);
                        parser_advance(p);
                        keyword->keyword.value = parse_expression(p);
                        parser_append(&tail, keyword);
                        named = true;
                } else {
                        if (named)
                                parser_fail(p, DYN_INVALID, p->now.line, "an argument without name follows one with");
                        parser_append(&tail, parse_expression(p));
                }
        }
        parser_expect(p, TOKEN_RPAREN, ")");
        return first;
}

// One part of an index: an expression or a slice.
static struct node *subscribed(struct parser *p, struct node *object, int line)
{
        struct node *start = parser_at(p, TOKEN_COLON) ? NULL : parse_expression(p);

        if (!parser_skip(p, TOKEN_COLON)) {
                struct node *node = parser_node(p, NODE_ITEM, line);

                node->item.object = object;
                node->item.index = start;
                return node;
        }
        struct node *node = parser_node(p, NODE_SLICE, line);

        node->slice.object = object;
        node->slice.start = start;
        if (!parser_at(p, TOKEN_COLON) && !parser_at(p, TOKEN_RBRACKET))
                node->slice.stop = parse_expression(p);
        if (parser_skip(p, TOKEN_COLON) && !parser_at(p, TOKEN_RBRACKET))
                node->slice.step = parse_expression(p);
        return node;
}

static struct node *attribute(struct parser *p, struct node *object)
{
        struct node *node = parser_node(p, NODE_ATTR, p->now.line);

        parser_advance(p);
        if (parser_at(p, TOKEN_INT)) {
                node->kind = NODE_ITEM;
                node->item.object = object;
                node->item.index = constant(p, p->now.line, value_int(p->now.integer));
                parser_advance(p);
                return node;
        }
        node->attr.object = object;
        node->attr.name = parser_expect_name(p);
        return node;
}

static void check_callee(struct parser *p, const struct node *callee)
{
        if (callee->kind == NODE_ATTR && !builtin_is_method(callee->attr.name))
                parser_fail(p, DYN_UNSUPPORTED, callee->line, "method %.*s is not supported",
                        (int)callee->attr.name.len, callee->attr.name.data);
        if (callee->kind == NODE_NAME && !p->tree->names[callee->name].called_line)
                p->tree->names[callee->name].called_line = callee->line;
}

static struct node *call(struct parser *p, struct node *callee)
{
        struct node *node = parser_node(p, NODE_CALL, p->now.line);

        check_callee(p, callee);
        node->call.callee = callee;
        node->call.args = arguments(p);
        return node;
}

static struct node *postfix(struct parser *p, struct node *node)
{
        while (p->status == DYN_OK) {
                int line = p->now.line;

                if (parser_at(p, TOKEN_DOT)) {
                        node = attribute(p, node);
                } else if (parser_skip(p, TOKEN_LBRACKET)) {
                        node = subscribed(p, node, line);
                        parser_expect(p, TOKEN_RBRACKET, "]");
                } else if (parser_at(p, TOKEN_LPAREN)) {
                        node = call(p, node);
                } else {
                        break;
                }
        }
        return node;
}

// Arguments that the filter or test does not take are refused here; what is missing shows when it is called.
static void check_arguments(struct parser *p, const struct builtin *b, const char *what, const struct node *args)
{
        int n = 0;

        if (builtin_is_variadic(b))
                return;
        for (; args; args = args->next) {
                bool known = args->kind == NODE_KEYWORD ? builtin_param(b, args->keyword.name) >= 0
                                                        : ++n <= builtin_n_params(b);

                if (!known)
                        parser_fail(p, DYN_UNSUPPORTED, args->line, "argument %.*s of %s %s is not supported",
                                args->kind == NODE_KEYWORD ? (int)args->keyword.name.len : 6,
                                args->kind == NODE_KEYWORD ? args->keyword.name.data : "number", what, b->name);
        }
}

// map("upper"), select("odd"), selectattr("role", "equalto", "user"): a name in quotes is looked up now.
static void check_named(struct parser *p, const struct builtin *b, const struct node *args)
{
        bool by_attr = strcmp(b->name, "selectattr") == 0 || strcmp(b->name, "rejectattr") == 0;
        bool maps = strcmp(b->name, "map") == 0;

        if (!maps && !by_attr && strcmp(b->name, "select") != 0 && strcmp(b->name, "reject") != 0)
                return;
        if (by_attr && args)
                args = args->next;
        if (!args || args->kind != NODE_CONST || args->constant.kind != VALUE_STRING)
                return;
        struct str text = args->constant.string;

        if (maps ? !builtin_filter(text) : !builtin_test(text))
                parser_fail(p, DYN_UNSUPPORTED, args->line, "%s %.*s is not supported", maps ? "filter" : "test",
                        (int)text.len, text.data);
}

struct node *parse_filter(struct parser *p, struct node *subject)
{
        struct node *node = parser_node(p, NODE_FILTER, p->now.line);
        struct str text = parser_expect_name(p);

        node->apply.subject = subject;
        node->apply.builtin = builtin_filter(text);
        if (!node->apply.builtin) {
                parser_fail(p, DYN_UNSUPPORTED, node->line, "filter %.*s is not supported", (int)text.len, text.data);
                return node;
        }
        if (strcmp(node->apply.builtin->name, "safe") == 0) {
                p->n_safe++;
                p->safe_line = node->line;
        }
        if (parser_at(p, TOKEN_LPAREN))
                node->apply.args = arguments(p);
        check_arguments(p, node->apply.builtin, "filter", node->apply.args);
        check_named(p, node->apply.builtin, node->apply.args);
        return node;
}

struct node *parse_filters(struct parser *p, struct node *subject)
{
        while (parser_skip(p, TOKEN_PIPE))
                subject = parse_filter(p, subject);
        return subject;
}

// Whether an argument without brackets follows the name of a test: x is divisibleby 3.
static bool at_bare_argument(const struct parser *p)
{
        switch (p->now.kind) {
        case TOKEN_STRING:
        case TOKEN_INT:
        case TOKEN_FLOAT:
        case TOKEN_LBRACKET:
        case TOKEN_LBRACE:
                return true;
        case TOKEN_NAME:
                return !parser_at_word(p, "else") && !parser_at_word(p, "or") && !parser_at_word(p, "and");
        default:
                return false;
        }
}

static struct node *test(struct parser *p, struct node *subject)
{
        struct node *node = parser_node(p, NODE_TEST, p->now.line);

        parser_advance(p);
        bool negated = parser_skip_word(p, "not");
        struct str text = parser_expect_name(p);

        node->apply.subject = subject;
        node->apply.builtin = builtin_test(text);
        if (!node->apply.builtin) {
                parser_fail(p, DYN_UNSUPPORTED, node->line, "test %.*s is not supported", (int)text.len, text.data);
                return node;
        }
        if (parser_at(p, TOKEN_LPAREN)) {
                node->apply.args = arguments(p);
        } else if (parser_at_word(p, "is")) {
                parser_fail(p, DYN_INVALID, p->now.line, "tests cannot be chained with is");
        } else if (at_bare_argument(p) && parser_enter(p)) {
                node->apply.args = postfix(p, primary(p));
                parser_leave(p);
        }
        check_arguments(p, node->apply.builtin, "test", node->apply.args);
        if (!negated)
                return node;
        struct node *not = parser_node(p, NODE_NOT, node->line);

        not ->operand = node;
        return not ;
}

static struct node *filters_and_tests(struct parser *p, struct node *node)
{
        while (p->status == DYN_OK) {
                if (parser_skip(p, TOKEN_PIPE))
                        node = parse_filter(p, node);
                else if (parser_at_word(p, "is"))
                        node = test(p, node);
                else if (parser_at(p, TOKEN_LPAREN))
                        node = call(p, node);
                else
                        break;
        }
        return node;
}

static struct node *unary(struct parser *p, bool with_filters)
{
        struct node *node;

        if (!parser_enter(p))
                return constant(p, p->now.line, value_none());
        if (parser_at(p, TOKEN_SUB) || parser_at(p, TOKEN_ADD)) {
                node = parser_node(p, parser_at(p, TOKEN_SUB) ? NODE_NEGATIVE : NODE_POSITIVE, p->now.line);
                parser_advance(p);
                node->operand = unary(p, false);
        } else {
                node = primary(p);
        }
        node = postfix(p, node);
        parser_leave(p);
        return with_filters ? filters_and_tests(p, node) : node;
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
                return unary(p, true);
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
