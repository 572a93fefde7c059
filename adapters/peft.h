// What all kinds of PEFT folders share: the fields of adapter_config.json and the names of tensors. Called by the kinds
// of this room; knows no kind itself. Every field is listed by name, since one that is set and passed over is an
// adapter that answers wrongly without a word. Format: huggingface/peft 0.21, src/peft/config.py and tuners/.
#ifndef DYNLORA_ADAPTERS_PEFT_H
#define DYNLORA_ADAPTERS_PEFT_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "dynlora/adapter.h"

#define PEFT_CONFIG  "adapter_config.json"
#define PEFT_WEIGHTS "adapter_model.safetensors"
#define PEFT_PREFIX  "base_model.model." // before the module path in every tensor's name

// What a field of the configuration means to a kind.
enum peft_use {
        PEFT_INERT,   // of no effect on the answers, whatever it holds
        PEFT_USED,    // the kind reads and checks it
        PEFT_REFUSED, // changes the answers in a way that is not supported: must not be set
};

struct peft_field {
        const char *name;
        enum peft_use use;
};

// Python's truth: false, null, 0, "", [] and {} are not set.
bool peft_is_set(const cJSON *value);

// The value of "peft_type", NULL if it is missing or no string.
const char *peft_type(const cJSON *config);

// Whether each member is one of fields or one that all PEFT configurations have, and none that is refused or unknown is
// set. The error names the file and the field.
enum dyn_status peft_check_fields(
        const cJSON *config, const struct peft_field *fields, int n_fields, struct dyn_error *);

// Fails with DYN_INVALID: file, field, what was expected and what the value is.
enum dyn_status peft_fail_field(struct dyn_error *, const char *name, const char *expected, const cJSON *found);

// The module path in a tensor's name that ends with one of the suffixes, and which one it is: "base_model.model.x.y" +
// suffix gives "x.y", with *len its length. NULL if the prefix or every suffix is missing.
const char *peft_module(const char *tensor, const char *const *suffixes, int n_suffixes, int *which, size_t *len);

#endif
