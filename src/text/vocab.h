// The tokens of a model: what each id is written as, what it stands for in text, and which id a written form has.
// The loaders fill it; bpe.c looks tokens up and detok.c reads pieces. It does not know how text is split or merged.
#ifndef DYNLORA_TEXT_VOCAB_H
#define DYNLORA_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "dynlora/status.h"

#define VOCAB_MAX_IDS (1 << 21) // eight times the largest vocabulary in use

enum {
        VOCAB_PRESENT = 1,
        VOCAB_SPECIAL = 2,
        VOCAB_BYTE = 4, // a byte-fallback token, <0xXX>: its piece is that byte
};

struct vocab_token {
        uint32_t at, len;               // as written, in text
        uint32_t source_at, source_len; // what decoding starts from: as written, or as the normaliser writes that
        uint32_t piece_at, piece_len;   // the bytes it stands for
        uint32_t flags;
};

struct vocab {
        struct buf text;
        struct vocab_token *tokens; // (n)
        int n, cap;
        struct vocab_slot *slots; // (n_slots) hash table by written form
        size_t n_slots, n_indexed;
        size_t max_len; // of the longest indexed written form
};

// Gives an id its written form. DYN_INVALID if the id is out of range or taken, or the form is no text.
enum dyn_status vocab_set(struct vocab *, int64_t id, const char *s, size_t len, struct dyn_error *);

// Makes the written form of an id findable; the last id of equal forms wins.
void vocab_index(struct vocab *, int32_t id);

// The indexed id of that written form, -1 if there is none.
int32_t vocab_find(const struct vocab *, const char *s, size_t len);

static inline bool vocab_has(const struct vocab *v, int32_t id)
{
        return id >= 0 && id < v->n && (v->tokens[id].flags & VOCAB_PRESENT) != 0;
}

static inline const char *vocab_written(const struct vocab *v, int32_t id, size_t *len)
{
        *len = v->tokens[id].len;
        return v->text.data + v->tokens[id].at;
}

// Sets what decoding starts from, where it is not the written form; and what an id stands for. s lies outside this
// vocabulary.
enum dyn_status vocab_set_source(struct vocab *, int32_t id, const char *s, size_t len, struct dyn_error *);
enum dyn_status vocab_set_piece(struct vocab *, int32_t id, const char *s, size_t len, struct dyn_error *);

static inline const char *vocab_source(const struct vocab *v, int32_t id, size_t *len)
{
        *len = v->tokens[id].source_len;
        return v->text.data + v->tokens[id].source_at;
}

static inline const char *vocab_piece(const struct vocab *v, int32_t id, size_t *len)
{
        *len = v->tokens[id].piece_len;
        return v->text.data + v->tokens[id].piece_at;
}

void vocab_finish(struct vocab *);

#endif
