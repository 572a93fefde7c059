#include "base/map.h"

#include <string.h>

#include "base/alloc.h"

struct map_slot {
        char *key; // NULL: never used; removed: a key was here
        size_t len;
        uint64_t hash, value;
};

static char removed[1];

static uint64_t mix(uint64_t a, uint64_t b)
{
        __uint128_t m = (__uint128_t)a * b;

        return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t map_hash(const void *key, size_t len)
{
        const unsigned char *p = key;
        uint64_t h = 0x9e3779b97f4a7c15u ^ len, w;

        for (; len >= 8; len -= 8, p += 8) {
                memcpy(&w, p, 8);
                h = mix(h ^ w, 0xa0761d6478bd642fu);
        }
        w = 0;
        memcpy(&w, p, len);
        return mix(h ^ w, 0xe7037ed1a0b428dbu);
}

static struct map_slot *find(const struct map *m, const void *key, size_t len, uint64_t hash)
{
        for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
                struct map_slot *s = &m->slots[i];

                if (s->key == NULL)
                        return NULL;
                if (s->key != removed && s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0)
                        return s;
        }
}

static struct map_slot *vacant(const struct map *m, uint64_t hash)
{
        size_t i = hash & (m->cap - 1);

        while (m->slots[i].key != NULL)
                i = (i + 1) & (m->cap - 1);
        return &m->slots[i];
}

static void rehash(struct map *m)
{
        struct map old = *m;

        m->cap = 16;
        while (m->cap < old.n * 4)
                m->cap *= 2;
        m->slots = mem_array(m->cap, sizeof *m->slots);
        m->used = old.n;
        for (size_t i = 0; i < old.cap; i++)
                if (old.slots[i].key != NULL && old.slots[i].key != removed)
                        *vacant(m, old.slots[i].hash) = old.slots[i];
        mem_free(old.slots);
}

void map_put(struct map *m, const void *key, size_t len, uint64_t value)
{
        uint64_t hash = map_hash(key, len);
        struct map_slot *s = m->cap ? find(m, key, len, hash) : NULL;

        if (s != NULL) {
                s->value = value;
                return;
        }
        if ((m->used + 1) * 4 > m->cap * 3)
                rehash(m);
        char *copy = mem_alloc(len);
        if (len != 0)
                memcpy(copy, key, len);
        *vacant(m, hash) = (struct map_slot){copy, len, hash, value};
        m->n++;
        m->used++;
}

bool map_get(const struct map *m, const void *key, size_t len, uint64_t *value)
{
        struct map_slot *s = m->cap ? find(m, key, len, map_hash(key, len)) : NULL;

        if (s == NULL)
                return false;
        *value = s->value;
        return true;
}

bool map_remove(struct map *m, const void *key, size_t len)
{
        struct map_slot *s = m->cap ? find(m, key, len, map_hash(key, len)) : NULL;

        if (s == NULL)
                return false;
        mem_free(s->key);
        s->key = removed;
        m->n--;
        return true;
}

void map_free(struct map *m)
{
        for (size_t i = 0; i < m->cap; i++)
                if (m->slots[i].key != removed)
                        mem_free(m->slots[i].key);
        mem_free(m->slots);
        *m = (struct map){0};
}
