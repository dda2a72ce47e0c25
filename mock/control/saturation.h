/* SPDX-License-Identifier: MIT */
/*
 * Is this thread of the mock itself too slow, so that what its clients measure is the mock and not
 * the server it pretends to be? Two things tell: how much later than due its answers are given, and
 * how long its loop takes to come back to them.
 *
 * Both are judged in windows of one second: the thread is saturated from the end of a window in
 * which the 99th percentile of either lies above its bound, and no longer from the end of the first
 * window without. A few samples prove little, so a window of less than SATURATION_SAMPLES_MIN is
 * judged by its worst alone, which has to be SATURATION_FACTOR times the bound.
 *
 * Times are the caller's, and do not go back. One thread at a time, saturation_shared() excepted.
 */
#ifndef MOCK_SATURATION_H
#define MOCK_SATURATION_H

#include <weir/base.h>

#include <stdatomic.h>

#define SATURATION_WINDOW_NS   UINT64_C(1000000000)
#define SATURATION_SAMPLES_MIN 20
#define SATURATION_FACTOR      10

/* Eight buckets for each power of two, the first eight of them one wide: within 12.5 %. */
#define SATURATION_BUCKETS ((64 - 2) * 8)

/* What is watched, within the window that runs. */
struct saturation_track {
    uint64_t bound_ns; /* 0: not judged */
    uint64_t far_ns;   /* judged alone */
    uint32_t count;
    uint32_t above_count; /* beyond the bound: with `count` they decide, exactly */
    uint64_t max_ns;
    uint32_t buckets[SATURATION_BUCKETS]; /* for the figures shown */
};

/* What is shown of a track. */
struct saturation_figures {
    uint64_t bound_ns;
    uint64_t samples;                /* in the last whole window */
    uint64_t p99_ns, max_ns;         /* of it */
    uint64_t worst_p99_ns, worst_ns; /* of all */
};

/* What is shown of a thread, or of several. */
struct saturation_view {
    bool saturated;
    uint64_t windows, windows_saturated; /* that are over */
    struct saturation_figures error, lag;
};

struct saturation {
    uint64_t window_end_ns; /* 0: nothing noted yet */
    struct saturation_view view;
    atomic_bool shared; /* view.saturated for other threads */
    struct saturation_track error, lag;
};

/* Forget everything, and watch these bounds (0: not judged). */
void saturation_open(struct saturation *saturation, uint64_t error_ns, uint64_t lag_ns);

/* Other bounds: the window that runs begins anew, what is known stays. */
void saturation_set_bounds(struct saturation *saturation, uint64_t error_ns, uint64_t lag_ns);

/* The counts back to 0, and not saturated. */
void saturation_reset(struct saturation *saturation);

/* The window has ended: judge it. */
void saturation_turn(struct saturation *saturation, uint64_t now_ns);

/* As of the last window that is over by `now_ns`. */
static inline bool saturation_now(struct saturation *saturation, uint64_t now_ns)
{
    if (now_ns >= saturation->window_end_ns)
        saturation_turn(saturation, now_ns);
    return saturation->view.saturated;
}

/* Any thread. */
static inline bool saturation_shared(const struct saturation *saturation)
{
    return atomic_load_explicit(&saturation->shared, memory_order_relaxed);
}

static inline uint32_t saturation_bucket(uint64_t value)
{
    if (value < 8)
        return (uint32_t)value;
    uint32_t shift = 60U - (uint32_t)__builtin_clzll(value); /* leaves four bits, the first set */
    return shift * 8 + (uint32_t)(value >> shift);
}

static inline void saturation_note(struct saturation_track *track, uint64_t value)
{
    track->count++;
    track->above_count += value > track->bound_ns;
    if (value > track->max_ns)
        track->max_ns = value;
    track->buckets[saturation_bucket(value)]++;
}

/* An answer or a token was given `late_ns` after it was due. */
static inline void saturation_note_error(struct saturation *saturation, uint64_t now_ns,
                                         uint64_t late_ns)
{
    if (now_ns >= saturation->window_end_ns)
        saturation_turn(saturation, now_ns);
    saturation_note(&saturation->error, late_ns);
}

/* The loop came back `lag_ns` after it could have. */
static inline void saturation_note_lag(struct saturation *saturation, uint64_t now_ns,
                                       uint64_t lag_ns)
{
    if (now_ns >= saturation->window_end_ns)
        saturation_turn(saturation, now_ns);
    saturation_note(&saturation->lag, lag_ns);
}

/* What is known, for another thread to read when it was handed over. */
struct saturation_view saturation_view(struct saturation *saturation, uint64_t now_ns);

/* Saturated as soon as one is; counts summed; of the figures the worse. */
void saturation_merge(struct saturation_view *into, const struct saturation_view *from);

#endif
