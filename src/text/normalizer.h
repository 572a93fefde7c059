// The normaliser of a tokenizer: a list of steps that rewrite text before it is split (Unicode forms, lower case,
// replacements). hf_steps.c fills the list; tokenizer.c runs it. Any thread.
#ifndef DYNLORA_TEXT_NORMALIZER_H
#define DYNLORA_TEXT_NORMALIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "text/regex.h"

enum normalizer_kind {
        NORMALIZE_NFC,
        NORMALIZE_NFD,
        NORMALIZE_NFKC,
        NORMALIZE_NFKD,
        NORMALIZE_LOWERCASE,
        NORMALIZE_PREPEND, // content, unless the text is empty
        NORMALIZE_REPLACE, // each match of pattern (or regex) becomes content
        NORMALIZE_STRIP,   // white space on the left, right
};

struct normalizer_step {
        enum normalizer_kind kind;
        char *content, *pattern; // owned
        struct regex *regex;     // owned
        bool left, right;
};

struct normalizer {
        struct normalizer_step *steps; // (n)
        int n, cap;
        double growth; // how many times longer replacements may make a text; 0 before the first
};

// Takes over what the step owns.
void normalizer_add(struct normalizer *, const struct normalizer_step *);
void normalizer_step_finish(struct normalizer_step *);
void normalizer_finish(struct normalizer *);

// text: valid UTF-8. The result is in *out, or is text itself if nothing changes; other is working memory.
const char *normalizer_run(const struct normalizer *, struct regex_scratch *, const char *text, size_t *len,
        struct buf *out, struct buf *other);

#endif
