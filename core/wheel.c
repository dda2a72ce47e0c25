/* SPDX-License-Identifier: MIT */
#include "core/wheel.h"
#include "core/assert.h"

#define SLOT_BITS    6
#define SLOT_MASK    (WEIR_WHEEL_SLOTS - 1)
#define SLOT_EXPIRED (WEIR_WHEEL_LEVELS * WEIR_WHEEL_SLOTS)

_Static_assert(SLOT_EXPIRED <= UINT16_MAX, "struct weir_timer keeps its slot in 16 bits");

void weir_wheel_init(struct weir_wheel *wheel, uint64_t now_ns)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = now_ns >> WEIR_WHEEL_TICK_SHIFT;
}

static void slot_append(struct weir_wheel_slot *slot, struct weir_timer *timer)
{
    timer->next = NULL;
    timer->prev = slot->last;
    if (slot->last != NULL) {
        slot->last->next = timer;
        if (timer->deadline_ns < slot->min_ns)
            slot->min_ns = timer->deadline_ns;
    } else {
        slot->first = timer;
        slot->min_ns = timer->deadline_ns;
    }
    slot->last = timer;
}

static void slot_unlink(struct weir_wheel_slot *slot, struct weir_timer *timer)
{
    if (timer->prev != NULL)
        timer->prev->next = timer->next;
    else
        slot->first = timer->next;
    if (timer->next != NULL)
        timer->next->prev = timer->prev;
    else
        slot->last = timer->prev;
}

void weir_wheel_insert(struct weir_wheel *wheel, struct weir_timer *timer)
{
    uint64_t tick = timer->deadline_ns >> WEIR_WHEEL_TICK_SHIFT;
    if (tick < wheel->tick)
        tick = wheel->tick; /* already due: found by the next advance */
    uint64_t differs = tick ^ wheel->tick;
    unsigned level = differs == 0 ? 0 : (unsigned)(63 - __builtin_clzll(differs)) / SLOT_BITS;
    unsigned at;
    if (WEIR_UNLIKELY(level >= WEIR_WHEEL_LEVELS)) {
        /* Beyond the horizon: the last slot of the top level; when its time comes it is filed
         * again. */
        level = WEIR_WHEEL_LEVELS - 1;
        at = SLOT_MASK;
    } else {
        at = (unsigned)(tick >> (level * SLOT_BITS)) & SLOT_MASK;
    }
    timer->slot = (uint16_t)(level * WEIR_WHEEL_SLOTS + at);
    slot_append(&wheel->slots[timer->slot], timer);
    wheel->used[level] |= 1ull << at;
    wheel->set_count++;
}

void weir_wheel_remove(struct weir_wheel *wheel, struct weir_timer *timer)
{
    WEIR_ASSERT(wheel->set_count > 0);
    wheel->set_count--;
    if (timer->slot == SLOT_EXPIRED) {
        slot_unlink(&wheel->expired, timer);
        return;
    }
    struct weir_wheel_slot *slot = &wheel->slots[timer->slot];
    slot_unlink(slot, timer);
    if (slot->first == NULL)
        wheel->used[timer->slot / WEIR_WHEEL_SLOTS] &= ~(1ull << (timer->slot & SLOT_MASK));
}

/* The first used slot of the lowest used level, or NULL. */
static const struct weir_wheel_slot *first_slot(const struct weir_wheel *wheel, unsigned *level,
                                                unsigned *at)
{
    for (*level = 0; *level < WEIR_WHEEL_LEVELS; (*level)++) {
        if (wheel->used[*level] != 0) {
            *at = (unsigned)__builtin_ctzll(wheel->used[*level]);
            return &wheel->slots[*level * WEIR_WHEEL_SLOTS + *at];
        }
    }
    return NULL;
}

uint64_t weir_wheel_next_ns(const struct weir_wheel *wheel)
{
    unsigned level, at;
    if (wheel->expired.first != NULL)
        return 0;
    const struct weir_wheel_slot *slot = first_slot(wheel, &level, &at);
    return slot == NULL ? UINT64_MAX : slot->min_ns;
}

/* Take a whole slot off the wheel. */
static struct weir_timer *slot_take(struct weir_wheel *wheel, unsigned level, unsigned at)
{
    struct weir_wheel_slot *slot = &wheel->slots[level * WEIR_WHEEL_SLOTS + at];
    struct weir_timer *timers = slot->first;
    slot->first = slot->last = NULL;
    wheel->used[level] &= ~(1ull << at);
    return timers;
}

/*
 * Everything of one slot is due, filed nearer, or (within the current tick) filed where it was.
 * What is due is filed nearer too until it is at level 0: a slot of a higher level holds its ticks
 * in no order.
 */
static void slot_sort(struct weir_wheel *wheel, struct weir_timer *timer, unsigned level,
                      uint64_t now_ns)
{
    while (timer != NULL) {
        struct weir_timer *next = timer->next;
        wheel->set_count--;
        if (level == 0 && timer->deadline_ns <= now_ns) {
            timer->slot = SLOT_EXPIRED;
            /* Mostly a timer stands in what its callback needs, the rest of it next to it. */
            if (timer->ctx != NULL)
                __builtin_prefetch((const uint8_t *)timer->ctx + 64);
            slot_append(&wheel->expired, timer);
            wheel->set_count++;
        } else {
            weir_wheel_insert(wheel, timer);
        }
        timer = next;
    }
}

static void collect(struct weir_wheel *wheel, uint64_t now_ns)
{
    uint64_t now_tick = now_ns >> WEIR_WHEEL_TICK_SHIFT;
    unsigned level, at;
    while (first_slot(wheel, &level, &at) != NULL) {
        unsigned shift = level * SLOT_BITS;
        uint64_t group = (wheel->tick >> shift) & ~(uint64_t)SLOT_MASK;
        uint64_t start = (group | at) << shift;
        if (start > now_tick)
            break;
        WEIR_ASSERT(start >= wheel->tick || level == 0);
        if (start > wheel->tick)
            wheel->tick = start;
        slot_sort(wheel, slot_take(wheel, level, at), level, now_ns);
        if (level == 0 && start == now_tick)
            break; /* what is left in this tick is not due yet */
    }
    if (now_tick > wheel->tick)
        wheel->tick = now_tick;
}

uint32_t weir_wheel_advance(struct weir_wheel *wheel, uint64_t now_ns)
{
    if (weir_wheel_next_ns(wheel) > now_ns && (now_ns >> WEIR_WHEEL_TICK_SHIFT) == wheel->tick)
        return 0;
    collect(wheel, now_ns);
    /*
     * Callbacks may set, move and cancel any timer. What they set goes to the wheel and waits for
     * the next advance, so a timer that sets itself to the past cannot hold the loop.
     */
    uint32_t fired = 0;
    struct weir_timer *timer;
    while ((timer = wheel->expired.first) != NULL) {
        slot_unlink(&wheel->expired, timer);
        wheel->set_count--;
        timer->engine = NULL;
        fired++;
        timer->on_fire(timer, timer->ctx);
    }
    return fired;
}

void weir_wheel_check(const struct weir_wheel *wheel)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < WEIR_WHEEL_LEVELS * WEIR_WHEEL_SLOTS; i++) {
        const struct weir_wheel_slot *slot = &wheel->slots[i];
        bool used = (wheel->used[i / WEIR_WHEEL_SLOTS] >> (i & SLOT_MASK)) & 1;
        WEIR_ASSERT(used == (slot->first != NULL));
        WEIR_ASSERT((slot->first == NULL) == (slot->last == NULL));
        for (const struct weir_timer *t = slot->first; t != NULL; t = t->next) {
            WEIR_ASSERT(t->slot == i);
            WEIR_ASSERT(t->deadline_ns >= slot->min_ns);
            WEIR_ASSERT(t->next != NULL || slot->last == t);
            WEIR_ASSERT(t->next == NULL || t->next->prev == t);
            count++;
        }
    }
    for (const struct weir_timer *t = wheel->expired.first; t != NULL; t = t->next)
        count++;
    WEIR_ASSERT(count == wheel->set_count);
}
