// A doubly linked list whose links lie inside the items: the connections of a server, and those of them that have
// something to do. A link that is in no list points at itself.
#ifndef DYNLORA_HTTP_LINK_H
#define DYNLORA_HTTP_LINK_H

#include <stdbool.h>
#include <stddef.h>

struct link {
        struct link *prev, *next;
};

#define LINK_ITEM(link, type, field) ((type *)(void *)((char *)(link)-offsetof(type, field)))

static inline void link_init(struct link *l)
{
        l->prev = l->next = l;
}

static inline bool link_alone(const struct link *l)
{
        return l->next == l;
}

static inline void link_append(struct link *list, struct link *l)
{
        l->prev = list->prev;
        l->next = list;
        list->prev->next = l;
        list->prev = l;
}

static inline void link_remove(struct link *l)
{
        l->prev->next = l->next;
        l->next->prev = l->prev;
        link_init(l);
}

#endif
