/* SPDX-License-Identifier: MIT */
#include "mock/limiter.h"

#include <stddef.h>

int limiter_open(struct limiter *limiter, uint32_t max, bool shared)
{
    *limiter = (struct limiter){ .max = max, .shared = shared };
    return -pthread_mutex_init(&limiter->lock, NULL);
}

void limiter_close(struct limiter *limiter)
{
    pthread_mutex_destroy(&limiter->lock);
}

static void limiter_lock(struct limiter *limiter)
{
    if (limiter->shared)
        pthread_mutex_lock(&limiter->lock);
}

static void limiter_unlock(struct limiter *limiter)
{
    if (limiter->shared)
        pthread_mutex_unlock(&limiter->lock);
}

static void limiter_push(struct limiter *limiter, struct limiter_waiter *waiter)
{
    *waiter = (struct limiter_waiter){ .prev = limiter->tail, .state = LIMITER_WAITING };
    if (limiter->tail != NULL)
        limiter->tail->next = waiter;
    else
        limiter->head = waiter;
    limiter->tail = waiter;
    limiter->waiting++;
}

static void limiter_unlink(struct limiter *limiter, struct limiter_waiter *waiter,
                           enum limiter_state state)
{
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        limiter->head = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    else
        limiter->tail = waiter->prev;
    *waiter = (struct limiter_waiter){ .state = state };
    limiter->waiting--;
}

bool limiter_acquire(struct limiter *limiter, struct limiter_waiter *waiter)
{
    waiter->state = LIMITER_IDLE;
    if (limiter->max == 0)
        return true; /* nobody ever waits: nothing to share */
    limiter_lock(limiter);
    bool free_slot = limiter->active < limiter->max;
    if (free_slot)
        limiter->active++;
    else
        limiter_push(limiter, waiter);
    limiter_unlock(limiter);
    return free_slot;
}

struct limiter_waiter *limiter_release(struct limiter *limiter)
{
    if (limiter->max == 0)
        return NULL;
    limiter_lock(limiter);
    struct limiter_waiter *first = limiter->head;
    if (first != NULL)
        limiter_unlink(limiter, first, LIMITER_GRANTED); /* the slot changes hands: active stays */
    else
        limiter->active--;
    limiter_unlock(limiter);
    return first;
}

bool limiter_leave(struct limiter *limiter, struct limiter_waiter *waiter)
{
    limiter_lock(limiter);
    bool waiting = waiter->state == LIMITER_WAITING;
    if (waiting)
        limiter_unlink(limiter, waiter, LIMITER_IDLE);
    limiter_unlock(limiter);
    return waiting;
}

struct limiter_view limiter_view(struct limiter *limiter)
{
    limiter_lock(limiter);
    struct limiter_view view = { limiter->max, limiter->active, limiter->waiting };
    limiter_unlock(limiter);
    return view;
}
