// The lists of steps in a tokenizer.json (normalizer, pre_tokenizer, post_processor, decoder): how a list is walked and
// what reading a step needs. Each list has its file with a row per known type; hf_tokenizer.c calls them. What is not
// known, a type or a field, is DYN_UNSUPPORTED with its name, since it may change the result.
#ifndef DYNLORA_TEXT_HF_STEPS_H
#define DYNLORA_TEXT_HF_STEPS_H

#include "io/json.h"
#include "text/parts.h"

// One known type of step.
struct hf_step {
        const char *type;
        const char *fields[8]; // its members beside "type"
        enum dyn_status (*parse)(struct tokenizer *, const cJSON *step, struct dyn_error *);
        int stage; // 0: anywhere; else steps come in this order,
        bool once; // and at most one of this stage
};

// Reads the member `name` of root: null, a step, or a Sequence of steps in its member `list`. rows ends with a zero.
enum dyn_status hf_steps_parse(struct tokenizer *t, const cJSON *root, const char *name, const char *list,
        const struct hf_step *rows, struct dyn_error *);

// Members that must be there: a string of at most PARTS_MAX_TEXT bytes, or of one character.
enum dyn_status hf_need_string(const cJSON *step, const char *name, const char **out, struct dyn_error *);
enum dyn_status hf_need_char(const cJSON *step, const char *name, char out[static 8], struct dyn_error *);

// "pattern": {"String": s} or {"Regex": s}; and the same in PCRE2's syntax, appended.
enum dyn_status hf_need_pattern(const cJSON *step, const char **out, bool *regex, struct dyn_error *);
enum dyn_status hf_need_regex(const cJSON *step, struct buf *out, struct dyn_error *);

// A Replace step of the normaliser or of the decoder, which has no regular expressions.
enum dyn_status hf_replace(struct normalizer *, const cJSON *step, bool regexes, struct dyn_error *);

// A Metaspace step: the character that stands for a space, and when it is put before a text ("always", "first" or
// "never").
enum dyn_status hf_metaspace(const cJSON *step, char with[static 8], const char **scheme, struct dyn_error *);

// The four lists. The vocabulary is in place, added tokens included.
enum dyn_status hf_normalizer_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *);
enum dyn_status hf_split_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *);
enum dyn_status hf_post_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *);
enum dyn_status hf_decoder_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *);

#endif
