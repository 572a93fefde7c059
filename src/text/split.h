// The pre-tokenizer: a list of steps that cut text into the words that BPE then works on. Each step cuts the pieces of
// the one before; nothing is collected, a piece runs through all steps before the next one is looked for. hf_steps.c
// and gguf_tokenizer.c fill the list; tokenizer.c runs it. Any thread.
#ifndef DYNLORA_TEXT_SPLIT_H
#define DYNLORA_TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "text/regex.h"

enum split_kind {
        SPLIT_REGEX,  // cut at the matches
        SPLIT_PREFIX, // put text before a piece that does not start with it
        SPLIT_SPACES, // write each space as text
};

// What becomes of a match: a piece of its own, dropped, joined to the piece before or after it, or neighbouring matches
// to one piece.
enum split_behavior { SPLIT_ISOLATED, SPLIT_REMOVED, SPLIT_WITH_PREVIOUS, SPLIT_WITH_NEXT, SPLIT_CONTIGUOUS };

struct split_step {
        enum split_kind kind;
        struct regex *regex; // owned
        enum split_behavior behavior;
        bool invert;     // what lies between the matches counts as the match
        char text[8];    // of PREFIX and SPACES, a character
        bool first_only; // PREFIX: only the piece that the input starts with
};

struct split {
        struct split_step *steps; // (n)
        int n, cap;
};

// Takes over the regex.
void split_add(struct split *, const struct split_step *);

// Adds a step that cuts at a pattern in PCRE2's syntax.
enum dyn_status split_add_pattern(
        struct split *, const char *pattern, enum split_behavior, bool invert, struct dyn_error *);

void split_finish(struct split *);

// One thread's run over pieces of text.
struct split_run {
        const struct split *split;
        struct regex_scratch *scratch;
        struct buf *bufs; // (split->n) working memory of the steps that rewrite
        void (*word)(void *arg, const char *text, size_t len);
        void *arg;
};

// text: valid UTF-8. at_start: it is the beginning of the whole input.
void split_text(const struct split_run *, const char *text, size_t len, bool at_start);

#endif
