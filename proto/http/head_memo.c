/* SPDX-License-Identifier: MIT */
#include "proto/http/head_memo.h"

/* The same place in another copy of the same bytes. */
static void rebase(struct weir_slice *slice, const uint8_t *from, const uint8_t *to)
{
    if (slice->ptr != NULL)
        slice->ptr = to + (slice->ptr - from);
}

bool weir_head_memo_hit(struct weir_head_memo *memo, struct weir_http1_head *head,
                        struct weir_slice in)
{
    if (memo->bytes == 0 || in.len < memo->bytes || memcmp(in.ptr, memo->copy, memo->bytes) != 0)
        return false;
    const uint8_t *from = head->base;
    head->base = in.ptr;
    rebase(&head->method, from, in.ptr);
    rebase(&head->target, from, in.ptr);
    rebase(&head->host, from, in.ptr);
    memo->misses = 0;
    return true;
}

void weir_head_memo_store(struct weir_head_memo *memo, const struct weir_http1_head *head,
                          struct weir_slice in)
{
    memo->bytes = 0;
    if (memo->rest > 0) {
        memo->rest--;
        return;
    }
    if (++memo->misses > WEIR_HEAD_MEMO_MISSES) {
        memo->misses = 0;
        memo->rest = WEIR_HEAD_MEMO_REST;
        return;
    }
    /* Not with empty lines in front: then the head does not begin where the bytes do. */
    if (head->bytes > WEIR_HEAD_MEMO_BYTES || head->base != in.ptr)
        return;
    memcpy(memo->copy, in.ptr, head->bytes);
    memo->bytes = head->bytes;
}
