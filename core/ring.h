/* SPDX-License-Identifier: MIT */
/*
 * The seam: what the engine needs from whatever completes its operations.
 *
 * Above this header nobody knows which twin runs below. The contract, for every twin:
 *
 *   - An operation is queued by one of the functions below and completes later with one or more
 *     completions that carry its user_data. Exactly the last one lacks WEIR_CQE_MORE.
 *   - Queuing always succeeds: a twin holds at least `ops_max` operations, the most the engine
 * keeps in flight. Nothing is started before the next enter, except that a full submission queue is
 * handed on.
 *   - Memory an operation reads (addresses, message headers and their vectors) must stay valid
 * until the next enter returns; data to send, until the completion.
 *   - a multiple accept and recv_multi go on by themselves; any error, end of file, lack of buffers
 * or a full completion queue ends them, and only the missing WEIR_CQE_MORE says so: a last
 * completion can carry data.
 *   - recv_multi takes a buffer from the pool for every completion with data (WEIR_CQE_BUFFER,
 * index in the upper 16 bits of flags). It is given back by buf_put() and usable again after
 * buf_commit().
 *   - Completions of one operation come in order. A cancel's completion may come before its
 * victim's.
 *   - results are counts or -errno, as the system calls of the same name give them.
 */
#ifndef WEIR_CORE_RING_H
#define WEIR_CORE_RING_H

#include "core/arena.h"
#include "core/base.h"

#include <sys/socket.h>

struct weir_cqe {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

/* The kernel's values, so that its completion queue can be read in place; the uring twin asserts
 * that. */
#define WEIR_CQE_BUFFER    (1u << 0)
#define WEIR_CQE_MORE      (1u << 1)
#define WEIR_CQE_BUF_SHIFT 16

#define WEIR_NO_DEADLINE UINT64_MAX

struct weir_ring;

struct weir_ring_config {
    uint32_t sq_entries;
    uint32_t cq_entries;
    uint32_t ops_max;    /* operations that may be in flight at once */
    uint32_t bufs_count; /* power of two */
    uint32_t buf_bytes;
    uint32_t buf_stride;
    uint8_t *bufs;        /* bufs_count * buf_stride bytes */
    uint8_t *send_memory; /* to be registered; NULL = not */
    uint64_t send_bytes;
    const char *disable; /* comma list of optional features not to use; NULL = none */
};

struct weir_ring_counters {
    uint64_t enters;
    uint64_t sqes;
    uint64_t cq_overflows;
};

struct weir_ring_ops {
    const char *name;
    void (*close)(struct weir_ring *ring);
    /* multi: goes on accepting; else one connection and done. */
    void (*accept)(struct weir_ring *ring, int fd, bool multi, uint64_t user_data);
    void (*recv_multi)(struct weir_ring *ring, int fd, uint64_t user_data);
    void (*read)(struct weir_ring *ring, int fd, void *data, uint32_t bytes, uint64_t user_data);
    void (*send)(struct weir_ring *ring, int fd, struct weir_slice data, uint64_t user_data);
    void (*sendmsg)(struct weir_ring *ring, int fd, const struct msghdr *msg, uint64_t user_data);
    void (*connect)(struct weir_ring *ring, int fd, const struct sockaddr *addr, socklen_t bytes,
                    uint64_t user_data);
    /* Cancel everything in flight on fd. Completes with 0, or a count, or -ENOENT when there was
     * nothing. */
    void (*cancel_fd)(struct weir_ring *ring, int fd, uint64_t user_data);
    /* Cancel the operations that carry `target`. */
    void (*cancel)(struct weir_ring *ring, uint64_t target, uint64_t user_data);
    /*
     * Start what is queued; if `wait`, sleep until a completion is there or CLOCK_MONOTONIC reaches
     * deadline_ns. Returns 0 also when nothing came (time, signal); < 0 when the ring is unusable.
     */
    int (*enter)(struct weir_ring *ring, bool wait, uint64_t deadline_ns);
    /* The completions that lie in one piece at the head of the queue, for reading in place. */
    uint32_t (*peek)(struct weir_ring *ring, const struct weir_cqe **first);
    void (*advance)(struct weir_ring *ring, uint32_t count);
    bool (*unsubmitted)(
        const struct weir_ring *ring); /* operations are queued that no enter started */
    void (*buf_put)(struct weir_ring *ring, uint32_t index);
    void (*buf_commit)(struct weir_ring *ring);
    uint64_t (*now_ns)(const struct weir_ring *ring);
};

/* Common head of every twin. */
struct weir_ring {
    const struct weir_ring_ops *ops;
    struct weir_ring_counters counters;
    char info[256]; /* features found and used, for people */
};

/* The io_uring twin. Bytes it takes from `arena`; open binds the ring to the calling thread. */
uint64_t weir_ring_uring_bytes(const struct weir_ring_config *cfg);
int weir_ring_uring_open(struct weir_ring **out, struct weir_arena *arena,
                         const struct weir_ring_config *cfg) WEIR_MUST_USE;
/* Are all names in the comma list `disable` features of the twin? Else *bad is the first that is
 * not. */
bool weir_ring_uring_features_valid(const char *disable, struct weir_slice *bad);
extern const char weir_ring_uring_features[];

#endif
