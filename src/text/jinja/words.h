// Operations on whole strings that filters and methods share: letter case, replacing, cutting.
#ifndef DYNLORA_TEXT_JINJA_WORDS_H
#define DYNLORA_TEXT_JINJA_WORDS_H

#include "text/jinja/run.h"

struct str words_upper(struct run *, struct str);
struct str words_lower(struct run *, struct str);

// The first letter upper, the others lower.
struct str words_capitalize(struct run *, struct str);

// The first letter and each after a character that `breaks` holds for upper, the others lower. A capital that is two
// letters is both in `full` (SS), else only its first is (Ss).
struct str words_title(struct run *, struct str, bool (*breaks)(int32_t c), bool full);

// chars_strip within the budget.
struct str words_strip(struct run *, struct str, struct str set, enum strip_side);

// At most `count` times, every time if that is negative.
struct str words_replace(struct run *, struct str, struct str old, struct str fresh, int64_t count);

// A list of the parts around a separator (white space if its data is NULL), at most `most` cuts unless that is
// negative, counted from the right if from_right.
struct value words_split(struct run *, struct str, struct str separator, int64_t most, bool from_right);

// A list of the lines, with their ends if keep_ends.
struct value words_lines(struct run *, struct str, bool keep_ends);

// s many times.
struct str words_repeat(struct run *, struct str, int64_t times);

// At least `width` characters: `left` of every two missing ones (0, 1 or 2) go before s.
struct str words_pad(struct run *, struct str, int64_t width, struct str fill, int left);

#endif
