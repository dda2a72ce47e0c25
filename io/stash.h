/* SPDX-License-Identifier: MIT */
/*
 * Input that must wait: a head that has not arrived whole, requests behind a limit, a paused body.
 *
 * Receive buffers always go back at the end of the completion that brought them, so that slow peers
 * cannot hold them; what cannot be used yet is copied here, into blocks of engine memory. Usually
 * that is nothing.
 */
#ifndef WEIR_IO_STASH_H
#define WEIR_IO_STASH_H

#include "core/engine.h"

struct weir_stash_block {
    struct weir_stash_block *next;
    uint32_t begin, end; /* of the bytes in data */
    uint8_t pad[WEIR_CACHE_LINE - 16];
    uint8_t data[];
};

struct weir_stash {
    struct weir_stash_block *first, *last;
    size_t bytes;
};

static inline bool weir_stash_empty(const struct weir_stash *stash)
{
    return stash->bytes == 0;
}

/* Keep a copy of all of `data`, or of nothing. @return 0 or -ENOBUFS */
int weir_stash_append(struct weir_engine *engine, struct weir_stash *stash,
                      struct weir_slice data) WEIR_MUST_USE;
/* The first bytes, as many as lie in one piece. */
struct weir_slice weir_stash_front(const struct weir_stash *stash);
/* Make the front longer by moving bytes of the next block to it. @return false when it cannot grow
 */
bool weir_stash_join(struct weir_engine *engine, struct weir_stash *stash);
/* Drop `bytes` of the front. */
void weir_stash_consume(struct weir_engine *engine, struct weir_stash *stash, size_t bytes);
void weir_stash_clear(struct weir_engine *engine, struct weir_stash *stash);

#endif
