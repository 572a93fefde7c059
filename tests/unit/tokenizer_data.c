#include "tokenizer_data.h"

#include <stdio.h>
#include <string.h>

#include "harness.h"

#include "base/alloc.h"
#include "io/mapfile.h"

cJSON *data_json(const char *name)
{
        char path[200];
        struct dyn_error err;
        cJSON *j;

        snprintf(path, sizeof path, DATA "%s", name);
        if (json_parse_file(path, 16 << 20, &j, &err) != DYN_OK)
                fail_msg("%s", err.text);
        return j;
}

struct tokenizer *data_parse(const char *json)
{
        struct tokenizer *t = mem_zalloc(sizeof *t);
        struct dyn_error err;

        if (hf_tokenizer_parse(t, json, strlen(json), &err) != DYN_OK)
                fail_msg("%s", err.text);
        return t;
}

struct tokenizer *data_trained(const char *name)
{
        char path[200];
        struct dyn_error err;
        char *text;
        size_t len;

        snprintf(path, sizeof path, DATA "%s.json", name);
        if (mapfile_read_text(path, 16 << 20, &text, &len, &err) != DYN_OK)
                fail_msg("%s", err.text);
        struct tokenizer *t = data_parse(text);
        mem_free(text);
        return t;
}

struct tokenizer *data_open(const char *path)
{
        struct dyn_error err;
        struct tokenizer *t;

        if (tokenizer_open(&t, path, &err) != DYN_OK)
                fail_msg("%s", err.text);
        return t;
}
