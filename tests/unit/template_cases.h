// Reading what data/templates/make.py wrote, and rendering one case of it at the fixed time of day that it used.
#ifndef DYNLORA_TESTS_TEMPLATE_CASES_H
#define DYNLORA_TESTS_TEMPLATE_CASES_H

#include "text/template.h"

#define TEMPLATES "tests/unit/data/templates/"

// The whole file as JSON; the test fails if there is none. cJSON_Delete it.
cJSON *template_cases(const char *path);

// Friday 26 July 2024, 13:05:09.
extern const struct tm template_now;

// Compiles and renders; on DYN_OK the text is in out, else the sentence in err.
enum dyn_status template_render(
        const char *source, const struct chat_template_input *, struct buf *out, struct dyn_error *err);

// Compares with the row's "text", "raises" or "fails"; false, with both sides on stderr, if that is not what came.
bool template_check(const cJSON *row, const char *name, const char *source, const struct chat_template_input *);

#endif
