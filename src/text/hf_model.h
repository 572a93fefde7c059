// The tokens of a tokenizer.json: the model's vocabulary and merges, and the added tokens. hf_tokenizer.c calls these.
#ifndef DYNLORA_TEXT_HF_MODEL_H
#define DYNLORA_TEXT_HF_MODEL_H

#include "io/json.h"
#include "text/parts.h"

// "model", before anything else.
enum dyn_status hf_model_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *);

// "added_tokens": their ids and flags; and, once the normaliser is known, what they match.
enum dyn_status hf_added_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *);
enum dyn_status hf_added_match(struct tokenizer *t, const cJSON *root, struct dyn_error *);

// "model" again, once it is known whether symbols are bytes or characters: merges and the rest.
enum dyn_status hf_merges_parse(struct tokenizer *t, const cJSON *root, struct dyn_error *);

#endif
