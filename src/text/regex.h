// Regular expressions over UTF-8 text: PCRE2 with Unicode properties, compiled to machine code where it can be, with
// limits so that no text or pattern runs away. pattern.h makes the patterns. A compiled one is for any thread.
#ifndef DYNLORA_TEXT_REGEX_H
#define DYNLORA_TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "dynlora/status.h"

struct regex;
struct regex_scratch;

// pattern: PCRE2 syntax. ^ and $ match at line ends, '.' does not match a newline, as Oniguruma has it.
enum dyn_status regex_create(struct regex **, const char *pattern, struct dyn_error *);
void regex_destroy(struct regex *);

// What matching needs beside the pattern; one thread at a time.
struct regex_scratch *regex_scratch_create(void);
void regex_scratch_destroy(struct regex_scratch *);

// All matches from left to right, as Oniguruma's find_iter gives them: none overlap, and an empty one does not follow
// another match. text: valid UTF-8. start and end: of the match just found.
struct regex_scan {
        const struct regex *regex;
        struct regex_scratch *scratch;
        const char *text;
        size_t len;
        size_t start, end;
        size_t from;
        bool found; // a match ended at `end`
};

// False at the end, and where a limit was hit (logged): the rest then counts as not matching.
bool regex_next(struct regex_scan *);

#endif
