/* SPDX-License-Identifier: MIT */
/*
 * The epoll twin's state: ring_epoll.c is the ring, ring_epoll_op.c its descriptors and the
 * operations that wait for them.
 */
#ifndef WEIR_CORE_RING_EPOLL_H
#define WEIR_CORE_RING_EPOLL_H

#include "core/assert.h"
#include "core/pool.h"
#include "core/ring.h"

#include <sys/epoll.h>
#include <sys/uio.h>

/*
 * Descriptors are looked up by their number. Up to the default of fs.nr_open, beyond which a
 * process has none on an untuned host; sockets with higher numbers are refused with -EMFILE. Only
 * the pages of numbers in use are touched.
 */
#define WEIR_EPOLL_FDS_MAX (1 << 20)

/* Events of one wait: more stay in the kernel, which goes round its list. */
#define WEIR_EPOLL_EVENTS_MAX 256

/* Parts that a gathered send keeps when it has to wait; more are left out, as after a short count.
 */
#define WEIR_EPOLL_PARTS_MAX 8

enum weir_epoll_kind {
    WEIR_EPOLL_ACCEPT,
    WEIR_EPOLL_RECV,
    WEIR_EPOLL_READ,
    WEIR_EPOLL_SEND,
    WEIR_EPOLL_SENDMSG,
    WEIR_EPOLL_CONNECT,
    WEIR_EPOLL_POLL,
    WEIR_EPOLL_CANCEL_FD,
    WEIR_EPOLL_CANCEL,
    WEIR_EPOLL_COUNT
};

enum weir_epoll_dir { WEIR_EPOLL_DIR_IN, WEIR_EPOLL_DIR_OUT, WEIR_EPOLL_DIR_COUNT };

struct weir_epoll_op {
    struct weir_epoll_op *next; /* in the queue, on its descriptor's list; while free, the pool's */
    struct weir_epoll_op *hash_next;
    uint64_t user_data;
    int fd;
    uint8_t kind;
    bool multi;   /* accept and receive: goes on */
    bool begun;   /* connect: on its way */
    uint8_t kept; /* sendmsg: parts that were copied; 0: `msg` is the caller's */
    union {
        struct iovec in;       /* read */
        struct weir_slice out; /* send */
        const struct msghdr *msg;
        struct weir_sockaddr addr;
        uint32_t events; /* poll */
        struct {
            uint64_t target;
            int32_t count; /* victims so far */
        } cancel;
    };
    struct iovec parts[WEIR_EPOLL_PARTS_MAX];
};

struct weir_epoll_fd {
    /* The last parked operation, linked to the first; NULL: none. */
    struct weir_epoll_op *tail[WEIR_EPOLL_DIR_COUNT];
    int todo_next;
    uint8_t blocked; /* directions that would block when last tried, and no event since */
    uint8_t watched; /* directions registered with epoll */
    uint8_t flags;   /* see ring_epoll_op.c */
};

struct weir_epoll {
    struct weir_ring base;
    struct weir_sock_ops sock;
    int epoll_fd;
    bool pwait2;      /* waits in ns; else ms */
    bool looked_away; /* the enter before did not ask epoll */
    bool asked;       /* ready() did, after it */

    struct weir_cqe *cqes;
    uint32_t cq_mask, cq_head, cq_tail;

    struct weir_epoll_op *queue_head, *queue_tail;
    struct weir_epoll_fd *fds;
    int todo_head, todo_tail;
    uint32_t todo_count;

    struct weir_epoll_op **buckets; /* of parked operations, by user_data */
    uint32_t buckets_shift;

    uint8_t *bufs;
    uint32_t buf_bytes, buf_stride, bufs_count;
    uint32_t *bufs_free, *bufs_back; /* usable, last in first out since it is warm; and put */
    uint32_t bufs_free_count, bufs_back_count;

    struct weir_pool ops;
    int pollable_fd, nudge_fd; /* see epoll_pollable(); -1 = none */
    bool nudged;
    struct epoll_event events[WEIR_EPOLL_EVENTS_MAX];
};

static inline struct weir_epoll *weir_epoll_of(struct weir_ring *ring)
{
    return (struct weir_epoll *)(void *)ring;
}

static inline uint32_t weir_epoll_visible(const struct weir_epoll *e)
{
    return e->cq_tail - e->cq_head;
}

static inline bool weir_epoll_full(const struct weir_epoll *e)
{
    return weir_epoll_visible(e) > e->cq_mask;
}

static inline bool weir_epoll_fd_known(int fd)
{
    return fd >= 0 && fd < WEIR_EPOLL_FDS_MAX;
}

/* The number stands for another file from now on; nothing may be in flight on it. */
void weir_epoll_fd_reset(struct weir_epoll *e, int fd, bool tcp);

/* Try an operation, for the first time. It completes, or is parked. There must be room for a
 * completion. */
void weir_epoll_start(struct weir_epoll *e, struct weir_epoll_op *op);

/* Run a cancel. False: the completion queue is full, it must be run again when there is room. */
bool weir_epoll_cancel(struct weir_epoll *e, struct weir_epoll_op *op) WEIR_MUST_USE;

/* Note an event; weir_epoll_todo_run() acts on it. */
void weir_epoll_event(struct weir_epoll *e, const struct epoll_event *event);

/* One turn for each descriptor whose operations can go on, as far as there is room for completions.
 */
void weir_epoll_todo_run(struct weir_epoll *e);

#endif
