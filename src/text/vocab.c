#include "text/vocab.h"

#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "text/utf8.h"

#define MAX_TOKEN 0xffff     // bytes in a token; the longest in use are runs of some hundred spaces
#define MAX_TEXT  (1u << 30) // offsets are 32 bits, and pieces come after the written forms

// Holds what a look-up compares, so that it touches nothing but this and the text.
struct vocab_slot {
        uint32_t hash;
        int32_t id; // -1: empty
        uint32_t at, len;
};

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

static struct vocab_slot *slot_of(const struct vocab *v, const char *s, size_t len, uint32_t hash)
{
        size_t i = hash & (v->n_slots - 1);

        for (; v->slots[i].id >= 0; i = (i + 1) & (v->n_slots - 1)) {
                const struct vocab_slot *slot = &v->slots[i];

                if (slot->hash == hash && slot->len == len && memcmp(v->text.data + slot->at, s, len) == 0)
                        break;
        }
        return &v->slots[i];
}

static void grow(struct vocab *v)
{
        struct vocab_slot *old = v->slots;
        size_t n_old = v->n_slots;

        v->n_slots = n_old ? n_old * 2 : 4096;
        v->slots = mem_alloc(v->n_slots * sizeof *v->slots);
        for (size_t i = 0; i < v->n_slots; i++)
                v->slots[i].id = -1;
        for (size_t i = 0; i < n_old; i++)
                if (old[i].id >= 0)
                        *slot_of(v, v->text.data + old[i].at, old[i].len, old[i].hash) = old[i];
        mem_free(old);
}

void vocab_index(struct vocab *v, int32_t id)
{
        const struct vocab_token *t = &v->tokens[id];
        const char *s = v->text.data + t->at;
        uint32_t hash = (uint32_t)map_hash(s, t->len);

        if (v->n_indexed * 2 >= v->n_slots)
                grow(v);
        struct vocab_slot *slot = slot_of(v, s, t->len, hash);
        v->n_indexed += slot->id < 0;
        *slot = (struct vocab_slot){hash, id, t->at, t->len};
        if (t->len > v->max_len)
                v->max_len = t->len;
}

int32_t vocab_find(const struct vocab *v, const char *s, size_t len)
{
        if (len > v->max_len || v->n_slots == 0)
                return -1;
        return slot_of(v, s, len, (uint32_t)map_hash(s, len))->id;
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
        if (len == 0 || (t->source_len == len && memcmp(v->text.data + t->source_at, s, len) == 0))
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
