// What a tokenizer is made of. The loaders (hf_tokenizer.c, gguf_tokenizer.c) fill the parts and call parts_complete;
// tokenizer.c runs them forwards and detok.c backwards. Nobody outside src/text sees this.
#ifndef DYNLORA_TEXT_PARTS_H
#define DYNLORA_TEXT_PARTS_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/split.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

#define PARTS_MAX_TEXT 256 // bytes of a text that a step puts in, so that no input grows out of bounds

// How ids become text again.
struct decoder {
        bool byte_level;           // pieces are bytes of UTF-8 that may be cut anywhere
        bool byte_fallback;        // <0xXX> tokens are bytes; a run of them is text or nothing
        bool fused;                // strip counts from the start of the text, not of each token
        struct normalizer replace; // what is replaced in each written form (NORMALIZE_REPLACE of text)
        char drop_first[8];        // a character that the first token loses wherever it stands, "" if none
        int strip;                 // how many of strip_char the text loses at its start
        char strip_char[8];
};

struct tokenizer {
        struct vocab vocab;
        struct bpe bpe;
        struct added added, added_normalized; // matched before, after the normaliser
        struct normalizer normalizer;
        struct split split;
        struct decoder decoder;
        struct tokens prefix, suffix; // what add_special puts around a text
        struct tokens stop;
        char *bos, *eos, *chat_template; // NULL: none
};

// hf_tokenizer.c: from a folder, and from the text of a tokenizer.json alone. On failure the caller destroys t.
enum dyn_status hf_tokenizer_load(struct tokenizer *t, const char *folder, struct dyn_error *);
enum dyn_status hf_tokenizer_parse(struct tokenizer *t, const char *json, size_t len, struct dyn_error *);

// gguf_tokenizer.c
enum dyn_status gguf_tokenizer_load(struct tokenizer *t, const struct gguf *, struct dyn_error *);

// Works out what every id stands for, once vocabulary and decoder are whole.
enum dyn_status parts_complete(struct tokenizer *t, struct dyn_error *);

// Adds an id that ends an answer, once. DYN_INVALID if the tokenizer has no such id.
enum dyn_status parts_add_stop(struct tokenizer *t, int64_t id, struct dyn_error *);

#endif
