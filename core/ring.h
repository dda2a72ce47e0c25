/* SPDX-License-Identifier: MIT */
/*
 * The seam: what the engine needs from whatever completes its operations.
 *
 * Three twins lie below it: io_uring, epoll, and the seeded simulator of tests/sim. Above this
 * header nobody knows which of them runs. The contract, for every twin (tests/contract checks it):
 *
 *   - An operation is queued by one of the functions below and completes later with one or more
 *     completions that carry its user_data. Exactly the last one lacks WEIR_CQE_MORE.
 *   - Queuing always succeeds: a twin holds at least `ops_max` operations, the most the engine
 *     keeps in flight. Nothing need be started before the next enter, and no completion shows
 *     before it, except that a full submission queue is handed on.
 *   - Memory an operation reads (addresses, message headers and their vectors) must stay valid
 *     until the next enter returns that leaves nothing unsubmitted; data to send, until the
 *     completion; data of a zero-copy send, until its notification.
 *   - A multiple accept or receive goes on by itself; any error, end of file, lack of buffers or a
 *     full completion queue ends it, and only the missing WEIR_CQE_MORE says so: a last completion
 *     can carry data.
 *   - A receive takes a buffer from the pool for every completion with data (WEIR_CQE_BUFFER,
 *     index in the upper 16 bits of flags); a completion without data may bring one, too. It is
 *     given back by buf_put() and usable again after buf_commit().
 *   - Completions of one operation come in order. A cancel's completion may come before its
 *     victim's.
 *   - A zero-copy send completes with its count and WEIR_CQE_MORE, and later, after any number of
 *     other operations, with WEIR_CQE_NOTIF: the memory is free again. Its result is 0, or
 *     WEIR_ZC_COPIED when the bytes were copied after all. When the first completion lacks
 *     WEIR_CQE_MORE, no notification follows.
 *   - A poll completes once, when it would not block to read (POLLIN) or to write (POLLOUT), or
 *     at once if it would not now; its result is a set of poll(2)'s events, which may hold POLLERR
 *     and POLLHUP. It is for descriptors of any kind, one direction at a time, and no other
 *     operation of that direction may be in flight on the descriptor. One that `sock` did not make
 *     must be closed by `sock` all the same, since a twin may know it by its number.
 *   - A send completes before data is received that the peer sent after it had read all of it.
 *   - Results are counts or -errno, as the system calls of the same name give them.
 *   - One thread uses a ring; only the descriptor of pollable() may be waited on by others.
 */
#ifndef WEIR_CORE_RING_H
#define WEIR_CORE_RING_H

#include "core/arena.h"
#include "core/base.h"
#include "core/sock.h"

#include <sys/socket.h>
#include <weir/engine.h>

struct weir_cqe {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

/* The kernel's values, so that its completion queue can be read in place; the uring twin asserts
 * that. */
#define WEIR_CQE_BUFFER    (1u << 0)
#define WEIR_CQE_MORE      (1u << 1)
#define WEIR_CQE_NOTIF     (1u << 3)
#define WEIR_CQE_BUF_SHIFT 16
#define WEIR_ZC_COPIED     (1u << 31)

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
    uint8_t *send_memory; /* to be registered as buffer 0; NULL = not */
    uint64_t send_bytes;
    uint32_t napi_us;    /* busy polling of the network device; 0 = none */
    const char *disable; /* comma list of optional features not to use; NULL = none */
    void *arg;           /* what a twin of the tests needs */
};

struct weir_ring_counters {
    uint64_t enters;
    uint64_t sqes;
    uint64_t cq_overflows;
};

/* How an enter waits. */
struct weir_ring_wait {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, or the twin's own clock; WEIR_NO_DEADLINE = none */
    uint32_t count;       /* completions to wait for, at least 1 */
    /* wait for `count` at most so long, then for one; 0 = for `count` until the deadline. Only for
     * twins with WEIR_RING_MIN_WAIT. */
    uint32_t min_wait_us;
};

/* What a twin can do besides. */
enum weir_ring_ability {
    WEIR_RING_ZC = 1 << 0,       /* send_zc */
    WEIR_RING_MIN_WAIT = 1 << 1, /* wait for a batch, for a while */
    /* ready() is cheap enough to be asked in a loop, and the clock goes on meanwhile */
    WEIR_RING_SPIN = 1 << 2
};

struct weir_ring_ops {
    const char *name;
    void (*close)(struct weir_ring *ring);
    /* multi: goes on accepting; else one connection and done. */
    void (*accept)(struct weir_ring *ring, int fd, bool multi, uint64_t user_data);
    /* multi: goes on receiving; else one completion and done. */
    void (*recv)(struct weir_ring *ring, int fd, bool multi, uint64_t user_data);
    void (*read)(struct weir_ring *ring, int fd, void *data, uint32_t bytes, uint64_t user_data);
    void (*send)(struct weir_ring *ring, int fd, struct weir_slice data, uint64_t user_data);
    void (*sendmsg)(struct weir_ring *ring, int fd, const struct msghdr *msg, uint64_t user_data);
    /* Only with WEIR_RING_ZC. `buffer`: the registered buffer that holds `data`; < 0: none does. */
    void (*send_zc)(struct weir_ring *ring, int fd, struct weir_slice data, int buffer,
                    uint64_t user_data);
    void (*connect)(struct weir_ring *ring, int fd, const struct sockaddr *addr, socklen_t bytes,
                    uint64_t user_data);
    /* events: POLLIN or POLLOUT. */
    void (*poll)(struct weir_ring *ring, int fd, uint32_t events, uint64_t user_data);
    /* Cancel everything in flight on fd. Completes with 0, or a count, or -ENOENT when there was
     * nothing. */
    void (*cancel_fd)(struct weir_ring *ring, int fd, uint64_t user_data);
    /* Cancel the operations that carry `target`. */
    void (*cancel)(struct weir_ring *ring, uint64_t target, uint64_t user_data);
    /*
     * Start what is queued and make completions visible. With `wait`, sleep until they are there or
     * the deadline is. Returns 0 also when nothing came (time, signal); < 0 when the ring is
     * unusable.
     */
    int (*enter)(struct weir_ring *ring, const struct weir_ring_wait *wait);
    /* Would an enter without waiting make completions visible, or are some visible now? Cheap: what
     * a spinning engine asks. */
    bool (*ready)(struct weir_ring *ring);
    /* The completions that lie in one piece at the head of the queue, for reading in place. */
    uint32_t (*peek)(struct weir_ring *ring, const struct weir_cqe **first);
    void (*advance)(struct weir_ring *ring, uint32_t count);
    /* Are operations queued that no enter has started? */
    bool (*unsubmitted)(const struct weir_ring *ring);
    void (*buf_put)(struct weir_ring *ring, uint32_t index);
    void (*buf_commit)(struct weir_ring *ring);
    uint64_t (*now_ns)(const struct weir_ring *ring);
    /* A descriptor that polls readable whenever ready() may be true, cleared by enter. From the
     * first call on that costs a little. < 0: -errno. */
    int (*pollable)(struct weir_ring *ring);
    /* Register `memory` as buffer `buffer` (1 ...) for send_zc; NULL: take it away. 0 or -errno. */
    int (*buffer_register)(struct weir_ring *ring, int buffer, struct weir_slice memory);
};

/* Registered buffers a ring has: 0 is the engine's output memory, the others the application's. */
#define WEIR_RING_BUFFERS 16

/* Common head of every twin. */
struct weir_ring {
    const struct weir_ring_ops *ops;
    const struct weir_sock_ops *sock; /* sockets of the world that the twin lives in */
    uint32_t abilities;               /* bit set of enum weir_ring_ability */
    struct weir_ring_counters counters;
    char info[512]; /* features found and used, for people */
};

/* A kind of twin. `bytes`: what open takes from the arena. open binds the ring to the calling
 * thread; on error *out is NULL or must be closed by its ops. */
struct weir_ring_type {
    const char *name;
    uint64_t (*bytes)(const struct weir_ring_config *cfg);
    int (*open)(struct weir_ring **out, struct weir_arena *arena,
                const struct weir_ring_config *cfg);
};

extern const struct weir_ring_type weir_ring_uring;
extern const struct weir_ring_type weir_ring_epoll;

/* Are all names in the comma list `disable` features of the io_uring twin? Else *bad is the first
 * that is not. */
bool weir_ring_uring_features_valid(const char *disable, struct weir_slice *bad);
extern const char weir_ring_uring_features[];

#endif
