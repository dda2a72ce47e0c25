/* SPDX-License-Identifier: MIT */
/*
 * Hierarchical timer wheel with exact deadlines.
 *
 * A tick is 2^12 ns (4.1 us). Level L has 64 slots of 64^L ticks. A timer lives at the level of the
 * highest 6-bit group in which its tick differs from the current one, so every slot of a level
 * comes before every slot of the next, and the earliest timer is in the first used slot of the
 * lowest used level. Every slot knows its earliest deadline (a lower bound after a cancel), so the
 * wait is exact and needs no cascading wake-ups.
 *
 *   set, cancel   O(1)
 *   next          O(levels)
 *   advance       O(fired + cascaded); a timer cascades at most once per level
 *
 * Within one tick timers that are not due yet stay, so nothing fires early.
 */
#ifndef WEIR_CORE_WHEEL_H
#define WEIR_CORE_WHEEL_H

#include "core/base.h"

#include <weir/timer.h>

#define WEIR_WHEEL_TICK_SHIFT 12
#define WEIR_WHEEL_LEVELS                                                                          \
    8 /* 12 + 8 * 6 = 60 bits of ns: 36 years ahead; further ones fire and are filed again */
#define WEIR_WHEEL_SLOTS 64

struct weir_wheel_slot {
    struct weir_timer *first, *last;
    uint64_t min_ns;
};

struct weir_wheel {
    uint64_t tick;                    /* of the last advance */
    uint64_t used[WEIR_WHEEL_LEVELS]; /* bit per slot */
    struct weir_wheel_slot expired;   /* due, their callbacks not yet run */
    struct weir_wheel_slot slots[WEIR_WHEEL_LEVELS * WEIR_WHEEL_SLOTS];
    uint64_t set_count;
};

void weir_wheel_init(struct weir_wheel *wheel, uint64_t now_ns);
/* File `timer`, which is not filed, under its deadline_ns. */
void weir_wheel_insert(struct weir_wheel *wheel, struct weir_timer *timer);
void weir_wheel_remove(struct weir_wheel *wheel, struct weir_timer *timer);
/* When to wake for the earliest timer (never too late, too early only after a cancel); UINT64_MAX
 * when none is set. */
uint64_t weir_wheel_next_ns(const struct weir_wheel *wheel);
/* Take out everything due at now_ns, in order of ticks; then run it. @return how many ran */
uint32_t weir_wheel_advance(struct weir_wheel *wheel, uint64_t now_ns);
/* All invariants; for tests and debug builds. O(timers). */
void weir_wheel_check(const struct weir_wheel *wheel);

#endif
