/* SPDX-License-Identifier: MIT */
/* The io_uring twin's state: ring_uring.c has its operations, ring_uring_setup.c opens it. */
#ifndef WEIR_CORE_RING_URING_H
#define WEIR_CORE_RING_URING_H

#include "core/assert.h"
#include "core/ring.h"

#include <liburing.h>

/* Newer than the headers of liburing 2.3; values of the kernel's UAPI. */
#define ENTER_ABS_TIMER (1u << 5) /* 6.12 */
#define ENTER_NO_IOWAIT (1u << 7) /* 6.15 */

/* Optional features, by the order of their names in ring_uring_setup.c. */
enum weir_uring_feature {
    FEATURE_NO_SQARRAY,
    FEATURE_RING_FD,
    FEATURE_ABS_TIMER,
    FEATURE_NO_IOWAIT,
    FEATURE_MIN_WAIT,
    FEATURE_SEND_ZC,
    FEATURE_RESTRICTIONS,
    FEATURE_COUNT
};

#define WEIR_URING_BUF_GROUP 0

struct weir_uring {
    struct weir_ring base;
    struct io_uring ring;
    uint32_t enter_flags;
    uint32_t features; /* bit set of enum weir_uring_feature: used */
    uint32_t found;    /* and those the kernel has, disabled or not */
    uint32_t sq_entries;
    uint32_t cq_mask;
    int event_fd; /* of pollable(); -1 = none */
    bool opened;

    /* provided buffers */
    struct io_uring_buf_ring *buf_ring;
    size_t buf_ring_bytes;
    uint8_t *bufs;
    uint32_t buf_bytes, buf_stride, buf_mask, bufs_count;
    uint32_t bufs_pending;

    /* Operations that found the submission queue full although it had just been handed on: see
     * uring_sqe(). */
    struct io_uring_sqe *backlog;
    uint32_t backlog_max, backlog_head, backlog_count;
};

static inline struct weir_uring *weir_uring_of(struct weir_ring *ring)
{
    return (struct weir_uring *)(void *)ring;
}

static inline bool weir_uring_has(const struct weir_uring *u, enum weir_uring_feature feature)
{
    return u->features & (1u << feature);
}

extern const struct weir_ring_ops weir_uring_ops;

/* Everything up to an enabled ring, with features found and tried. weir_error_text() tells what
 * went wrong. */
int weir_uring_setup(struct weir_uring *u, const struct weir_ring_config *cfg) WEIR_MUST_USE;

#endif
