#include "api/stop.h"

#include <string.h>

#include "base/alloc.h"

#define MAX_STRINGS 64
#define MAX_LENGTH  1024

static enum dyn_status add(struct stop_set *s, const cJSON *v, struct problem *p)
{
        char found[100];

        if (!cJSON_IsString(v) || v->valuestring[0] == 0 || strlen(v->valuestring) > MAX_LENGTH)
                return problem_set(p, DYN_INVALID, "stop", NULL,
                        "\"stop\": expected strings of 1 to %d bytes, found %s", MAX_LENGTH,
                        json_describe(v, found, sizeof found));
        s->strings[s->n] = v->valuestring;
        s->lens[s->n] = strlen(v->valuestring);
        if (s->lens[s->n] > s->longest)
                s->longest = s->lens[s->n];
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
        mem_free(s->strings);
        mem_free(s->lens);
        *s = (struct stop_set){0};
}

bool stop_find(
        const struct stop_set *s, const char *text, size_t len, size_t from, size_t seen, struct stop_match *match)
{
        bool found = false;

        if (s->n == 0)
                return false;
        if (seen >= s->longest && seen - s->longest + 1 > from)
                from = seen - s->longest + 1;
        for (int i = 0; i < s->n && from < len; i++) {
                const char *at = memmem(text + from, len - from, s->strings[i], s->lens[i]);

                if (at == NULL)
                        continue;
                size_t start = (size_t)(at - text), end = start + s->lens[i];
                if (!found || end < match->end || (end == match->end && start < match->start))
                        *match = (struct stop_match){i, start, end};
                found = true;
        }
        return found;
}

size_t stop_held(const struct stop_set *s, const char *text, size_t len, size_t from)
{
        size_t held = 0;

        for (int i = 0; i < s->n; i++) {
                size_t most = len - from < s->lens[i] - 1 ? len - from : s->lens[i] - 1;

                for (size_t k = most; k > held; k--)
                        if (memcmp(text + len - k, s->strings[i], k) == 0) {
                                held = k;
                                break;
                        }
        }
        return held;
}
