// JSON: whatever is accepted can be printed and read back as the same value.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Every member through every getter: none may fault, and each says so when it fails.
static void read_members(const cJSON *node)
{
        struct dyn_error err = {0};
        char what[40];
        int64_t i;
        double d;
        bool b;
        const char *s;

        json_describe(node, what, sizeof what);
        for (const cJSON *c = node->child; c != NULL; c = c->next) {
                if (cJSON_IsObject(node) && json_get_int(node, c->string, -5, 5, &i, &err) != DYN_OK &&
                        json_get_number(node, c->string, -5, 5, &d, &err) != DYN_OK &&
                        json_get_bool(node, c->string, &b, &err) != DYN_OK &&
                        json_get_string(node, c->string, &s, &err) != DYN_OK && err.text[0] == 0)
                        abort();
                read_members(c);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct dyn_error err;
        cJSON *tree, *again;

        if (json_parse((const char *)data, size, &tree, &err) != DYN_OK) {
                if (strcmp(err.text, "not JSON") == 0) // cJSON refuses what the grammar allows
                        abort();
                return 0;
        }
        read_members(tree);
        char *text = cJSON_PrintUnformatted(tree);

        if (text == NULL || json_parse(text, strlen(text), &again, &err) != DYN_OK || !cJSON_Compare(tree, again, true))
                abort();
        free(text);
        cJSON_Delete(again);
        cJSON_Delete(tree);
        return 0;
}
