/* SPDX-License-Identifier: MIT */
/* The engine's state, for core/ and io/. */
#ifndef WEIR_CORE_ENGINE_H
#define WEIR_CORE_ENGINE_H

#include "core/arena.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "core/op.h"
#include "core/pool.h"
#include "core/sched.h"
#include "core/sock.h"
#include "core/trace.h"
#include "core/wheel.h"

#include <sys/uio.h>
#include <weir/engine.h>

/*
 * Output memory comes in chunks of 65 cache lines: 4 KiB of bytes behind a small head, so that 16
 * pipelined answers of usual size are one piece and leave by a plain send (2 to 7 % of their CPU
 * time against 2 KiB). The odd number of lines spreads the chunks over the sets of the caches; a
 * power of two would put all heads into a few.
 */
#define WEIR_CHUNK_BYTES (65 * WEIR_CACHE_LINE)

/* A block of stash memory has one line in front of its bytes. */
#define WEIR_STASH_HEAD_BYTES WEIR_CACHE_LINE

/* The same reason: receive buffers are one line further apart than they are long. */
#define WEIR_BUF_GAP WEIR_CACHE_LINE

/* Parts of one gathered send. The kernel copies up to 8 without an allocation (UIO_FASTIOV). */
#define WEIR_SEND_PARTS_MAX 8

/* A gathered send's description: lives until the enter that starts it. */
struct weir_gather {
    struct msghdr msg;
    struct iovec parts[WEIR_SEND_PARTS_MAX];
};

/* Something to be done once in this pass (or the next, when it is put on the list by another such
 * thing). */
struct weir_ready {
    struct weir_list link;
    void (*run)(struct weir_ready *ready);
};

struct weir_ring_type;
struct weir_seg;

/* Buffers a ring can have registered: WEIR_RING_BUFFERS, asserted in engine.c. */
#define WEIR_REGISTERED_MAX 16

struct weir_engine {
    /* hot: every pass and every completion */
    struct weir_ring *ring;
    const struct weir_sock_ops *sock; /* the ring's world's */
    uint64_t now_ns;
    uint64_t wake_lead_ns; /* how much before a timer to wake: see engine.c */
    weir_on_done *on_done[WEIR_OP_COUNT];
    struct weir_pool slots;
    uint8_t *bufs;
    uint32_t buf_stride;
    uint32_t bufs_count;
    struct weir_sched sched;
    struct weir_list ready;  /* struct weir_ready: first */
    struct weir_list flush;  /* struct weir_ready: connections with output, last */
    struct weir_pool chunks; /* output */
    struct weir_pool stash;  /* input that waits */
    struct weir_gather *gathers;
    uint32_t gathers_max, gathers_used;
    uint32_t stash_block_bytes;
    uint32_t reap_max; /* completions handled in one pass */
    uint32_t depth;    /* > 0 inside a pass: open and close calls of the application are refused by
                        assertion */
    uint32_t owners;   /* servers, clients open */
    uint32_t conns_max;
    uint32_t zc_used;    /* slots of zero-copy sends */
    uint32_t watch_used; /* slots of watched descriptors */
    bool can_zc;
    /* Borrowed output whose owners are to be told: io/sendq.c */
    struct weir_seg *freed_first, *freed_last;
    struct weir_ready freed;
    struct weir_slice registered[WEIR_REGISTERED_MAX]; /* by buffer number; 0 is our own */
    /* Receive buffers the application holds */
    uint16_t *holds; /* by buffer: how often */
    uint32_t holds_used, holds_max;
    uint32_t buf_current; /* of the completion being handled; UINT32_MAX = none */
    struct weir_engine_stats stats;
    struct weir_trace trace;
    struct weir_mailbox mailbox;
    struct weir_wheel wheel;
    /* cold */
    struct weir_slot *doorbell;
    char fallback[512];     /* why it is epoll; empty = it is not, or was asked for */
    int host_fd, timer_fd;  /* of weir_engine_fd(); -1 = not asked for */
    uint64_t host_timer_ns; /* what timer_fd is set to; 0 = nothing */
    uint64_t doorbell_value;
    struct weir_arena arena;
};

/*
 * For tests: while it is not NULL every engine that is opened runs on this twin, which finds the
 * argument in its configuration.
 */
extern const struct weir_ring_type *weir_ring_override;
extern void *weir_ring_override_arg;

/* Sockets in use, the doorbell included. */
static inline uint32_t weir_sockets_used(const struct weir_engine *engine)
{
    return engine->slots.used - engine->zc_used - engine->watch_used;
}

/* Wait for other threads' posts from now on. */
void weir_engine_doorbell_open(struct weir_engine *engine);

/* Outside of a pass the clock of the last pass may be old: read it again. */
void weir_engine_refresh_clock(struct weir_engine *engine);

static inline void weir_ready_push(struct weir_list *list, struct weir_ready *ready)
{
    if (!weir_list_linked(&ready->link))
        weir_list_push_back(list, &ready->link);
}

/* A result that no rule covers: counted and traced; the caller closes that connection only. */
void weir_unexpected(struct weir_engine *engine, enum weir_op_kind kind,
                     const struct weir_slot *slot, int res);

#endif
