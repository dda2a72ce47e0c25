/* SPDX-License-Identifier: MIT */
/*
 * A limit on requests being served at once, over all threads, with one queue for those that have to
 * wait.
 *
 *   IDLE --acquire--> (has a slot)  or  WAITING --release, set by another--> GRANTED --> IDLE
 *                                          \--leave--> IDLE
 *
 * A freed slot is handed to a waiter while the lock is held, so nobody who arrives in between can
 * overtake. The limiter does not wake anybody: release() and set() return whom to resume, and the
 * caller knows on which thread that one lives. A GRANTED waiter has a slot that it may not know of
 * yet; its owner makes it IDLE when it is resumed, and keeps its memory until then.
 *
 * Without anybody waiting, a slot is taken and given back with one compare-exchange and no lock
 * (plain loads and stores when there is only one thread). So the count is right with no limit, too,
 * and a limit can be set while requests are being served.
 */
#ifndef MOCK_LIMITER_H
#define MOCK_LIMITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum limiter_state { LIMITER_IDLE, LIMITER_WAITING, LIMITER_GRANTED };

/* What happens to a request for which there is neither a slot nor room in the queue. */
enum limiter_overflow { LIMITER_WAIT, LIMITER_429, LIMITER_503 };
enum limiter_order { LIMITER_FIFO, LIMITER_LIFO };

enum limiter_verdict {
    LIMITER_GOT,    /* has a slot */
    LIMITER_QUEUED, /* is in the queue until it is granted a slot or leaves */
    LIMITER_FULL    /* neither: to be refused. With LIMITER_WAIT and a queue_depth, as with 503 */
};

struct limiter_limits {
    uint32_t max;              /* served at once; 0 = no limit */
    int64_t queue_depth;       /* that wait; -1 = no limit */
    uint64_t queue_timeout_ns; /* 0 = none. The caller's timer, which calls limiter_leave() */
    enum limiter_overflow overflow;
    enum limiter_order order;
};

/* Caller's memory, zeroed; must not move unless IDLE. */
struct limiter_waiter {
    struct limiter_waiter *next, *prev;
    enum limiter_state state;
};

struct limiter {
    /* From the highest bit: 32 of the limit, 1 that says somebody waits, 31 of the count of those
     * that are served. While somebody waits it is changed under the lock only. */
    atomic_uint_fast64_t word;
    bool shared; /* by more than one thread */
    pthread_mutex_t lock;
    /* Under the lock. */
    struct limiter_limits limits;
    struct limiter_waiter *head, *tail; /* in the order of arrival */
    uint32_t waiting;
};

/* What the limiter looked like at one moment. */
struct limiter_view {
    uint32_t max, active, waiting;
};

/* @return 0 or -errno */
int limiter_open(struct limiter *limiter, const struct limiter_limits *limits, bool shared);
void limiter_close(struct limiter *limiter);

enum limiter_verdict limiter_acquire(struct limiter *limiter, struct limiter_waiter *waiter);

/* Give a slot back. @return the waiter that has it now, GRANTED, for the caller to resume; or NULL
 */
struct limiter_waiter *limiter_release(struct limiter *limiter);

/* Leave the queue. @return true: left, or was not in it; false: it is GRANTED a slot that it has to
 * give back when it is resumed. Any time, by the waiter's owner; O(1). */
bool limiter_leave(struct limiter *limiter, struct limiter_waiter *waiter);

/*
 * Change the limits. Nobody who has a slot loses it, nobody who waits is thrown out: a smaller max
 * or queue_depth counts for those that come.
 * @param granted  first of a list by `next`, in the order of the queue, of those who have a slot
 *        now, for the caller to resume; `next` of one must be read before it is resumed. NULL: none
 */
void limiter_set(struct limiter *limiter, const struct limiter_limits *limits,
                 struct limiter_waiter **granted);

struct limiter_view limiter_view(struct limiter *limiter);

#endif
