#include "api/stop.h"

#include <string.h>

#include "base/alloc.h"

#define MAX_STRINGS 64
#define MAX_LENGTH  1024

// What is left of a match of `matched` bytes when the next byte is `c`, and with it.
static size_t step(const char *string, const uint16_t *borders, size_t matched, char c)
{
        while (matched > 0 && string[matched] != c)
                matched = borders[matched];
        return matched + (string[matched] == c);
}

static uint16_t *borders_of(const char *string, size_t len)
{
        uint16_t *borders = mem_array(len + 1, sizeof *borders);

        for (size_t i = 1; i < len; i++)
                borders[i + 1] = (uint16_t)step(string, borders, borders[i], string[i]);
        return borders;
}

static enum dyn_status add(struct stop_set *s, const cJSON *v, struct problem *p)
{
        char found[100];

        if (!cJSON_IsString(v) || v->valuestring[0] == 0 || strlen(v->valuestring) > MAX_LENGTH)
                return problem_set(p, DYN_INVALID, "stop", NULL,
                        "\"stop\": expected strings of 1 to %d bytes, found %s", MAX_LENGTH,
                        json_describe(v, found, sizeof found));
        s->strings[s->n] = v->valuestring;
        s->lens[s->n] = strlen(v->valuestring);
        s->borders[s->n] = borders_of(s->strings[s->n], s->lens[s->n]);
        s->n++;
        return DYN_OK;
}

enum dyn_status stop_read(struct stop_set *s, const cJSON *value, struct problem *p)
{
        enum dyn_status st = DYN_OK;
        int n = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 1;

        *s = (struct stop_set){0};
        if (value == NULL)
                return DYN_OK;
        if (n > MAX_STRINGS)
                return problem_set(p, DYN_INVALID, "stop", NULL, "\"stop\": expected at most %d strings, found %d",
                        MAX_STRINGS, n);
        s->strings = mem_array((size_t)n, sizeof *s->strings);
        s->lens = mem_array((size_t)n, sizeof *s->lens);
        s->borders = mem_array((size_t)n, sizeof *s->borders);
        if (!cJSON_IsArray(value))
                st = add(s, value, p);
        else
                for (const cJSON *v = value->child; v != NULL && st == DYN_OK; v = v->next)
                        st = add(s, v, p);
        if (st != DYN_OK)
                stop_finish(s);
        return st;
}

void stop_finish(struct stop_set *s)
{
        for (int i = 0; i < s->n; i++)
                mem_free(s->borders[i]);
        mem_free(s->borders);
        mem_free(s->strings);
        mem_free(s->lens);
        *s = (struct stop_set){0};
}

void stop_scan_finish(struct stop_scan *scan)
{
        mem_free(scan->matched);
        *scan = (struct stop_scan){0};
}

// Whatever began before `from` is no match any more.
static void begin_at(const struct stop_set *s, struct stop_scan *scan, size_t from)
{
        if (scan->seen < from)
                scan->seen = from;
        for (int i = 0; i < s->n; i++)
                while (scan->matched[i] > scan->seen - from)
                        scan->matched[i] = s->borders[i][scan->matched[i]];
}

bool stop_find(const struct stop_set *s, struct stop_scan *scan, const char *text, size_t len, size_t from,
        struct stop_match *match)
{
        size_t longest = 0;

        if (s->n == 0)
                return false;
        if (scan->matched == NULL)
                scan->matched = mem_array((size_t)s->n, sizeof *scan->matched);
        begin_at(s, scan, from);
        while (scan->seen < len && longest == 0) {
                char c = text[scan->seen++];

                for (int i = 0; i < s->n; i++) {
                        size_t n = step(s->strings[i], s->borders[i], scan->matched[i], c);

                        scan->matched[i] = (uint16_t)n;
                        if (n == s->lens[i] && n > longest) {
                                longest = n;
                                *match = (struct stop_match){i, scan->seen - n, scan->seen};
                        }
                }
        }
        return longest > 0;
}

size_t stop_held(const struct stop_set *s, const struct stop_scan *scan)
{
        size_t held = 0;

        for (int i = 0; i < s->n; i++)
                if (scan->matched[i] > held)
                        held = scan->matched[i];
        return held;
}
