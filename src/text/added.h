// Added tokens: written forms that are taken out of a text before it is normalised or split (the leftmost first, the
// longest of those), with the spaces around them if they ask for it. Two sets per tokenizer: those matched against the
// text as it came and those matched after normalisation. tokenizer.c calls it; it does not know what becomes of the
// text between.
#ifndef DYNLORA_TEXT_ADDED_H
#define DYNLORA_TEXT_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct added_token {
        int32_t id;
        bool lstrip, rstrip; // swallows the white space before, after it
        bool single_word;    // matches only where it does not touch a word character
        bool special;
};

struct added {
        struct added_token *tokens; // (n_tokens)
        int n_tokens, cap_tokens;
        struct added_node *nodes; // (n_nodes) a trie by bytes; nodes[0] is the root
        int n_nodes, cap_nodes;
        int32_t roots[256]; // the root's children, 0 if none
};

// content: not empty. Of two tokens with the same content the first counts.
void added_put(struct added *, const char *content, size_t len, const struct added_token *);
void added_finish(struct added *);

// Calls piece for each part of the text in order: added tokens with their id, the rest with -1. skip_special: special
// tokens are text.
void added_split(const struct added *, const char *text, size_t len, bool skip_special,
        void (*piece)(void *arg, const char *text, size_t len, int32_t id), void *arg);

#endif
