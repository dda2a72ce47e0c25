/* SPDX-License-Identifier: MIT */
/*
 * Sending without copying (SEND_ZC): when it is tried, and whose memory the kernel still uses.
 *
 * The kernel may copy all the same - on loopback it always does, since the bytes would be shared
 * with the reader - and then zero copy costs more than a plain send. It reports that, so a listener
 * learns: each copied send makes it wait twice as long, counted in large sends, before the next
 * try.
 *
 * A send has a record of its own, since its notification comes when the peer has acknowledged the
 * bytes: after other sends, or after the end of the connection. Nothing waits for it but the
 * memory.
 */
#ifndef WEIR_IO_ZC_H
#define WEIR_IO_ZC_H

#include "io/sendq.h"

struct weir_conn;

/* Shorter pieces are cheaper to copy, on every card and kernel that figures are known of. */
#define WEIR_ZC_BYTES_MIN 16384u

/* The longest wait, in large sends, between two tries, when all peers are local. */
#define WEIR_ZC_SKIP_MAX 65536u

/* So long an ended connection waits for its peer to read what the kernel must not lose. */
#define WEIR_ZC_HELD_NS 60000000000u

/* What a listener knows about its peers. All zeros = nothing yet: the first is a try. */
struct weir_zc_policy {
    uint32_t skip;      /* large sends to be copied before the next try */
    uint32_t skip_next; /* and after that one, if it is copied again */
};

/* Is the next large send to be without copy? Counts it. */
bool weir_zc_policy_try(struct weir_zc_policy *policy);
/* The kernel's report about a try. */
void weir_zc_policy_report(struct weir_zc_policy *policy, bool copied);

/*
 * Send the front of conn->out, a borrowed segment of at least WEIR_ZC_BYTES_MIN bytes, without
 * copying. @return false: not now (no such ring, no record free, the policy): send it plainly
 */
bool weir_zc_send(struct weir_conn *conn);

#endif
