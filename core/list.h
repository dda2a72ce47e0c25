/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list with a sentinel head. A node that is in no list points at itself, so
 * that "is it linked" is answerable and removing is O(1) and safe to repeat.
 */
#ifndef WEIR_CORE_LIST_H
#define WEIR_CORE_LIST_H

#include "core/assert.h"

#include <stddef.h>

struct weir_list {
    struct weir_list *next, *prev;
};

#define weir_container_of(ptr, type, member)                                                       \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void weir_list_init(struct weir_list *list)
{
    list->next = list->prev = list;
}

static inline bool weir_list_empty(const struct weir_list *list)
{
    return list->next == list;
}

static inline bool weir_list_linked(const struct weir_list *node)
{
    return node->next != node;
}

static inline void weir_list_push_back(struct weir_list *list, struct weir_list *node)
{
    WEIR_ASSERT(!weir_list_linked(node));
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

static inline void weir_list_push_front(struct weir_list *list, struct weir_list *node)
{
    weir_list_push_back(list->next, node);
}

static inline void weir_list_remove(struct weir_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    weir_list_init(node);
}

/* The first node, taken out; NULL when empty. */
static inline struct weir_list *weir_list_pop_front(struct weir_list *list)
{
    if (weir_list_empty(list))
        return NULL;
    struct weir_list *node = list->next;
    weir_list_remove(node);
    return node;
}

/* Move all nodes of `from` to the end of `into`. */
static inline void weir_list_splice_back(struct weir_list *into, struct weir_list *from)
{
    if (weir_list_empty(from))
        return;
    from->next->prev = into->prev;
    into->prev->next = from->next;
    from->prev->next = into;
    into->prev = from->prev;
    weir_list_init(from);
}

#endif
