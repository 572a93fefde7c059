// Token ids back to text, one at a time, without ever giving out half a character: bytes wait until the UTF-8 sequence
// is whole. What can no longer become valid comes out as U+FFFD, as `tokenizers` decodes it. The concatenation of all
// that comes out equals decoding the ids at once (also where the decoder strips a first space). One thread at a time;
// nothing to free.
#ifndef DYNLORA_TEXT_DETOK_H
#define DYNLORA_TEXT_DETOK_H

#include "text/tokenizer.h"

struct detok {
        const struct tokenizer *tokenizer;
        bool skip_special; // leave special tokens out
        bool started;      // a token came out
        int strip_left;    // characters that may still be stripped at the start
        // Byte-level: an unfinished character. Byte fallback: a run of byte tokens, which `tokenizers` decodes whole or
        // not at all, so that it waits until another token ends it; only whole characters leave a full run early.
        char pending[128];
        int n_pending;
};

void detok_init(struct detok *, const struct tokenizer *, bool skip_special);

// Appends what can be said for sure after this token: perhaps nothing. An id without a token says nothing.
void detok_push(struct detok *, int32_t id, struct buf *out);

// Appends what an unfinished end becomes.
void detok_finish(struct detok *, struct buf *out);

#endif
