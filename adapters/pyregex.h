// Python's re.match and re.fullmatch, as far as adapter configurations need them: PEFT's target_modules, rank_pattern
// and their like are Python regular expressions. Called by the kinds of this room. PCRE2 does the matching; what the
// two languages read differently is refused, so that a pattern never means something else here. Any thread.
#ifndef DYNLORA_ADAPTERS_PYREGEX_H
#define DYNLORA_ADAPTERS_PYREGEX_H

#include <stdbool.h>

#include "dynlora/status.h"

struct pyregex;

enum pyregex_mode {
        PYREGEX_MATCH, // from the start of the subject
        PYREGEX_FULL,  // the whole subject
};

// The expression is `before` + `pattern` + `after`, as Python's f-strings put them together; only pattern comes from
// outside. DYN_INVALID: not a regular expression; DYN_UNSUPPORTED: one that is not understood here as Python would.
enum dyn_status pyregex_compile(struct pyregex **, enum pyregex_mode, const char *before, const char *pattern,
        const char *after, struct dyn_error *);
void pyregex_free(struct pyregex *);

// Whether the subject matches. DYN_UNSUPPORTED if finding out takes too many steps.
enum dyn_status pyregex_matches(const struct pyregex *, const char *subject, bool *matched, struct dyn_error *);

// The same, and the number that the group "idx" caught: -1 if the group took no part.
enum dyn_status pyregex_index(
        const struct pyregex *, const char *subject, bool *matched, long long *index, struct dyn_error *);

#endif
