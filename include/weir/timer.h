/* SPDX-License-Identifier: MIT */
/**
 * Timers on an engine: absolute deadlines in nanoseconds, set and cancelled in O(1), in the caller's memory.
 *
 * A timer never fires early. It fires in the first pass whose clock has reached the deadline; the wait
 * in the kernel ends at the earliest deadline (hrtimer, no slack).
 */
#ifndef WEIR_TIMER_H
#define WEIR_TIMER_H

#include <weir/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_timer;
typedef void weir_timer_fn(struct weir_timer *timer, void *ctx);

/** Caller's memory; all members are private. Must not move or be freed while set. */
struct weir_timer {
    struct weir_timer *next, *prev;
    uint64_t deadline_ns;
    weir_timer_fn *on_fire;
    void *ctx;
    struct weir_engine *engine; /* non-NULL exactly while the timer is set */
    uint16_t slot;
};

/** Make `timer` usable: not set. `on_fire` runs on the engine's thread; the timer is not set when it runs. */
WEIR_API void weir_timer_init(struct weir_timer *timer, weir_timer_fn *on_fire, void *ctx);

/** Set or move the deadline. A deadline that has passed fires in this pass or the next, never inside this call. */
WEIR_API void weir_timer_set(struct weir_engine *engine, struct weir_timer *timer, uint64_t deadline_ns);

/** Unset; no effect on a timer that is not set. After it on_fire will not run. */
WEIR_API void weir_timer_cancel(struct weir_timer *timer);

/** Is it set? */
static inline bool weir_timer_is_set(const struct weir_timer *timer)
{
    return timer->engine != NULL;
}

#ifdef __cplusplus
}
#endif

#endif
