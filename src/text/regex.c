#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "text/utf8.h"

#define MAX_PATTERN 16384
#define HEAP_LIMIT  65536u      // KiB, for matching without machine code
#define STACK_FIRST (32u << 10) // bytes of machine stack for machine code
#define STACK_MOST  (1u << 20)
#define STEP_LIMIT  10000u // backtracking steps from one place of the text, and
#define STEPS_BYTE  4u     // as many more for each byte of the text

struct regex {
        pcre2_code *code;
};

struct regex_scratch {
        pcre2_match_data *match;
        pcre2_match_context *context;
        pcre2_jit_stack *stack;
};

static void *take(size_t bytes, void *unused)
{
        return mem_alloc(bytes);
}

static void give(void *p, void *unused)
{
        mem_free(p);
}

enum dyn_status regex_create(struct regex **out, const char *pattern, struct dyn_error *err)
{
        pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
        pcre2_compile_context *context = pcre2_compile_context_create(memory);
        PCRE2_UCHAR message[120];
        PCRE2_SIZE at;
        int code;

        *out = NULL;
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        pcre2_set_max_pattern_length(context, MAX_PATTERN);
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
        pcre2_compile_context_free(context);
        pcre2_general_context_free(memory);
        if (re == NULL) {
                pcre2_get_error_message(code, message, sizeof message);
                return dyn_fail(err, DYN_UNSUPPORTED, "regular expression: %s, at byte %zu of %.200s", (char *)message,
                        (size_t)at, pattern);
        }
        pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); // matching is slower, not different, where this fails
        *out = mem_alloc(sizeof **out);
        (*out)->code = re;
        return DYN_OK;
}

void regex_destroy(struct regex *re)
{
        if (re == NULL)
                return;
        pcre2_code_free(re->code);
        mem_free(re);
}

struct regex_scratch *regex_scratch_create(void)
{
        pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
        struct regex_scratch *s = mem_alloc(sizeof *s);

        s->match = pcre2_match_data_create(1, memory);
        s->context = pcre2_match_context_create(memory);
        s->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, memory);
        pcre2_general_context_free(memory);
        pcre2_set_heap_limit(s->context, HEAP_LIMIT);
        if (s->stack != NULL)
                pcre2_jit_stack_assign(s->context, NULL, s->stack);
        return s;
}

void regex_scratch_destroy(struct regex_scratch *s)
{
        if (s == NULL)
                return;
        pcre2_jit_stack_free(s->stack);
        pcre2_match_context_free(s->context);
        pcre2_match_data_free(s->match);
        mem_free(s);
}

static bool find(struct regex_scan *scan)
{
        struct regex_scratch *s = scan->scratch;
        size_t left = scan->len - scan->from;

        pcre2_set_match_limit(s->context,
                left < (UINT32_MAX - STEP_LIMIT) / STEPS_BYTE ? STEP_LIMIT + STEPS_BYTE * (uint32_t)left : UINT32_MAX);
        int rc = pcre2_match(scan->regex->code, (PCRE2_SPTR)scan->text, scan->len, scan->from, PCRE2_NO_UTF_CHECK,
                s->match, s->context);
        if (rc < 0) {
                if (rc != PCRE2_ERROR_NOMATCH)
                        log_warn(
                                "tokenizer: a regular expression gave up at byte %zu of %zu (PCRE2 error %d); the rest "
                                "is taken as not matching",
                                scan->from, scan->len, rc);
                return false;
        }
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->match);
        scan->start = at[0];
        scan->end = at[1];
        return scan->start <= scan->end;
}

bool regex_next(struct regex_scan *scan)
{
        size_t last = scan->end;

        while (scan->from <= scan->len && find(scan)) {
                if (scan->end > scan->start || !scan->found || scan->end != last) {
                        scan->from = scan->end;
                        scan->found = true;
                        return true;
                }
                scan->from += scan->from < scan->len ? (size_t)utf8_len(scan->text + scan->from) : 1;
        }
        scan->from = scan->len + 1;
        return false;
}
