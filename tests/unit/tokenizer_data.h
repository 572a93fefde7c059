// What the tokenizer tests share: the files that data/tokenizer/make.py made, and opening or failing the test.
#ifndef DYNLORA_TESTS_TOKENIZER_DATA_H
#define DYNLORA_TESTS_TOKENIZER_DATA_H

#include "io/json.h"
#include "text/parts.h"

#define DATA "tests/unit/data/tokenizer/"

cJSON *data_json(const char *name);

// From the text of a tokenizer.json, from NAME.json, and from a path.
struct tokenizer *data_parse(const char *json);
struct tokenizer *data_trained(const char *name);
struct tokenizer *data_open(const char *path);

#endif
