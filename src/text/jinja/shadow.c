// Two walks over each block: the first notes what it mentions itself, the second goes into the blocks inside. A name
// that an outer block mentions anywhere is that block's. Inside of an if, a name that is set may also not be set, and
// is looked up as if it had been read. Chains such as a + b + c are walked in a loop; the rest nests as deep as the
// parser let it.
#include "text/jinja/shadow.h"

#include "base/alloc.h"

struct walk {
        struct tree *tree;
        bool *mentioned; // (n_names): by the block walked or one around it
        int *noted;      // (n_names): those names, in the order of mention
        int n_noted;
        struct node *unset; // names of this block to be unset at its start
};

static void block(struct walk *, struct node **body, const struct node *owner);

static void mention(struct walk *w, int name)
{
        if (w->mentioned[name])
                return;
        w->mentioned[name] = true;
        w->noted[w->n_noted++] = name;
}

static void store(struct walk *w, int name, bool in_if)
{
        if (!w->mentioned[name] && !in_if) {
                struct node *node = jinja_pool_alloc(&w->tree->pool, sizeof *node);

                *node = (struct node){.kind = NODE_NAME, .next = w->unset, .name = name};
                w->unset = node;
        }
        mention(w, name);
}

static void read_list(struct walk *w, const struct node *first);

static void read(struct walk *w, const struct node *n)
{
        while (n) {
                switch (n->kind) {
                case NODE_NAME:
                        return mention(w, n->name);
                case NODE_LIST:
                case NODE_TUPLE:
                case NODE_DICT:
                case NODE_COMPARE:
                        return read_list(w, n->first);
                case NODE_ATTR:
                        n = n->attr.object;
                        break;
                case NODE_ITEM:
                        read(w, n->item.index);
                        n = n->item.object;
                        break;
                case NODE_SLICE:
                        read(w, n->slice.start);
                        read(w, n->slice.stop);
                        read(w, n->slice.step);
                        n = n->slice.object;
                        break;
                case NODE_CALL:
                        read_list(w, n->call.args);
                        n = n->call.callee;
                        break;
                case NODE_KEYWORD:
                        n = n->keyword.value;
                        break;
                case NODE_FILTER:
                case NODE_TEST:
                        read_list(w, n->apply.args);
                        n = n->apply.subject;
                        break;
                case NODE_NOT:
                case NODE_NEGATIVE:
                case NODE_POSITIVE:
                        n = n->operand;
                        break;
                case NODE_BINARY:
                case NODE_AND:
                case NODE_OR:
                case NODE_OPERAND:
                        read(w, n->binary.right);
                        n = n->binary.left;
                        break;
                case NODE_COND:
                        read(w, n->cond.test);
                        read(w, n->cond.no);
                        n = n->cond.yes;
                        break;
                default:
                        return;
                }
        }
}

static void read_list(struct walk *w, const struct node *first)
{
        for (const struct node *n = first; n; n = n->next)
                read(w, n);
}

// The next branch of an if statement when that is an elif, else NULL.
static struct node *next_branch(const struct node *branch)
{
        struct node *no = branch->cond.no;

        return no && no->kind == NODE_IF && !no->next ? no : NULL;
}

static void assign(struct walk *w, const struct node *target, bool in_if)
{
        if (target->kind == NODE_TUPLE)
                for (const struct node *t = target->first; t; t = t->next)
                        assign(w, t, in_if);
        else if (target->kind == NODE_MEMBER)
                mention(w, target->member.name);
        else
                store(w, target->name, in_if);
}

static void note(struct walk *, const struct node *body, bool in_if);

static void note_if(struct walk *w, const struct node *branch)
{
        for (; branch; branch = next_branch(branch)) {
                read(w, branch->cond.test);
                note(w, branch->cond.yes, true);
                if (!next_branch(branch))
                        note(w, branch->cond.no, true);
        }
}

// What the statements of a block mention themselves, without the blocks inside.
static void note(struct walk *w, const struct node *body, bool in_if)
{
        for (const struct node *n = body; n; n = n->next) {
                switch (n->kind) {
                case NODE_PRINT:
                        read_list(w, n->first);
                        break;
                case NODE_IF:
                        note_if(w, n);
                        break;
                case NODE_FOR:
                        read(w, n->loop.over);
                        break;
                case NODE_SET:
                        read(w, n->set.value);
                        assign(w, n->set.target, in_if);
                        break;
                case NODE_SET_BLOCK:
                        assign(w, n->set.target, in_if);
                        break;
                case NODE_MACRO:
                        store(w, n->macro.name, in_if);
                        break;
                case NODE_CALL_BLOCK:
                        read(w, n->macro.call);
                        break;
                case NODE_FILTER_BLOCK:
                        read(w, n->block.head);
                        break;
                case NODE_WITH:
                        for (const struct node *set = n->block.head; set; set = set->next)
                                read(w, set->set.value);
                        break;
                default:
                        break;
                }
        }
}

static void inner_blocks(struct walk *w, struct node *body)
{
        for (struct node *n = body; n; n = n->next) {
                switch (n->kind) {
                case NODE_IF:
                        for (struct node *branch = n; branch; branch = next_branch(branch)) {
                                inner_blocks(w, branch->cond.yes);
                                if (!next_branch(branch))
                                        inner_blocks(w, branch->cond.no);
                        }
                        break;
                case NODE_FOR:
                        block(w, &n->loop.body, n);
                        block(w, &n->loop.otherwise, NULL);
                        break;
                case NODE_SET_BLOCK:
                        block(w, &n->set.body, NULL);
                        break;
                case NODE_MACRO:
                case NODE_CALL_BLOCK:
                        block(w, &n->macro.body, n);
                        break;
                case NODE_FILTER_BLOCK:
                case NODE_WITH:
                        block(w, &n->block.body, n);
                        break;
                default:
                        break;
                }
        }
}

static void bind_targets(struct walk *w, const struct node *target)
{
        if (target->kind == NODE_TUPLE)
                for (const struct node *t = target->first; t; t = t->next)
                        bind_targets(w, t);
        else
                mention(w, target->name);
}

// The names that the owner of a block gives values to before it starts.
static void bind_head(struct walk *w, const struct node *owner)
{
        const struct node *sets = NULL;

        if (owner->kind == NODE_FOR) {
                mention(w, w->tree->loop);
                bind_targets(w, owner->loop.target);
        } else if (owner->kind == NODE_MACRO || owner->kind == NODE_CALL_BLOCK) {
                mention(w, w->tree->caller);
                mention(w, w->tree->varargs);
                mention(w, w->tree->kwargs);
                sets = owner->macro.params;
        } else if (owner->kind == NODE_WITH) {
                sets = owner->block.head;
        }
        for (const struct node *set = sets; set; set = set->next)
                bind_targets(w, set->set.target);
        if (sets && owner->kind != NODE_WITH)
                for (const struct node *set = sets; set; set = set->next)
                        read(w, set->set.value);
}

static void block(struct walk *w, struct node **body, const struct node *owner)
{
        struct node *outer = w->unset;
        int n_outer = w->n_noted;

        w->unset = NULL;
        if (owner)
                bind_head(w, owner);
        note(w, *body, false);
        if (w->unset) {
                struct node *node = jinja_pool_alloc(&w->tree->pool, sizeof *node);

                *node = (struct node){.kind = NODE_UNSET, .line = (*body)->line, .next = *body, .first = w->unset};
                *body = node;
        }
        inner_blocks(w, *body);
        while (w->n_noted > n_outer)
                w->mentioned[w->noted[--w->n_noted]] = false;
        w->unset = outer;
}

void shadow_names(struct tree *tree)
{
        size_t n = (size_t)tree->n_names;
        struct walk w = {
                .tree = tree, .mentioned = mem_array(n, sizeof *w.mentioned), .noted = mem_array(n, sizeof *w.noted)};

        block(&w, &tree->body, NULL);
        mem_free(w.mentioned);
        mem_free(w.noted);
}
