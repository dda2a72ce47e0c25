/* SPDX-License-Identifier: MIT */
/*
 * The head that was parsed last, by its bytes.
 *
 * Whoever asks the same thing again over a connection - probes, polls, clients whose fields do not
 * change - sends the same bytes, and what they mean does not depend on anything else. Comparing 60
 * bytes takes 5 ns where parsing them takes 50 to 60: a tenth of a pipelined request. Where heads
 * differ from one to the next the memo gives up after a few and looks again only now and then.
 */
#ifndef WEIR_PROTO_HTTP_HEAD_MEMO_H
#define WEIR_PROTO_HTTP_HEAD_MEMO_H

#include "core/base.h"

#include <weir/http1.h>

/* Longer heads are parsed: they hold what differs, cookies and traces. */
#define WEIR_HEAD_MEMO_BYTES 256u
/* Misses in a row after which it rests, and for how many heads. */
#define WEIR_HEAD_MEMO_MISSES 16u
#define WEIR_HEAD_MEMO_REST   256u

/* All zeros = empty. */
struct weir_head_memo {
    uint32_t bytes; /* of the head below; 0 = there is none */
    uint32_t misses;
    uint32_t rest; /* heads to go by before the next is remembered */
    uint8_t copy[WEIR_HEAD_MEMO_BYTES];
};

/*
 * Does `in` begin with the head that was remembered? Then `head`, which nobody has changed since,
 * is made to tell of `in`.
 */
bool weir_head_memo_hit(struct weir_head_memo *memo, struct weir_http1_head *head,
                        struct weir_slice in);

/* `head` was just parsed from the beginning of `in`. */
void weir_head_memo_store(struct weir_head_memo *memo, const struct weir_http1_head *head,
                          struct weir_slice in);

#endif
