// JSON from outside: cJSON behind checks, and getters that say which field is wrong and how. Any thread.
#ifndef DYNLORA_IO_JSON_H
#define DYNLORA_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "dynlora/status.h"

// Parses one JSON value that fills the text. Refuses what cJSON would pass over or cut short: invalid UTF-8, NUL bytes
// and \u0000 escapes, trailing bytes, lone surrogates, a key that stands twice in one object, nesting over 64, numbers
// that overflow. DYN_INVALID says where. cJSON_Delete the result.
enum dyn_status json_parse(const char *text, size_t len, cJSON **out, struct dyn_error *);

// The same from a file; the error begins with the path.
enum dyn_status json_parse_file(const char *path, size_t max_bytes, cJSON **out, struct dyn_error *);

// The member of that name, NULL if it is absent. null counts as absent in the typed getters below.
const cJSON *json_member(const cJSON *object, const char *name);

// Typed getters: an absent or null member leaves *out as it was and is DYN_OK; one of another type or outside min..max
// is DYN_INVALID: `"temperature": expected a number from 0 to 2, found "hot"`.
enum dyn_status json_get_int(
        const cJSON *object, const char *name, int64_t min, int64_t max, int64_t *out, struct dyn_error *);
enum dyn_status json_get_number(
        const cJSON *object, const char *name, double min, double max, double *out, struct dyn_error *);
enum dyn_status json_get_bool(const cJSON *object, const char *name, bool *out, struct dyn_error *);
enum dyn_status json_get_string(
        const cJSON *object, const char *name, const char **out, struct dyn_error *); // borrowed

// A short description of a value for error messages: `"hot"`, `3.5`, `an array of 4`, `null`. Written to buf, returned.
const char *json_describe(const cJSON *, char *buf, size_t cap);

#endif
