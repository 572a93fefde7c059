// Translates the regular expressions of tokenizer.json, which are Oniguruma's (Ruby syntax), to PCRE2's. The two mean
// different things by \s, \w, \v, \h and some quantifiers; those are rewritten or refused. regex.h compiles the result.
// Sources: Oniguruma's doc/RE, pcre2pattern(3).
#ifndef DYNLORA_TEXT_PATTERN_H
#define DYNLORA_TEXT_PATTERN_H

#include "base/buf.h"
#include "dynlora/status.h"

// GPT-2's words; tokenizer.json calls them ByteLevel with use_regex.
#define PATTERN_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

// Appends the PCRE2 pattern. DYN_UNSUPPORTED names the construct that is not known.
enum dyn_status pattern_translate(struct buf *out, const char *onig, struct dyn_error *);

// Appends a pattern that matches that text and nothing else.
void pattern_quote(struct buf *out, const char *text);

#endif
