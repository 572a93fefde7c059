// Text to token ids and back, as the model's own tokenizer does it: byte-level BPE and SentencePiece BPE, from a
// Hugging Face folder (tokenizer.json, tokenizer_config.json, generation_config.json, config.json) or from GGUF
// metadata. Equal to the `tokenizers` library; a tokenizer.json part that is not understood is refused with its name.
// Immutable once made: any thread, and several at once.
#ifndef DYNLORA_TEXT_TOKENIZER_H
#define DYNLORA_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "dynlora/status.h"

struct tokenizer;
struct gguf;

// path: a Hugging Face folder or a .gguf file.
enum dyn_status tokenizer_open(struct tokenizer **, const char *path, struct dyn_error *);
void tokenizer_destroy(struct tokenizer *);

struct tokens {
        int32_t *ids; // (n), mem_free
        int n, cap;
};

void tokens_push(struct tokens *, int32_t id);
void tokens_free(struct tokens *);

// Appends the ids of text. add_special: what the tokenizer puts around a sequence (BOS, EOS). parse_special: special
// tokens written out in the text become their ids (always so in tokenizer.json; here a caller can keep user text from
// forging them). Invalid UTF-8 is encoded as byte-level BPE allows, else as U+FFFD.
void tokenizer_encode(const struct tokenizer *, const char *text, size_t len, bool add_special, bool parse_special,
        struct tokens *out);

int tokenizer_n_ids(const struct tokenizer *); // ids are 0 .. n - 1
bool tokenizer_is_special(const struct tokenizer *, int32_t id);

// The bytes that a token stands for in the middle of a text (special tokens: their written form). Not NUL-terminated;
// may be part of a character. An id without a token gives len 0.
const char *tokenizer_piece(const struct tokenizer *, int32_t id, size_t *len);

// The ids that end an answer: eos_token_id of generation_config.json, else of config.json, and eos_token of
// tokenizer_config.json; in GGUF eos, eot and eom, and control tokens known by name (<|im_end|>, <|eot_id|>, ...).
const int32_t *tokenizer_stop_ids(const struct tokenizer *, int *n);

// The written form of BOS and EOS, or NULL; and the model's chat template, or NULL if it ships none.
const char *tokenizer_bos(const struct tokenizer *);
const char *tokenizer_eos(const struct tokenizer *);
const char *tokenizer_chat_template(const struct tokenizer *);

#endif
