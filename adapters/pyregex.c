// Python regular expressions through PCRE2 (pyregex.h). The syntax check goes by Python's `re` documentation (3.11) and
// pcre2pattern(3): it lets through what both read alike.
#include "adapters/pyregex.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/alloc.h"

#define MAX_PATTERN 4096   // bytes of one pattern
#define MAX_STEPS   100000 // of backtracking in one match: module paths are short

struct pyregex {
        char *pattern; // for messages
        pcre2_code *code;
        pcre2_match_context *context;
};

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The length of the escape at p, 0 if it is not one that both languages know.
static size_t escape_length(const char *p)
{
        if (p[1] == 0 || is_digit(p[1]))
                return 0;
        if (is_letter(p[1]) && strchr("dDwWsSbBntrf", p[1]) == NULL)
                return 0;
        return 2;
}

// The length of the set at p ("[...]"), 0 if it is not closed or not one that both languages know.
static size_t set_length(const char *p)
{
        size_t i = 1;

        if (p[i] == '^')
                i++;
        if (p[i] == ']')
                i++;
        while (p[i] != ']') {
                if (p[i] == 0 || (p[i] == '[' && p[i + 1] != 0 && strchr(":.=", p[i + 1]) != NULL))
                        return 0;
                size_t n = p[i] == '\\' ? escape_length(p + i) : 1;
                if (n == 0)
                        return 0;
                i += n;
        }
        return i + 1;
}

// The length of what opens the group at p, 0 if it is not one that both languages know.
static size_t group_length(const char *p)
{
        static const char *const openers[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?P<"};

        if (p[1] == '*')
                return 0;
        if (p[1] != '?')
                return 1;
        for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
                if (strncmp(p, openers[i], strlen(openers[i])) == 0)
                        return strlen(openers[i]);
        }
        return 0;
}

// The length of the repetition at p ("{2}", "{2,}", "{2,5}"), 0 if it is none.
static size_t repeat_length(const char *p)
{
        size_t i = 1;

        while (is_digit(p[i]))
                i++;
        if (i == 1)
                return 0;
        if (p[i] == ',')
                i++;
        while (is_digit(p[i]))
                i++;
        return p[i] == '}' ? i + 1 : 0;
}

static size_t piece_length(const char *p)
{
        switch (*p) {
        case '\\':
                return escape_length(p);
        case '[':
                return set_length(p);
        case '(':
                return group_length(p);
        case '{':
                return repeat_length(p);
        default:
                return 1;
        }
}

static enum dyn_status check_syntax(const char *pattern, struct dyn_error *err)
{
        if (strlen(pattern) > MAX_PATTERN)
                return dyn_fail(err, DYN_UNSUPPORTED, "expected a pattern of at most %d bytes, found %zu", MAX_PATTERN,
                        strlen(pattern));
        for (const char *p = pattern; *p;) {
                size_t n = piece_length(p);

                if (n == 0)
                        return dyn_fail(err, DYN_UNSUPPORTED,
                                "pattern \"%.80s\": what begins with %c at byte %zu is not supported", pattern, *p,
                                (size_t)(p - pattern));
                p += n;
        }
        return DYN_OK;
}

// Python's str patterns are Unicode, "." stops at a line feed only.
static pcre2_code *compile(const char *text, enum pyregex_mode mode, int *code, PCRE2_SIZE *at)
{
        pcre2_compile_context *context = pcre2_compile_context_create(NULL);
        uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | (mode == PYREGEX_FULL ? PCRE2_ENDANCHORED : 0);

        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, code, at, context);
        pcre2_compile_context_free(context);
        return compiled;
}

enum dyn_status pyregex_compile(struct pyregex **out, enum pyregex_mode mode, const char *before, const char *pattern,
        const char *after, struct dyn_error *err)
{
        *out = NULL;
        enum dyn_status st = check_syntax(pattern, err);
        if (st)
                return st;

        char *text = mem_printf("%s%s%s", before, pattern, after);
        int code = 0;
        PCRE2_SIZE at = 0;
        pcre2_code *compiled = compile(text, mode, &code, &at);

        mem_free(text);
        if (compiled == NULL) {
                PCRE2_UCHAR why[128] = "";

                pcre2_get_error_message(code, why, sizeof why);
                return dyn_fail(err, DYN_INVALID, "pattern \"%.80s\": expected a regular expression: %s", pattern,
                        (const char *)why);
        }
        struct pyregex *re = mem_zalloc(sizeof *re);

        re->pattern = mem_strdup(pattern);
        re->code = compiled;
        re->context = pcre2_match_context_create(NULL);
        pcre2_set_match_limit(re->context, MAX_STEPS);
        *out = re;
        return DYN_OK;
}

void pyregex_free(struct pyregex *re)
{
        if (re == NULL)
                return;
        pcre2_match_context_free(re->context);
        pcre2_code_free(re->code);
        mem_free(re->pattern);
        mem_free(re);
}

// The number that the group "idx" holds after a match; larger ones than any layer stay larger.
static long long caught_index(const struct pyregex *re, pcre2_match_data *data, const char *subject)
{
        int group = pcre2_substring_number_from_name(re->code, (PCRE2_SPTR) "idx");

        if (group < 0)
                return -1;
        PCRE2_SIZE *range = pcre2_get_ovector_pointer(data);
        if (range[2 * group] == PCRE2_UNSET)
                return -1;
        return strtoll(subject + range[2 * group], NULL, 10);
}

static enum dyn_status match(
        const struct pyregex *re, const char *subject, bool *matched, long long *index, struct dyn_error *err)
{
        pcre2_match_data *data = pcre2_match_data_create_from_pattern(re->code, NULL);
        int n = pcre2_match(re->code, (PCRE2_SPTR)subject, strlen(subject), 0, 0, data, re->context);

        *matched = n >= 0;
        if (index != NULL)
                *index = n >= 0 ? caught_index(re, data, subject) : -1;
        pcre2_match_data_free(data);
        if (n >= 0 || n == PCRE2_ERROR_NOMATCH)
                return DYN_OK;

        PCRE2_UCHAR why[128] = "";
        pcre2_get_error_message(n, why, sizeof why);
        return dyn_fail(
                err, DYN_UNSUPPORTED, "pattern \"%.80s\" on %.80s: %s", re->pattern, subject, (const char *)why);
}

enum dyn_status pyregex_matches(const struct pyregex *re, const char *subject, bool *matched, struct dyn_error *err)
{
        return match(re, subject, matched, NULL, err);
}

enum dyn_status pyregex_index(
        const struct pyregex *re, const char *subject, bool *matched, long long *index, struct dyn_error *err)
{
        return match(re, subject, matched, index, err);
}
