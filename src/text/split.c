#include "text/split.h"

#include <string.h>

#include "base/alloc.h"

void split_add(struct split *s, const struct split_step *step)
{
        if (s->n == s->cap) {
                s->cap = s->cap ? s->cap * 2 : 4;
                s->steps = mem_realloc(s->steps, (size_t)s->cap * sizeof *s->steps);
        }
        s->steps[s->n++] = *step;
}

enum dyn_status split_add_pattern(
        struct split *s, const char *pattern, enum split_behavior behavior, bool invert, struct dyn_error *err)
{
        struct split_step step = {.kind = SPLIT_REGEX, .behavior = behavior, .invert = invert};
        enum dyn_status st = regex_create(&step.regex, pattern, err);

        if (st == DYN_OK)
                split_add(s, &step);
        return st;
}

void split_finish(struct split *s)
{
        for (int i = 0; i < s->n; i++)
                regex_destroy(s->steps[i].regex);
        mem_free(s->steps);
        *s = (struct split){0};
}

static void run(const struct split_run *r, int i, const char *text, size_t len, bool at_start);

// The parts of a piece as they are found, with one held back while the next may still join it.
struct cutting {
        const struct split_run *run;
        int step;
        const char *text;
        bool at_start;
        bool held, held_match;
        size_t held_start, held_end;
};

static void pass_on(const struct cutting *c, size_t start, size_t end)
{
        run(c->run, c->step + 1, c->text + start, end - start, c->at_start && start == 0);
}

static void let_go(struct cutting *c)
{
        if (c->held)
                pass_on(c, c->held_start, c->held_end);
        c->held = false;
}

static bool joins(const struct cutting *c, enum split_behavior behavior, bool is_match)
{
        if (!c->held)
                return false;
        switch (behavior) {
        case SPLIT_WITH_PREVIOUS:
                return is_match && !c->held_match;
        case SPLIT_WITH_NEXT:
                return !is_match && c->held_match;
        case SPLIT_CONTIGUOUS:
                return is_match == c->held_match;
        default:
                return false;
        }
}

static void part(struct cutting *c, size_t start, size_t end, bool is_match)
{
        const struct split_step *s = &c->run->split->steps[c->step];

        is_match ^= s->invert;
        if (s->behavior == SPLIT_REMOVED || s->behavior == SPLIT_ISOLATED) {
                if (s->behavior == SPLIT_ISOLATED || !is_match)
                        pass_on(c, start, end);
                return;
        }
        if (joins(c, s->behavior, is_match)) {
                c->held_end = end;
                if (s->behavior != SPLIT_CONTIGUOUS)
                        let_go(c);
                return;
        }
        let_go(c);
        c->held = true;
        c->held_match = is_match;
        c->held_start = start;
        c->held_end = end;
}

static void cut(const struct split_run *r, int i, const char *text, size_t len, bool at_start)
{
        struct regex_scan scan = {.regex = r->split->steps[i].regex, .scratch = r->scratch, .text = text, .len = len};
        struct cutting c = {.run = r, .step = i, .text = text, .at_start = at_start};
        size_t done = 0;

        while (regex_next(&scan)) {
                if (scan.start > done)
                        part(&c, done, scan.start, false);
                part(&c, scan.start, scan.end, true);
                done = scan.end;
        }
        if (done < len)
                part(&c, done, len, false);
        let_go(&c);
}

static void write_spaces(struct buf *out, const char *with, const char *text, size_t len)
{
        const char *end = text + len, *space;

        while ((space = memchr(text, ' ', (size_t)(end - text))) != NULL) {
                buf_append(out, text, (size_t)(space - text));
                buf_puts(out, with);
                text = space + 1;
        }
        buf_append(out, text, (size_t)(end - text));
}

static void run(const struct split_run *r, int i, const char *text, size_t len, bool at_start)
{
        if (len == 0)
                return;
        if (i == r->split->n) {
                r->word(r->arg, text, len);
                return;
        }
        const struct split_step *s = &r->split->steps[i];
        struct buf *out = &r->bufs[i];
        size_t n = strlen(s->text);
        if (s->kind == SPLIT_REGEX) {
                cut(r, i, text, len, at_start);
                return;
        }
        if (s->kind == SPLIT_PREFIX && ((s->first_only && !at_start) || (len >= n && memcmp(text, s->text, n) == 0))) {
                run(r, i + 1, text, len, at_start);
                return;
        }
        buf_clear(out);
        if (s->kind == SPLIT_SPACES) {
                write_spaces(out, s->text, text, len);
        } else {
                buf_puts(out, s->text);
                buf_append(out, text, len);
        }
        run(r, i + 1, out->data, out->len, at_start);
}

void split_text(const struct split_run *r, const char *text, size_t len, bool at_start)
{
        run(r, 0, text, len, at_start);
}
