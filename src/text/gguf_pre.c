#include "text/gguf_pre.h"

#include <string.h>

#include "text/pattern.h"

// Llama 3 and Qwen 2 differ in how many digits stay together.
#define CONTRACTED "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define REST       "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3     CONTRACTED "\\p{N}{1,3}" REST
#define QWEN2      CONTRACTED "\\p{N}" REST

#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TEKKEN                                                                                                         \
        "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*|\\p{N}"                 \
        "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct gguf_pre table[] = {
        {.name = "gpt-2", .patterns = {PATTERN_GPT2}},
        {.name = "smollm", .patterns = {"\\p{N}", PATTERN_GPT2}},
        {.name = "starcoder", .patterns = {"\\p{N}", PATTERN_GPT2}},
        {.name = "refact", .patterns = {"\\p{N}", PATTERN_GPT2}},
        {.name = "llama-bpe", .patterns = {LLAMA3}, .ignore_merges = true, .add_bos = true},
        {.name = "llama3", .patterns = {LLAMA3}, .ignore_merges = true, .add_bos = true},
        {.name = "llama-v3", .patterns = {LLAMA3}, .ignore_merges = true, .add_bos = true},
        {.name = "qwen2", .patterns = {QWEN2}, .nfc = true},
        {.name = "deepseek-r1-qwen", .patterns = {QWEN2}, .nfc = true},
        {.name = "deepseek-coder",
                .patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"}},
        {.name = "tekken", .patterns = {TEKKEN}, .ignore_merges = true},
};

const struct gguf_pre *gguf_pre_find(const char *name, size_t len)
{
        for (size_t i = 0; i < sizeof table / sizeof *table; i++)
                if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
                        return &table[i];
        return NULL;
}
