#include "text/vocab.h"

#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "text/utf8.h"

#define MAX_TOKEN 0xffff     // bytes in a token; the longest in use are runs of some hundred spaces
#define MAX_TEXT  (1u << 30) // offsets are 32 bits, and pieces come after the written forms

static enum dyn_status room_for(const struct vocab *v, size_t len, struct dyn_error *err)
{
        if (len > MAX_TEXT - v->text.len)
                return dyn_fail(err, DYN_INVALID, "the vocabulary is over %u bytes of text", MAX_TEXT);
        return DYN_OK;
}

enum dyn_status vocab_set(struct vocab *v, int64_t id, const char *s, size_t len, struct dyn_error *err)
{
        if (id < 0 || id >= VOCAB_MAX_IDS)
                return dyn_fail(err, DYN_INVALID, "token \"%.*s\": expected an id from 0 to %d, found %lld",
                        (int)(len < 60 ? len : 60), s, VOCAB_MAX_IDS - 1, (long long)id);
        if (vocab_has(v, (int32_t)id))
                return dyn_fail(err, DYN_INVALID, "token \"%.*s\": its id %lld is another token's",
                        (int)(len < 60 ? len : 60), s, (long long)id);
        if (len == 0 || len > MAX_TOKEN || utf8_valid(s, len) != len)
                return dyn_fail(
                        err, DYN_INVALID, "token %lld: expected 1 to %d bytes of UTF-8", (long long)id, MAX_TOKEN);
        enum dyn_status st = room_for(v, len, err);
        if (st != DYN_OK)
                return st;
        if (id >= v->cap) {
                int cap = v->cap ? v->cap : 1024;

                while (cap <= id)
                        cap *= 2;
                v->tokens = mem_realloc(v->tokens, (size_t)cap * sizeof *v->tokens);
                memset(v->tokens + v->cap, 0, (size_t)(cap - v->cap) * sizeof *v->tokens);
                v->cap = cap;
        }
        if (id >= v->n)
                v->n = (int)id + 1;
        v->tokens[id] = (struct vocab_token){
                .at = (uint32_t)v->text.len,
                .len = (uint32_t)len,
                .source_at = (uint32_t)v->text.len,
                .source_len = (uint32_t)len,
                .flags = VOCAB_PRESENT,
        };
        buf_append(&v->text, s, len);
        return DYN_OK;
}

static void put_slot(struct vocab *v, int32_t id)
{
        size_t len, other_len;
        const char *s = vocab_written(v, id, &len);
        size_t i = map_hash(s, len) & (v->n_slots - 1);

        for (; v->slots[i] >= 0; i = (i + 1) & (v->n_slots - 1)) {
                const char *other = vocab_written(v, v->slots[i], &other_len);

                if (other_len == len && memcmp(other, s, len) == 0)
                        break;
        }
        v->n_indexed += v->slots[i] < 0;
        v->slots[i] = id;
}

static void grow(struct vocab *v)
{
        int32_t *old = v->slots;
        size_t n_old = v->n_slots;

        v->n_slots = n_old ? n_old * 2 : 4096;
        v->slots = mem_alloc(v->n_slots * sizeof *v->slots);
        memset(v->slots, 0xff, v->n_slots * sizeof *v->slots);
        v->n_indexed = 0;
        for (size_t i = 0; i < n_old; i++)
                if (old[i] >= 0)
                        put_slot(v, old[i]);
        mem_free(old);
}

void vocab_index(struct vocab *v, int32_t id)
{
        if (v->n_indexed * 2 >= v->n_slots)
                grow(v);
        put_slot(v, id);
        if (v->tokens[id].len > v->max_len)
                v->max_len = v->tokens[id].len;
}

int32_t vocab_find(const struct vocab *v, const char *s, size_t len)
{
        size_t other_len;

        if (len > v->max_len || v->n_slots == 0)
                return -1;
        for (size_t i = map_hash(s, len) & (v->n_slots - 1); v->slots[i] >= 0; i = (i + 1) & (v->n_slots - 1)) {
                const char *other = vocab_written(v, v->slots[i], &other_len);

                if (other_len == len && memcmp(other, s, len) == 0)
                        return v->slots[i];
        }
        return -1;
}

enum dyn_status vocab_set_source(struct vocab *v, int32_t id, const char *s, size_t len, struct dyn_error *err)
{
        enum dyn_status st = room_for(v, len, err);

        if (st != DYN_OK)
                return st;
        v->tokens[id].source_at = (uint32_t)v->text.len;
        v->tokens[id].source_len = (uint32_t)len;
        buf_append(&v->text, s, len);
        return DYN_OK;
}

enum dyn_status vocab_set_piece(struct vocab *v, int32_t id, const char *s, size_t len, struct dyn_error *err)
{
        struct vocab_token *t = &v->tokens[id];
        enum dyn_status st = room_for(v, len, err);

        if (st != DYN_OK)
                return st;
        t->piece_at = t->source_at;
        t->piece_len = (uint32_t)len;
        if (t->source_len == len && memcmp(v->text.data + t->source_at, s, len) == 0)
                return DYN_OK;
        t->piece_at = (uint32_t)v->text.len;
        buf_append(&v->text, s, len);
        return DYN_OK;
}

void vocab_finish(struct vocab *v)
{
        buf_free(&v->text);
        mem_free(v->tokens);
        mem_free(v->slots);
        *v = (struct vocab){0};
}
