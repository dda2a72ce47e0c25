/* SPDX-License-Identifier: MIT */
#include "mock/limit/limiter.h"

#include <stddef.h>

#define ACTIVE_MASK UINT64_C(0x7fffffff)
#define QUEUED      UINT64_C(0x80000000)
#define LIMIT_SHIFT 32

static uint32_t word_active(uint64_t word)
{
    return (uint32_t)(word & ACTIVE_MASK);
}

static uint32_t word_limit(uint64_t word)
{
    return (uint32_t)(word >> LIMIT_SHIFT);
}

static bool word_has_room(uint64_t word)
{
    return word_limit(word) == 0 || word_active(word) < word_limit(word);
}

static uint64_t limiter_word(struct limiter *limiter)
{
    return atomic_load_explicit(&limiter->word, memory_order_relaxed);
}

/* Replace the word if it still is *seen, else see what it is. One thread needs no locked
 * instruction. */
static bool limiter_swap(struct limiter *limiter, uint64_t *seen, uint64_t word)
{
    if (!limiter->shared) {
        atomic_store_explicit(&limiter->word, word, memory_order_relaxed);
        return true;
    }
    uint_fast64_t expected = *seen;
    bool swapped = atomic_compare_exchange_weak_explicit(
        &limiter->word, &expected, word, memory_order_acq_rel, memory_order_relaxed);
    *seen = expected;
    return swapped;
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

int limiter_open(struct limiter *limiter, const struct limiter_limits *limits, bool shared)
{
    *limiter = (struct limiter){ .limits = *limits, .shared = shared };
    atomic_init(&limiter->word, (uint64_t)limits->max << LIMIT_SHIFT);
    return -pthread_mutex_init(&limiter->lock, NULL);
}

void limiter_close(struct limiter *limiter)
{
    pthread_mutex_destroy(&limiter->lock);
}

/* ---- The queue, under the lock ----------------------------------------------------------- */

static void queue_push(struct limiter *limiter, struct limiter_waiter *waiter)
{
    *waiter = (struct limiter_waiter){ .prev = limiter->tail, .state = LIMITER_WAITING };
    if (limiter->tail != NULL)
        limiter->tail->next = waiter;
    else
        limiter->head = waiter;
    limiter->tail = waiter;
    limiter->waiting++;
}

static void queue_unlink(struct limiter *limiter, struct limiter_waiter *waiter,
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

static struct limiter_waiter *queue_grant(struct limiter *limiter)
{
    struct limiter_waiter *waiter =
        limiter->limits.order == LIMITER_LIFO ? limiter->tail : limiter->head;
    queue_unlink(limiter, waiter, LIMITER_GRANTED);
    return waiter;
}

static bool queue_is_full(const struct limiter *limiter)
{
    return limiter->limits.queue_depth >= 0 && limiter->waiting >= limiter->limits.queue_depth;
}

/* Take back the mark that somebody waits once nobody does. */
static void queue_unmark(struct limiter *limiter)
{
    uint64_t word = limiter_word(limiter);
    while (limiter->waiting == 0 && (word & QUEUED) != 0 &&
           !limiter_swap(limiter, &word, word & ~QUEUED))
        ;
}

/* ---- Slots ------------------------------------------------------------------------------- */

/* Take a slot if there is one and nobody waits for it. */
static bool try_take(struct limiter *limiter, uint64_t *word)
{
    while (word_has_room(*word) && (*word & QUEUED) == 0)
        if (limiter_swap(limiter, word, *word + 1))
            return true;
    return false;
}

/*
 * There was no slot. Under the lock the word can still change, by those that give a slot back while
 * nobody waits, until it is marked: from then on they come for the lock and find the waiter.
 */
static enum limiter_verdict acquire_queued(struct limiter *limiter, struct limiter_waiter *waiter)
{
    uint64_t word = limiter_word(limiter);
    for (;;) {
        if (try_take(limiter, &word))
            return LIMITER_GOT;
        if (queue_is_full(limiter))
            return LIMITER_FULL;
        if ((word & QUEUED) != 0 || limiter_swap(limiter, &word, word | QUEUED))
            break;
    }
    queue_push(limiter, waiter);
    return LIMITER_QUEUED;
}

enum limiter_verdict limiter_acquire(struct limiter *limiter, struct limiter_waiter *waiter)
{
    waiter->state = LIMITER_IDLE;
    uint64_t word = limiter_word(limiter);
    if (try_take(limiter, &word))
        return LIMITER_GOT;
    limiter_lock(limiter);
    enum limiter_verdict verdict = acquire_queued(limiter, waiter);
    limiter_unlock(limiter);
    return verdict;
}

/* More than the limit may be served, after it was lowered: then the slot is gone. */
static struct limiter_waiter *release_queued(struct limiter *limiter)
{
    struct limiter_waiter *waiter = NULL;
    uint64_t word = limiter_word(limiter);
    bool keeps = limiter->waiting > 0 && word_active(word) <= word_limit(word);
    if (keeps)
        waiter = queue_grant(limiter); /* the slot changes hands: the count stays */
    else
        while (!limiter_swap(limiter, &word, word - 1))
            ;
    queue_unmark(limiter);
    return waiter;
}

struct limiter_waiter *limiter_release(struct limiter *limiter)
{
    uint64_t word = limiter_word(limiter);
    while ((word & QUEUED) == 0)
        if (limiter_swap(limiter, &word, word - 1))
            return NULL;
    limiter_lock(limiter);
    struct limiter_waiter *waiter = release_queued(limiter);
    limiter_unlock(limiter);
    return waiter;
}

bool limiter_leave(struct limiter *limiter, struct limiter_waiter *waiter)
{
    limiter_lock(limiter);
    bool granted = waiter->state == LIMITER_GRANTED;
    if (waiter->state == LIMITER_WAITING) {
        queue_unlink(limiter, waiter, LIMITER_IDLE);
        queue_unmark(limiter);
    }
    limiter_unlock(limiter);
    return !granted;
}

void limiter_set(struct limiter *limiter, const struct limiter_limits *limits,
                 struct limiter_waiter **granted)
{
    *granted = NULL;
    limiter_lock(limiter);
    uint64_t word = limiter_word(limiter);
    while (!limiter_swap(limiter, &word,
                         (word & (QUEUED | ACTIVE_MASK)) | (uint64_t)limits->max << LIMIT_SHIFT))
        ;
    limiter->limits = *limits;
    struct limiter_waiter **end = granted;
    while (limiter->waiting > 0 && word_has_room(limiter_word(limiter))) {
        word = limiter_word(limiter);
        while (!limiter_swap(limiter, &word, word + 1))
            ;
        *end = queue_grant(limiter);
        end = &(*end)->next;
    }
    queue_unmark(limiter);
    limiter_unlock(limiter);
}

struct limiter_view limiter_view(struct limiter *limiter)
{
    limiter_lock(limiter);
    uint64_t word = limiter_word(limiter);
    struct limiter_view view = { word_limit(word), word_active(word), limiter->waiting };
    limiter_unlock(limiter);
    return view;
}
