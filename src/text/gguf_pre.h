// The pre-tokenizers that GGUF files name in "tokenizer.ggml.pre", as the tokenizer.json of those models have them.
// gguf_tokenizer.c looks them up; a name that is not here is refused, since a guess would cut words elsewhere.
#ifndef DYNLORA_TEXT_GGUF_PRE_H
#define DYNLORA_TEXT_GGUF_PRE_H

#include <stdbool.h>
#include <stddef.h>

struct gguf_pre {
        const char *name;
        const char *patterns[6]; // Oniguruma syntax, each isolates its matches
        bool nfc;                // the text is normalised to NFC first
        bool ignore_merges;
        bool add_bos; // unless the file says otherwise
};

const struct gguf_pre *gguf_pre_find(const char *name, size_t len);

#endif
