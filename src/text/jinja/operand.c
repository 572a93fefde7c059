// Operands: literals, names and brackets, with the attributes, items, calls, filters and tests that follow them. A
// filter or test is looked up here, with the arguments that it takes.
#include "text/jinja/parser.h"

#include "base/buf.h"
#include "text/jinja/builtin.h"

static struct node *unary(struct parser *, bool with_filters);

static struct node *constant(struct parser *p, int line, struct value v)
{
        struct node *node = parser_node(p, NODE_CONST, line);

        node->constant = v;
        return node;
}

// "ab" 'cd' is one string.
static struct node *string(struct parser *p)
{
        struct token first = p->now;
        struct buf joined = {0};

        parser_advance(p);
        if (!parser_at(p, TOKEN_STRING))
                return constant(p, first.line, value_string(first.text));
        buf_append(&joined, first.text.data, first.text.len);
        for (; parser_at(p, TOKEN_STRING); parser_advance(p))
                buf_append(&joined, p->now.text.data, p->now.text.len);
        char *text = jinja_pool_alloc(&p->tree->pool, joined.len + 1);
        struct str whole = {text, joined.len};

        if (joined.len)
                memcpy(text, joined.data, joined.len);
        buf_free(&joined);
        return constant(p, first.line, value_string(whole));
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
        int n = 0, most = builtin_n_params(b);

        if (builtin_is_variadic(b))
                return;
        for (; args; args = args->next) {
                struct str name = args->keyword.name;

                if (args->kind != NODE_KEYWORD && ++n > most)
                        parser_fail(p, DYN_UNSUPPORTED, args->line,
                                "%s %s with more than %d arguments is not supported", what, b->name, most);
                if (args->kind == NODE_KEYWORD && builtin_param(b, name) < 0)
                        parser_fail(p, DYN_UNSUPPORTED, args->line, "argument %.*s of %s %s is not supported",
                                (int)name.len, name.data, what, b->name);
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

struct node *parse_operand(struct parser *p)
{
        return unary(p, true);
}
