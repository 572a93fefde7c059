#include "text/hf_steps.h"

#include <string.h>

#include "text/pattern.h"
#include "text/utf8.h"

#define MAX_STEPS 32 // in one list; the longest in use has about ten

static enum dyn_status only_fields(const cJSON *object, const char *const *fields, struct dyn_error *err)
{
        for (const cJSON *c = object->child; c != NULL; c = c->next) {
                const char *const *f = fields;

                while (*f != NULL && strcmp(*f, c->string) != 0)
                        f++;
                if (*f == NULL && strcmp(c->string, "type") != 0)
                        return dyn_fail(err, DYN_UNSUPPORTED, "\"%.80s\" is not supported", c->string);
        }
        return DYN_OK;
}

enum dyn_status hf_need_string(const cJSON *o, const char *name, const char **out, struct dyn_error *err)
{
        *out = NULL;
        enum dyn_status st = json_get_string(o, name, out, err);
        if (st == DYN_OK && *out == NULL)
                return dyn_fail(err, DYN_INVALID, "\"%s\": expected a string, found none", name);
        if (st == DYN_OK && strlen(*out) > PARTS_MAX_TEXT)
                return dyn_fail(err, DYN_UNSUPPORTED, "\"%s\": expected at most %d bytes, found %zu", name,
                        PARTS_MAX_TEXT, strlen(*out));
        return st;
}

enum dyn_status hf_need_char(const cJSON *o, const char *name, char out[static 8], struct dyn_error *err)
{
        const char *s;
        enum dyn_status st = hf_need_string(o, name, &s, err);

        if (st != DYN_OK)
                return st;
        if (*s == 0 || (size_t)utf8_len(s) != strlen(s))
                return dyn_fail(err, DYN_INVALID, "\"%s\": expected one character, found \"%.40s\"", name, s);
        strcpy(out, s);
        return DYN_OK;
}

enum dyn_status hf_need_pattern(const cJSON *o, const char **out, bool *regex, struct dyn_error *err)
{
        const cJSON *p = json_member(o, "pattern");
        const cJSON *s = p ? p->child : NULL;

        if (!cJSON_IsObject(p) || s == NULL || s->next != NULL || !cJSON_IsString(s) ||
                (strcmp(s->string, "String") != 0 && strcmp(s->string, "Regex") != 0))
                return dyn_fail(err, DYN_INVALID, "\"pattern\": expected {\"String\": ...} or {\"Regex\": ...}");
        *regex = s->string[0] == 'R';
        *out = s->valuestring;
        return DYN_OK;
}

enum dyn_status hf_need_regex(const cJSON *o, struct buf *out, struct dyn_error *err)
{
        const char *pattern;
        bool regex;
        enum dyn_status st = hf_need_pattern(o, &pattern, &regex, err);

        if (st != DYN_OK)
                return st;
        if (regex)
                return pattern_translate(out, pattern, err);
        if (*pattern == 0)
                return dyn_fail(err, DYN_UNSUPPORTED, "\"pattern\": an empty string is not supported");
        pattern_quote(out, pattern);
        return DYN_OK;
}

struct walk {
        struct tokenizer *t;
        const char *list; // the member that holds the steps of a Sequence
        const struct hf_step *rows;
        int n_steps, stage;
        bool once;
};

static enum dyn_status parse_step(struct walk *w, const cJSON *step, const char *type, struct dyn_error *err)
{
        const struct hf_step *row = w->rows;

        while (row->type != NULL && strcmp(row->type, type) != 0)
                row++;
        if (row->type == NULL)
                return dyn_fail(err, DYN_UNSUPPORTED, "not supported");
        if (++w->n_steps > MAX_STEPS)
                return dyn_fail(err, DYN_UNSUPPORTED, "more than %d steps", MAX_STEPS);
        if (row->stage < w->stage || (row->stage == w->stage && w->once))
                return dyn_fail(err, DYN_UNSUPPORTED, "not supported after the steps before it");
        w->stage = row->stage;
        w->once = row->once;
        enum dyn_status st = only_fields(step, row->fields, err);
        return st == DYN_OK ? row->parse(w->t, step, err) : st;
}

static enum dyn_status walk(struct walk *w, const cJSON *step, struct dyn_error *err)
{
        const char *type = NULL;
        const cJSON *child;

        if (!cJSON_IsObject(step))
                return dyn_fail(err, DYN_INVALID, "expected an object");
        enum dyn_status st = hf_need_string(step, "type", &type, err);
        if (st != DYN_OK)
                return st;
        if (strcmp(type, "Sequence") != 0) {
                st = parse_step(w, step, type, err);
                return st == DYN_OK ? DYN_OK : dyn_fail_in(err, type);
        }
        const cJSON *list = json_member(step, w->list);
        if (!cJSON_IsArray(list))
                return dyn_fail(err, DYN_INVALID, "Sequence: \"%s\": expected an array", w->list);
        cJSON_ArrayForEach(child, list)
        {
                if ((st = walk(w, child, err)) != DYN_OK)
                        return st;
        }
        return DYN_OK;
}

enum dyn_status hf_steps_parse(struct tokenizer *t, const cJSON *root, const char *name, const char *list,
        const struct hf_step *rows, struct dyn_error *err)
{
        struct walk w = {.t = t, .list = list, .rows = rows};
        const cJSON *first = json_member(root, name);

        if (first == NULL || cJSON_IsNull(first))
                return DYN_OK;
        enum dyn_status st = walk(&w, first, err);
        return st == DYN_OK ? DYN_OK : dyn_fail_in(err, name);
}
