/* SPDX-License-Identifier: MIT */
/*
 * One anonymous mapping, carved up at open and never again.
 *
 * The mapping is reserved without being touched: a page becomes resident when its first object is
 * used, so limits can be generous and an idle engine stays small. sealed: after weir_arena_seal()
 * taking more is a bug.
 */
#ifndef WEIR_CORE_ARENA_H
#define WEIR_CORE_ARENA_H

#include "core/base.h"

#define WEIR_CACHE_LINE 64u
#define WEIR_PAGE       4096u

struct weir_arena {
    uint8_t *base;
    uint64_t bytes;
    uint64_t used;
    bool sealed;
};

/* Reserve `bytes`. @return 0 or -ENOMEM (weir_error_text() tells how much was wanted) */
int weir_arena_open(struct weir_arena *arena, uint64_t bytes) WEIR_MUST_USE;
void weir_arena_close(struct weir_arena *arena);

/* The next `bytes`, zeroed, aligned to a power of two. The sum given to open must have room:
 * asserted. */
void *weir_arena_take(struct weir_arena *arena, uint64_t bytes, uint64_t align);
void weir_arena_seal(struct weir_arena *arena);

/* What weir_arena_take() may use for an object, whatever the alignment before it: for the sums. */
static inline uint64_t weir_arena_cost(uint64_t bytes, uint64_t align)
{
    return bytes + align - 1;
}

#endif
