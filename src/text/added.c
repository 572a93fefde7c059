#include "text/added.h"

#include "base/alloc.h"
#include "text/charclass.h"
#include "text/utf8.h"

struct added_node {
        int32_t child, sibling; // 0: none
        int32_t token;          // index of the token that ends here, -1
        unsigned char byte;
};

static int32_t new_node(struct added *a, unsigned char byte)
{
        if (a->n_nodes == a->cap_nodes) {
                a->cap_nodes = a->cap_nodes ? a->cap_nodes * 2 : 64;
                a->nodes = mem_realloc(a->nodes, (size_t)a->cap_nodes * sizeof *a->nodes);
        }
        a->nodes[a->n_nodes] = (struct added_node){.token = -1, .byte = byte};
        return a->n_nodes++;
}

static int32_t child_of(const struct added *a, int32_t node, unsigned char byte)
{
        if (node == 0)
                return a->roots[byte];
        for (int32_t c = a->nodes[node].child; c != 0; c = a->nodes[c].sibling)
                if (a->nodes[c].byte == byte)
                        return c;
        return 0;
}

void added_put(struct added *a, const char *content, size_t len, const struct added_token *token)
{
        int32_t node = 0;

        if (a->n_nodes == 0)
                new_node(a, 0);
        for (size_t i = 0; i < len; i++) {
                unsigned char byte = (unsigned char)content[i];
                int32_t next = child_of(a, node, byte);

                if (next == 0) {
                        next = new_node(a, byte);
                        if (node == 0) {
                                a->roots[byte] = next;
                        } else {
                                a->nodes[next].sibling = a->nodes[node].child;
                                a->nodes[node].child = next;
                        }
                }
                node = next;
        }
        if (a->nodes[node].token >= 0)
                return;
        if (a->n_tokens == a->cap_tokens) {
                a->cap_tokens = a->cap_tokens ? a->cap_tokens * 2 : 16;
                a->tokens = mem_realloc(a->tokens, (size_t)a->cap_tokens * sizeof *a->tokens);
        }
        a->tokens[a->n_tokens] = *token;
        a->nodes[node].token = a->n_tokens++;
}

void added_finish(struct added *a)
{
        mem_free(a->tokens);
        mem_free(a->nodes);
        *a = (struct added){0};
}

// The longest token that stands at p, its end in *end; NULL if there is none.
static const struct added_token *match(const struct added *a, const char *p, const char *last, const char **end)
{
        const struct added_token *best = NULL;

        for (int32_t node = 0; p < last;) {
                node = child_of(a, node, (unsigned char)*p++);
                if (node == 0)
                        break;
                if (a->nodes[node].token >= 0) {
                        best = &a->tokens[a->nodes[node].token];
                        *end = p;
                }
        }
        return best;
}

static bool touches_word(const char *text, const char *start, const char *end, const char *last)
{
        uint32_t code;

        if (start > text && utf8_next(utf8_back(text, start), start, &code) > 0 && charclass_is_word(code))
                return true;
        return end < last && utf8_next(end, last, &code) > 0 && charclass_is_word(code);
}

static const char *space_before(const char *text, const char *start)
{
        uint32_t code;

        while (start > text) {
                const char *p = utf8_back(text, start);

                if (utf8_next(p, start, &code) <= 0 || !charclass_is_space(code))
                        break;
                start = p;
        }
        return start;
}

static const char *space_after(const char *end, const char *last)
{
        uint32_t code;

        for (int n; end < last && (n = utf8_next(end, last, &code)) > 0 && charclass_is_space(code);)
                end += n;
        return end;
}

void added_split(const struct added *a, const char *text, size_t len, bool skip_special,
        void (*piece)(void *arg, const char *text, size_t len, int32_t id), void *arg)
{
        const char *last = text + len, *done = text, *end = text;

        for (const char *p = text; a->n_tokens > 0 && p < last;) {
                const struct added_token *token = match(a, p, last, &end);

                if (token == NULL) {
                        p++;
                        continue;
                }
                const char *start = p;
                p = end;
                if ((skip_special && token->special) || (token->single_word && touches_word(text, start, end, last)))
                        continue;
                // A token before may have swallowed the space that this one begins with.
                if (token->lstrip)
                        start = space_before(done, start);
                if (token->rstrip)
                        end = space_after(end, last);
                if (done < start)
                        piece(arg, done, (size_t)(start - done), -1);
                piece(arg, start, (size_t)(end - start), token->id);
                done = end;
        }
        if (done < last)
                piece(arg, done, (size_t)(last - done), -1);
}
