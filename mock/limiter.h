/* SPDX-License-Identifier: MIT */
/*
 * A limit on requests being served at once, over all threads, with one first-come-first-served
 * queue.
 *
 *   IDLE --acquire--> (has a slot)  or  WAITING --release by another--> GRANTED --resumed--> IDLE
 *                                          \--leave--> IDLE
 *
 * A freed slot is handed to the first waiter while the lock is held, so nobody who arrives in
 * between can overtake. The limiter does not wake anybody: release() returns whom to resume, and
 * the caller knows on which thread that one lives. A GRANTED waiter has a slot that it may not know
 * of yet.
 */
#ifndef MOCK_LIMITER_H
#define MOCK_LIMITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum limiter_state { LIMITER_IDLE, LIMITER_WAITING, LIMITER_GRANTED };

/* Caller's memory, zeroed; must not move while WAITING. */
struct limiter_waiter {
    struct limiter_waiter *next, *prev;
    enum limiter_state state;
};

struct limiter {
    pthread_mutex_t lock;
    struct limiter_waiter *head, *tail;
    uint32_t max; /* 0 = no limit */
    uint32_t active, waiting;
    bool shared; /* more than one thread: take the lock */
};

/* What the limiter looked like at one moment. */
struct limiter_view {
    uint32_t max, active, waiting;
};

/* @return 0 or -errno */
int limiter_open(struct limiter *limiter, uint32_t max, bool shared);
void limiter_close(struct limiter *limiter);

/* @return true: the caller has a slot; false: `waiter` is in the queue until it is returned by
 * release() */
bool limiter_acquire(struct limiter *limiter, struct limiter_waiter *waiter);

/* Give a slot back. @return the waiter that has it now, GRANTED, for the caller to resume; or NULL
 */
struct limiter_waiter *limiter_release(struct limiter *limiter);

/* Leave the queue. @return true: left; false: it was GRANTED a slot already, which must be released
 */
bool limiter_leave(struct limiter *limiter, struct limiter_waiter *waiter);

struct limiter_view limiter_view(struct limiter *limiter);

#endif
