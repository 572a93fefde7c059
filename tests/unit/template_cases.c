// Cases of make.py, for the tests of chat templates.
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "template_cases.h"

const struct tm template_now = {.tm_year = 124,
        .tm_mon = 6,
        .tm_mday = 26,
        .tm_hour = 13,
        .tm_min = 5,
        .tm_sec = 9,
        .tm_wday = 5,
        .tm_yday = 207};

cJSON *template_cases(const char *path)
{
        struct dyn_error err;
        cJSON *cases;

        if (json_parse_file(path, 256 << 20, &cases, &err) != DYN_OK)
                fail_msg("%s", err.text);
        return cases;
}

enum dyn_status template_render(
        const char *source, const struct chat_template_input *in, struct buf *out, struct dyn_error *err)
{
        struct chat_template *t = NULL;
        enum dyn_status status = chat_template_compile(&t, source, strlen(source), err);

        if (status == DYN_OK)
                status = chat_template_render(t, in, out, err);
        chat_template_destroy(t);
        return status;
}

bool template_check(const cJSON *row, const char *name, const char *source, const struct chat_template_input *in)
{
        const char *text = cJSON_GetStringValue(json_member(row, "text"));
        const char *raises = cJSON_GetStringValue(json_member(row, "raises"));
        struct dyn_error err = {0};
        struct buf out = {0};
        enum dyn_status status = template_render(source, in, &out, &err);
        const char *got = status == DYN_OK ? (out.data ? out.data : "") : err.text, *want = text ? text : raises;
        bool same = (status == DYN_OK) == (text != NULL) && (!want || strcmp(got, want) == 0);

        if (!same)
                fprintf(stderr, "%s\n  expected %s\n  found    %s\n", name, want ? want : "a failure", got);
        buf_free(&out);
        return same;
}
