// A tokenizer from hostile bytes: up to the first NUL a tokenizer.json, after it a text. What is accepted encodes any
// text, gives out whole characters, and lets no text forge a special token.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "text/detok.h"
#include "text/parts.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const struct tokenizer *t, const struct tokens *ids, bool skip_special)
{
        struct buf out = {0};
        struct detok d;
        size_t len;

        buf_puts(&out, ""); // so that data can be pointed into
        detok_init(&d, t, skip_special);
        for (int i = 0; i < ids->n; i++) {
                size_t before = out.len;

                if (ids->ids[i] < 0 || ids->ids[i] >= tokenizer_n_ids(t))
                        abort();
                tokenizer_piece(t, ids->ids[i], &len);
                detok_push(&d, ids->ids[i], &out);
                if (utf8_valid(out.data + before, out.len - before) != out.len - before)
                        abort();
        }
        detok_finish(&d, &out);
        if (utf8_valid(out.data, out.len) != out.len)
                abort();
        buf_free(&out);
}

static void encode(const struct tokenizer *t, const char *text, size_t len, bool special)
{
        struct tokens ids = {0};

        tokenizer_encode(t, text, len, special, special, &ids);
        for (int i = 0; !special && i < ids.n; i++) {
                uint32_t flags = t->vocab.tokens[ids.ids[i]].flags;

                // Unknown characters and bytes must be said even where the model calls their tokens special.
                if ((flags & VOCAB_SPECIAL) != 0 && ids.ids[i] != t->bpe.unk && !t->bpe.byte_fallback)
                        abort();
        }
        decode(t, &ids, special);
        tokens_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *nul = memchr(data, 0, size);
        size_t n = nul ? (size_t)(nul - data) : size;
        struct tokenizer *t = mem_zalloc(sizeof *t);
        struct dyn_error err = {0};

        if (hf_tokenizer_parse(t, (const char *)data, n, &err) == DYN_OK) {
                const char *text = nul ? (const char *)nul + 1 : "";

                encode(t, text, nul ? size - n - 1 : 0, true);
                encode(t, text, nul ? size - n - 1 : 0, false);
        } else if (err.text[0] == 0) {
                abort();
        }
        tokenizer_destroy(t);
        return 0;
}
