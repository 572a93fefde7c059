#include "text/bpe.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "text/bytelevel.h"
#include "text/utf8.h"

#define NO_RANK UINT32_MAX

struct bpe_merge {
        int32_t a, b; // a -1: empty
        int32_t ab;
        uint32_t rank;
};

// A piece of the word under merge; the pieces are a doubly linked list in text order.
struct bpe_symbol {
        int32_t id;          // -1: a character without a token
        uint32_t start, len; // in the text; len 0: merged into the one before
        int prev, next;      // -1 at the ends
};

// A pair that can be merged, keyed by rank, then place: the heap's order.
struct bpe_pair {
        uint64_t key; // rank << 32 | index of the left symbol
        int32_t id;   // what it becomes
};

void bpe_init(struct bpe *b, const struct vocab *vocab)
{
        char name[8];

        b->vocab = vocab;
        for (int i = 0; i < 256; i++) {
                int n = b->byte_level ? bytelevel_put(name, (unsigned char)i) : (name[0] = (char)i, 1);

                b->first[i] = b->byte_level || i < 128 ? vocab_find(vocab, name, (size_t)n) : -1;
                snprintf(name, sizeof name, "<0x%02X>", i);
                b->bytes[i] = vocab_find(vocab, name, 6);
        }
}

static size_t slot_of(const struct bpe *b, int32_t left, int32_t right)
{
        uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
        uint64_t h = (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
        size_t i = (h >> 20) & (b->n_slots - 1);

        while (b->merges[i].a >= 0 && (b->merges[i].a != left || b->merges[i].b != right))
                i = (i + 1) & (b->n_slots - 1);
        return i;
}

static void grow_merges(struct bpe *b)
{
        struct bpe_merge *old = b->merges;
        size_t n_old = b->n_slots;

        b->n_slots = n_old ? n_old * 2 : 1024;
        b->merges = mem_array(b->n_slots, sizeof *b->merges);
        for (size_t i = 0; i < b->n_slots; i++)
                b->merges[i].a = -1;
        for (size_t i = 0; i < n_old; i++)
                if (old[i].a >= 0)
                        b->merges[slot_of(b, old[i].a, old[i].b)] = old[i];
        mem_free(old);
}

void bpe_add_merge(struct bpe *b, int32_t left, int32_t right, int32_t ab)
{
        if (b->n_merges * 2 >= b->n_slots)
                grow_merges(b);
        b->merges[slot_of(b, left, right)] = (struct bpe_merge){left, right, ab, (uint32_t)b->n_merges};
        b->n_merges++;
}

struct scored {
        float score;
        int32_t id;
};

static int best_first(const void *a, const void *b)
{
        const struct scored *x = a, *y = b;

        return x->score < y->score ? 1 : x->score > y->score ? -1 : (x->id > y->id) - (x->id < y->id);
}

void bpe_rank_by_score(struct bpe *b, const float *scores)
{
        int n = b->vocab->n;
        struct scored *order = mem_array((size_t)n, sizeof *order);
        uint32_t rank = 0;
        size_t len;

        b->ranks = mem_alloc((size_t)n * sizeof *b->ranks);
        for (int i = 0; i < n; i++)
                order[i] = (struct scored){scores[i], i};
        qsort(order, (size_t)n, sizeof *order, best_first);
        for (int i = 0; i < n; i++) {
                int32_t id = order[i].id;
                const char *s = vocab_written(b->vocab, id, &len);

                rank += i > 0 && order[i].score != order[i - 1].score;
                b->ranks[id] = vocab_find(b->vocab, s, len) == id ? rank : NO_RANK;
        }
        for (int i = 0; i < 256; i++)
                b->ranks[b->bytes[i]] = NO_RANK;
        mem_free(order);
}

void bpe_finish(struct bpe *b)
{
        mem_free(b->merges);
        mem_free(b->ranks);
        *b = (struct bpe){0};
}

void bpe_scratch_finish(struct bpe_scratch *w)
{
        mem_free(w->symbols);
        mem_free(w->heap);
        buf_free(&w->written);
        *w = (struct bpe_scratch){0};
}

// One word on its way to ids.
struct merging {
        const struct bpe *bpe;
        struct bpe_scratch *w;
        const char *text;
        bool forge;
};

static bool may_make(const struct merging *m, int32_t id)
{
        return id >= 0 && (m->forge || (m->bpe->vocab->tokens[id].flags & VOCAB_SPECIAL) == 0);
}

static void add_symbol(struct bpe_scratch *w, int32_t id, size_t start, size_t len)
{
        if (w->n_symbols == w->cap_symbols) {
                w->cap_symbols = w->cap_symbols ? w->cap_symbols * 2 : 256;
                w->symbols = mem_realloc(w->symbols, (size_t)w->cap_symbols * sizeof *w->symbols);
        }
        w->symbols[w->n_symbols] = (struct bpe_symbol){
                .id = id,
                .start = (uint32_t)start,
                .len = (uint32_t)len,
                .prev = w->n_symbols - 1,
                .next = w->n_symbols + 1,
        };
        w->n_symbols++;
}

// The byte tokens of a character; false if the vocabulary lacks one of them.
static bool add_bytes(const struct merging *m, size_t start, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (m->bpe->bytes[(unsigned char)m->text[start + i]] < 0)
                        return false;
        for (size_t i = 0; i < len; i++)
                add_symbol(m->w, m->bpe->bytes[(unsigned char)m->text[start + i]], start + i, 1);
        return true;
}

// The symbols that merging starts from. An unknown character waits until the next known one, so that neighbours can be
// fused; byte tokens do not end the wait (nor do they in `tokenizers`).
static void split_symbols(const struct merging *m, size_t len)
{
        const struct bpe *b = m->bpe;
        size_t unk_start = 0, unk_len = 0;

        m->w->n_symbols = 0;
        for (size_t i = 0, n; i < len; i += n) {
                n = b->byte_level ? 1 : (size_t)utf8_len(m->text + i);
                int32_t id = n == 1 ? b->first[(unsigned char)m->text[i]] : vocab_find(b->vocab, m->text + i, n);

                if (may_make(m, id) || b->ranks != NULL) {
                        if (unk_len != 0)
                                add_symbol(m->w, b->unk, unk_start, unk_len);
                        unk_len = 0;
                        add_symbol(m->w, may_make(m, id) ? id : -1, i, n);
                } else if (!(b->byte_fallback && add_bytes(m, i, n)) && b->unk >= 0) {
                        if (unk_len != 0 && b->fuse_unk) {
                                unk_len += n;
                                continue;
                        }
                        if (unk_len != 0)
                                add_symbol(m->w, b->unk, unk_start, unk_len);
                        unk_start = i;
                        unk_len = n;
                }
        }
        if (unk_len != 0)
                add_symbol(m->w, b->unk, unk_start, unk_len);
        if (m->w->n_symbols > 0)
                m->w->symbols[m->w->n_symbols - 1].next = -1;
}

// Whether the symbol and its neighbour to the right can be merged, and into what.
static bool find_pair(const struct merging *m, int left, struct bpe_pair *pair)
{
        const struct bpe *b = m->bpe;
        const struct bpe_symbol *l = &m->w->symbols[left], *r = &m->w->symbols[l->next];
        uint32_t rank;

        if (b->ranks != NULL) {
                pair->id = vocab_find(b->vocab, m->text + l->start, (size_t)l->len + r->len);
                if (!may_make(m, pair->id) || b->ranks[pair->id] == NO_RANK)
                        return false;
                rank = b->ranks[pair->id];
        } else {
                if (b->n_slots == 0)
                        return false;
                const struct bpe_merge *merge = &b->merges[slot_of(b, l->id, r->id)];
                if (merge->a < 0 || !may_make(m, merge->ab))
                        return false;
                pair->id = merge->ab;
                rank = merge->rank;
        }
        pair->key = (uint64_t)rank << 32 | (uint32_t)left;
        return true;
}

static void heap_push(struct bpe_scratch *w, struct bpe_pair pair)
{
        if (w->n_heap == w->cap_heap) {
                w->cap_heap = w->cap_heap ? w->cap_heap * 2 : 256;
                w->heap = mem_realloc(w->heap, w->cap_heap * sizeof *w->heap);
        }
        size_t i = w->n_heap++;
        for (; i > 0 && w->heap[(i - 1) / 2].key > pair.key; i = (i - 1) / 2)
                w->heap[i] = w->heap[(i - 1) / 2];
        w->heap[i] = pair;
}

static struct bpe_pair heap_pop(struct bpe_scratch *w)
{
        struct bpe_pair top = w->heap[0], last = w->heap[--w->n_heap];
        size_t i = 0;

        for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
                if (child + 1 < w->n_heap && w->heap[child + 1].key < w->heap[child].key)
                        child++;
                if (last.key <= w->heap[child].key)
                        break;
                w->heap[i] = w->heap[child];
        }
        w->heap[i] = last;
        return top;
}

static void push_pair(const struct merging *m, int left)
{
        struct bpe_pair pair;

        if (left >= 0 && m->w->symbols[left].next >= 0 && find_pair(m, left, &pair))
                heap_push(m->w, pair);
}

static void merge_symbols(const struct merging *m)
{
        struct bpe_symbol *symbols = m->w->symbols;
        struct bpe_pair now;

        m->w->n_heap = 0;
        for (int i = 0; i + 1 < m->w->n_symbols; i++)
                push_pair(m, i);
        while (m->w->n_heap > 0) {
                struct bpe_pair pair = heap_pop(m->w);
                struct bpe_symbol *l = &symbols[(uint32_t)pair.key];

                // Merges since it was pushed may have changed what stands here.
                if (l->len == 0 || l->next < 0 || !find_pair(m, (int)(uint32_t)pair.key, &now) || now.id != pair.id)
                        continue;
                struct bpe_symbol *r = &symbols[l->next];
                l->id = pair.id;
                l->len += r->len;
                l->next = r->next;
                r->len = 0;
                if (l->next >= 0)
                        symbols[l->next].prev = (int)(l - symbols);
                push_pair(m, l->prev);
                push_pair(m, (int)(l - symbols));
        }
}

// Only ranking by score leaves a character without a token up to here: it may have been part of a pair until now.
static void emit(const struct merging *m, struct tokens *out)
{
        for (int i = 0; i < m->w->n_symbols; i++) {
                const struct bpe_symbol *s = &m->w->symbols[i];

                if (s->len != 0 && s->id >= 0)
                        tokens_push(out, s->id);
                for (uint32_t j = 0; s->id < 0 && j < s->len; j++)
                        tokens_push(out, m->bpe->bytes[(unsigned char)m->text[s->start + j]]);
        }
}

// The id of the whole word, -1 if it is not a token.
static int32_t find_word(const struct merging *m, size_t len)
{
        const struct vocab *v = m->bpe->vocab;
        struct buf *written = &m->w->written;

        if (!m->bpe->byte_level || len > v->max_len)
                return vocab_find(v, m->text, len);
        buf_clear(written);
        for (size_t i = 0; i < len; i++)
                written->len += (size_t)bytelevel_put(buf_reserve(written, 4), (unsigned char)m->text[i]);
        return vocab_find(v, written->data, written->len);
}

void bpe_word(const struct bpe *b, struct bpe_scratch *w, const char *text, size_t len, bool forge, struct tokens *out)
{
        struct merging m = {b, w, text, forge};

        assert(len <= INT32_MAX);
        if (b->ignore_merges) {
                int32_t id = find_word(&m, len);

                if (may_make(&m, id)) {
                        tokens_push(out, id);
                        return;
                }
        }
        split_symbols(&m, len);
        merge_symbols(&m);
        emit(&m, out);
}
