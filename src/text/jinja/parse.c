// Statements: one function each, named after the tag. Source: Jinja's template designer documentation; loop controls
// and the generation tag are the extensions that Hugging Face's chat templates are written for.
#include "text/jinja/parser.h"

#include "base/alloc.h"
#include "text/jinja/builtin.h"
#include "text/jinja/shadow.h"

#include <stdio.h>

enum { MAX_SOURCE = 1 << 20 };

static struct node *statement(struct parser *);

// What is printed is never escaped, so a print that ends in "| safe" is a print without it. Elsewhere the filter would
// make later "+" escape their other side, which chat templates never want; there it is refused.
static struct node *printed(struct parser *p, struct node *value)
{
        if (p->status != DYN_OK || value->kind != NODE_FILTER || strcmp(value->apply.builtin->name, "safe") != 0)
                return value;
        p->n_safe--;
        return value->apply.subject;
}

// Text, prints and statements up to a tag with one of the words (at most three; the rest NULL), which is then what
// stands here. No words: up to the end of the template.
static struct node *body(struct parser *p, const char *const ends[3])
{
        struct node *first = NULL, **tail = &first;

        if (!parser_enter(p))
                return NULL;
        while (p->now.kind != TOKEN_END) {
                struct token token = p->now;

                parser_advance(p);
                if (token.kind == TOKEN_TEXT) {
                        struct node *text = parser_node(p, NODE_TEXT, token.line);

                        text->text = token.text;
                        parser_append(&tail, text);
                } else if (token.kind == TOKEN_PRINT_BEGIN) {
                        struct node *print = parser_node(p, NODE_PRINT, token.line);

                        print->first = printed(p, parse_tuple(p, true));
                        parser_append(&tail, print);
                        parser_expect(p, TOKEN_PRINT_END, "}}");
                } else {
                        for (int i = 0; ends && i < 3 && ends[i]; i++)
                                if (parser_at_word(p, ends[i]))
                                        goto done;
                        parser_append(&tail, statement(p));
                        parser_expect(p, TOKEN_TAG_END, "%}");
                }
        }
        if (ends) {
                char what[80];

                snprintf(what, sizeof what, "{%% %s %%}", ends[ends[1] && ends[2] ? 2 : ends[1] ? 1 : 0]);
                parser_unexpected(p, what);
        }
done:
        parser_leave(p);
        return first;
}

// The body of a statement: its head ends here, and it goes on to one of the words.
static struct node *block(struct parser *p, const char *const ends[3])
{
        parser_skip(p, TOKEN_COLON);
        parser_expect(p, TOKEN_TAG_END, "%}");
        return body(p, ends);
}

// A block with one end, whose word is passed.
static struct node *block_to(struct parser *p, const char *end)
{
        struct node *first = block(p, (const char *const[3]){end});

        parser_advance(p);
        return first;
}

static bool is_constant_word(struct str name)
{
        static const char *const words[] = {"true", "false", "none", "True", "False", "None"};

        for (int i = 0; i < 6; i++)
                if (str_equal(name, str_of(words[i])))
                        return true;
        return false;
}

static struct node *name_target(struct parser *p)
{
        struct node *target = parser_node(p, NODE_NAME, p->now.line);
        struct str name = parser_expect_name(p);

        if (is_constant_word(name))
                parser_fail(p, DYN_INVALID, target->line, "%.*s cannot be assigned to", (int)name.len, name.data);
        target->name = parser_name(p, name, true);
        return target;
}

static struct node *target(struct parser *, bool members);

static struct node *one_target(struct parser *p, bool members)
{
        if (parser_skip(p, TOKEN_LPAREN)) {
                struct node *inner = parser_enter(p) ? target(p, members) : NULL;

                parser_leave(p);
                parser_expect(p, TOKEN_RPAREN, ")");
                return inner;
        }
        if (members && p->ahead.kind == TOKEN_DOT) {
                struct node *member = parser_node(p, NODE_MEMBER, p->now.line);

                member->member.name = parser_name(p, parser_expect_name(p), false);
                parser_advance(p);
                member->member.member = parser_expect_name(p);
                return member;
        }
        return name_target(p);
}

// What a value can be assigned to: a name, with `members` also a member of a namespace, or a tuple of them.
static struct node *target(struct parser *p, bool members)
{
        struct node *one = one_target(p, members);

        if (!parser_at(p, TOKEN_COMMA))
                return one;
        struct node *tuple = parser_node(p, NODE_TUPLE, p->now.line), **tail = &tuple->first;

        parser_append(&tail, one);
        while (parser_skip(p, TOKEN_COMMA)) {
                if (parser_at_word(p, "in") || parser_at(p, TOKEN_RPAREN))
                        break;
                parser_append(&tail, one_target(p, members));
        }
        return tuple;
}

static struct node *parse_if(struct parser *p, int line)
{
        static const char *const ends[3] = {"elif", "else", "endif"};
        struct node *node = parser_node(p, NODE_IF, line), *branch = node;

        for (;;) {
                branch->cond.test = parse_tuple(p, false);
                branch->cond.yes = block(p, ends);
                if (parser_at_word(p, "elif")) {
                        branch->cond.no = parser_node(p, NODE_IF, p->now.line);
                        branch = branch->cond.no;
                        parser_advance(p);
                        continue;
                }
                if (parser_skip_word(p, "else"))
                        branch->cond.no = block_to(p, "endif");
                else
                        parser_advance(p);
                return node;
        }
}

static struct node *parse_for(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_FOR, line);

        node->loop.target = target(p, false);
        if (!parser_skip_word(p, "in"))
                parser_unexpected(p, "in");
        node->loop.over = parse_tuple(p, false);
        if (parser_skip_word(p, "if"))
                node->loop.test = parse_expression(p);
        if (parser_at_word(p, "recursive"))
                parser_fail(p, DYN_UNSUPPORTED, p->now.line, "a recursive for loop is not supported");
        p->n_loops++;
        node->loop.body = block(p, (const char *const[3]){"endfor", "else"});
        p->n_loops--;
        if (parser_skip_word(p, "else"))
                node->loop.otherwise = block_to(p, "endfor");
        else
                parser_advance(p);
        return node;
}

static struct node *parse_set(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_SET, line);

        node->set.target = target(p, true);
        if (parser_skip(p, TOKEN_ASSIGN)) {
                node->set.value = parse_tuple(p, true);
                return node;
        }
        node->kind = NODE_SET_BLOCK;
        node->set.value = parse_filters(p, parser_node(p, NODE_CAPTURED, line));
        node->set.body = block_to(p, "endset");
        return node;
}

// The parameters of a macro or of a call block, in their brackets.
static struct node *params(struct parser *p)
{
        struct node *first = NULL, **tail = &first;
        bool defaults = false;

        parser_expect(p, TOKEN_LPAREN, "(");
        while (p->status == DYN_OK && !parser_at(p, TOKEN_RPAREN)) {
                if (first)
                        parser_expect(p, TOKEN_COMMA, ",");
                struct node *param = parser_node(p, NODE_SET, p->now.line);

                param->set.target = name_target(p);
                if (parser_skip(p, TOKEN_ASSIGN)) {
                        param->set.value = parse_expression(p);
                        defaults = true;
                } else if (defaults) {
                        parser_fail(p, DYN_INVALID, param->line, "a parameter without default follows one with");
                }
                parser_append(&tail, param);
        }
        parser_expect(p, TOKEN_RPAREN, ")");
        return first;
}

// A body of its own, out of which break and continue do not reach; `macro` is where it belongs.
static struct node *closed_block(struct parser *p, struct node *macro, const char *end)
{
        struct node *outer = p->macro;
        int n_loops = p->n_loops;

        p->n_loops = 0;
        p->macro = macro;
        struct node *first = block_to(p, end);

        p->macro = outer;
        p->n_loops = n_loops;
        return first;
}

static struct node *parse_macro(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_MACRO, line);

        node->macro.name = name_target(p)->name;
        node->macro.params = params(p);
        node->macro.body = closed_block(p, node, "endmacro");
        return node;
}

static struct node *parse_call(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_CALL_BLOCK, line);

        if (parser_at(p, TOKEN_LPAREN))
                node->macro.params = params(p);
        node->macro.call = parse_expression(p);
        if (p->status == DYN_OK && node->macro.call->kind != NODE_CALL)
                parser_fail(p, DYN_INVALID, line, "call is not followed by the call of a macro");
        node->macro.body = closed_block(p, node, "endcall");
        return node;
}

static struct node *parse_filter_block(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_FILTER_BLOCK, line);

        node->block.head = parse_filters(p, parse_filter(p, parser_node(p, NODE_CAPTURED, line)));
        node->block.body = block_to(p, "endfilter");
        return node;
}

static struct node *parse_with(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_WITH, line), **tail = &node->block.head;

        while (p->status == DYN_OK && !parser_at(p, TOKEN_TAG_END)) {
                if (node->block.head)
                        parser_expect(p, TOKEN_COMMA, ",");
                struct node *set = parser_node(p, NODE_SET, p->now.line);

                set->set.target = one_target(p, false);
                parser_expect(p, TOKEN_ASSIGN, "=");
                set->set.value = parse_expression(p);
                parser_append(&tail, set);
        }
        node->block.body = block_to(p, "endwith");
        return node;
}

// What the model is trained to say. For rendering it is a scope and nothing else.
static struct node *parse_generation(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_WITH, line);

        node->block.body = closed_block(p, p->macro, "endgeneration");
        return node;
}

static struct node *parse_print(struct parser *p, int line)
{
        struct node *node = parser_node(p, NODE_PRINT, line), **tail = &node->first;

        while (p->status == DYN_OK && !parser_at(p, TOKEN_TAG_END)) {
                if (node->first)
                        parser_expect(p, TOKEN_COMMA, ",");
                parser_append(&tail, parse_expression(p));
        }
        return node;
}

static struct node *loop_control(struct parser *p, enum node_kind kind, int line)
{
        if (p->n_loops == 0)
                parser_fail(p, DYN_INVALID, line, "break or continue stands outside of a loop");
        return parser_node(p, kind, line);
}

static struct node *parse_break(struct parser *p, int line)
{
        return loop_control(p, NODE_BREAK, line);
}

static struct node *parse_continue(struct parser *p, int line)
{
        return loop_control(p, NODE_CONTINUE, line);
}

static struct node *statement(struct parser *p)
{
        static const struct {
                const char *tag;
                struct node *(*parse)(struct parser *, int line);
        } statements[] = {
                {"if", parse_if},
                {"for", parse_for},
                {"set", parse_set},
                {"macro", parse_macro},
                {"call", parse_call},
                {"filter", parse_filter_block},
                {"with", parse_with},
                {"generation", parse_generation},
                {"print", parse_print},
                {"break", parse_break},
                {"continue", parse_continue},
        };
        struct str tag = p->now.text;
        int line = p->now.line;

        if (!parser_expect(p, TOKEN_NAME, "the name of a statement"))
                return NULL;
        for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
                if (str_equal(tag, str_of(statements[i].tag)))
                        return statements[i].parse(p, line);
        bool misplaced = (tag.len > 3 && memcmp(tag.data, "end", 3) == 0) || str_equal(tag, str_of("else")) ||
                         str_equal(tag, str_of("elif"));

        if (misplaced)
                parser_fail(p, DYN_INVALID, line, "{%% %.*s %%} closes nothing", (int)tag.len, tag.data);
        else
                parser_fail(p, DYN_UNSUPPORTED, line, "statement %.*s is not supported", (int)tag.len, tag.data);
        return NULL;
}

// A name that is called must be a function of ours or get its value from the template.
static void check_called_names(struct parser *p)
{
        for (int i = 0; i < p->tree->n_names; i++) {
                const struct tree_name *name = &p->tree->names[i];

                if (name->called_line && !name->bound && i != p->tree->caller && !builtin_function(name->text))
                        parser_fail(p, DYN_UNSUPPORTED, name->called_line, "function %.*s is not supported",
                                (int)name->text.len, name->text.data);
        }
}

enum dyn_status tree_parse(struct tree *tree, struct str source, struct dyn_error *err)
{
        struct parser p = {.tree = tree, .err = err, .status = DYN_OK};

        *tree = (struct tree){0};
        if (source.len > MAX_SOURCE)
                return dyn_fail(
                        err, DYN_INVALID, "expected a template of at most %d bytes, found %zu", MAX_SOURCE, source.len);
        lex_init(&p.lex, source, &tree->pool, err);
        tree->loop = parser_name(&p, str_of("loop"), false);
        tree->caller = parser_name(&p, str_of("caller"), false);
        tree->varargs = parser_name(&p, str_of("varargs"), false);
        tree->kwargs = parser_name(&p, str_of("kwargs"), false);
        parser_advance(&p);
        parser_advance(&p);
        tree->body = body(&p, NULL);
        if (p.status == DYN_OK)
                p.status = p.lex.status;
        if (p.status == DYN_OK && p.n_safe > 0)
                parser_fail(&p, DYN_UNSUPPORTED, p.safe_line, "filter safe inside of an expression is not supported");
        if (p.status == DYN_OK)
                check_called_names(&p);
        if (p.status == DYN_OK)
                shadow_names(tree);
        map_free(&p.ids);
        return p.status;
}

void tree_free(struct tree *tree)
{
        mem_free(tree->names);
        jinja_pool_free(&tree->pool);
}
