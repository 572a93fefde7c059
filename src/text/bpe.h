// Byte-pair encoding of one word: from its characters (or bytes) up, the best pair first, the leftmost of equals.
// Pairs are ranked by a list of merges, or by the score of the token that they make (SentencePiece). tokenizer.c calls
// it with each word that the pre-tokenizer leaves; it knows nothing of added tokens or of what stands around a word.
// Sources: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016; Kudo and Richardson,
// "SentencePiece", 2018.
#ifndef DYNLORA_TEXT_BPE_H
#define DYNLORA_TEXT_BPE_H

#include "text/tokenizer.h"
#include "text/vocab.h"

struct bpe {
        const struct vocab *vocab;
        bool byte_level;    // symbols are bytes, written in the alphabet of bytelevel.h; else characters
        bool byte_fallback; // a character without a token becomes its bytes' <0xXX> tokens
        bool fuse_unk;      // neighbouring unknown characters become one token
        bool ignore_merges; // a word that is a token stays whole
        int32_t unk;        // -1: unknown characters are dropped
        int32_t first[256]; // the token of a byte (byte_level) or of an ASCII character, -1
        int32_t bytes[256]; // the tokens <0x00> .. <0xFF>, -1

        struct bpe_merge *merges; // (n_slots) hash table by pair
        size_t n_slots, n_merges;
        uint32_t *ranks; // (vocab->n) by score, best 0; NULL where merges rank
};

// Finds first and bytes in the vocabulary, once it is whole and byte_level is set.
void bpe_init(struct bpe *, const struct vocab *);

// The next merge of the list: the tokens a and b become ab. A pair that stands twice keeps the later rank.
void bpe_add_merge(struct bpe *, int32_t a, int32_t b, int32_t ab);

// Ranks by score instead: (vocab->n) finite scores. Ids that are not indexed in the vocabulary are never made, nor
// are the <0xXX> tokens, which must all be there.
void bpe_rank_by_score(struct bpe *, const float *scores);

void bpe_finish(struct bpe *);

// Memory that a run of words shares. Zero-initialised is empty.
struct bpe_scratch {
        struct bpe_symbol *symbols; // (n_symbols)
        int n_symbols, cap_symbols;
        struct bpe_pair *heap; // (n_heap)
        size_t n_heap, cap_heap;
        struct buf written;
};

void bpe_scratch_finish(struct bpe_scratch *);

// Appends the ids of a word. text: UTF-8, or any bytes if byte_level. forge: special tokens may come out.
void bpe_word(const struct bpe *, struct bpe_scratch *, const char *text, size_t len, bool forge, struct tokens *out);

#endif
