/* SPDX-License-Identifier: MIT */
#include "mock/control/saturation.h"

#include <string.h>

_Static_assert(SATURATION_BUCKETS == 60 * 8 + 15 + 1, "the largest value has the last bucket");

static void saturation_begin_track(struct saturation_track *track, uint64_t bound_ns)
{
    memset(track, 0, sizeof *track);
    track->bound_ns = bound_ns;
    track->far_ns =
        bound_ns > UINT64_MAX / SATURATION_FACTOR ? UINT64_MAX : bound_ns * SATURATION_FACTOR;
}

void saturation_open(struct saturation *saturation, uint64_t error_ns, uint64_t lag_ns)
{
    saturation_set_bounds(saturation, error_ns, lag_ns);
    saturation_reset(saturation);
}

void saturation_set_bounds(struct saturation *saturation, uint64_t error_ns, uint64_t lag_ns)
{
    saturation_begin_track(&saturation->error, error_ns);
    saturation_begin_track(&saturation->lag, lag_ns);
    saturation->view.error.bound_ns = error_ns;
    saturation->view.lag.bound_ns = lag_ns;
    saturation->window_end_ns = 0;
}

void saturation_reset(struct saturation *saturation)
{
    saturation_begin_track(&saturation->error, saturation->error.bound_ns);
    saturation_begin_track(&saturation->lag, saturation->lag.bound_ns);
    saturation->view = (struct saturation_view){
        .error = { .bound_ns = saturation->error.bound_ns },
        .lag = { .bound_ns = saturation->lag.bound_ns },
    };
    saturation->window_end_ns = 0;
    atomic_store_explicit(&saturation->shared, false, memory_order_relaxed);
}

static bool saturation_is_above(const struct saturation_track *track)
{
    if (track->bound_ns == 0)
        return false;
    if (track->count < SATURATION_SAMPLES_MIN)
        return track->max_ns > track->far_ns;
    /* The 99th percentile is above the bound when more than one of a hundred is. */
    return (uint64_t)track->above_count * 100 > track->count;
}

/* The upper edge of a bucket. */
static uint64_t saturation_edge(uint32_t bucket)
{
    if (bucket < 16)
        return bucket;
    uint32_t shift = bucket / 8 - 1;
    uint64_t low = (uint64_t)(bucket - shift * 8) << shift;
    return low + ((UINT64_C(1) << shift) - 1);
}

static uint64_t saturation_p99(const struct saturation_track *track)
{
    uint64_t need = ((uint64_t)track->count * 99 + 99) / 100, seen = 0;
    if (need == 0)
        return 0;
    for (uint32_t i = 0; i < SATURATION_BUCKETS; i++) {
        seen += track->buckets[i];
        if (seen >= need)
            return saturation_edge(i) < track->max_ns ? saturation_edge(i) : track->max_ns;
    }
    return track->max_ns;
}

static void saturation_end_track(struct saturation_figures *figures, struct saturation_track *track)
{
    figures->samples = track->count;
    figures->p99_ns = saturation_p99(track);
    figures->max_ns = track->max_ns;
    if (figures->p99_ns > figures->worst_p99_ns)
        figures->worst_p99_ns = figures->p99_ns;
    if (figures->max_ns > figures->worst_ns)
        figures->worst_ns = figures->max_ns;
    if (track->count != 0)
        saturation_begin_track(track, track->bound_ns);
}

void saturation_turn(struct saturation *saturation, uint64_t now_ns)
{
    if (saturation->window_end_ns == 0) { /* the first note of all begins the first window */
        saturation->window_end_ns = now_ns + SATURATION_WINDOW_NS;
        return;
    }
    struct saturation_view *view = &saturation->view;
    uint64_t windows = (now_ns - saturation->window_end_ns) / SATURATION_WINDOW_NS + 1;
    saturation->window_end_ns += windows * SATURATION_WINDOW_NS;
    view->windows += windows;
    bool above = saturation_is_above(&saturation->error) || saturation_is_above(&saturation->lag);
    view->windows_saturated += above;
    saturation_end_track(&view->error, &saturation->error);
    saturation_end_track(&view->lag, &saturation->lag);
    if (windows > 1) { /* the ones behind it were empty, and so clean */
        above = false;
        saturation_end_track(&view->error, &saturation->error);
        saturation_end_track(&view->lag, &saturation->lag);
    }
    view->saturated = above;
    atomic_store_explicit(&saturation->shared, above, memory_order_relaxed);
}

struct saturation_view saturation_view(struct saturation *saturation, uint64_t now_ns)
{
    (void)saturation_now(saturation, now_ns);
    return saturation->view;
}

static void saturation_max(uint64_t *into, uint64_t value)
{
    if (value > *into)
        *into = value;
}

static void saturation_merge_figures(struct saturation_figures *into,
                                     const struct saturation_figures *from)
{
    into->samples += from->samples;
    saturation_max(&into->bound_ns, from->bound_ns);
    saturation_max(&into->p99_ns, from->p99_ns);
    saturation_max(&into->max_ns, from->max_ns);
    saturation_max(&into->worst_p99_ns, from->worst_p99_ns);
    saturation_max(&into->worst_ns, from->worst_ns);
}

void saturation_merge(struct saturation_view *into, const struct saturation_view *from)
{
    into->saturated = into->saturated || from->saturated;
    into->windows += from->windows;
    into->windows_saturated += from->windows_saturated;
    saturation_merge_figures(&into->error, &from->error);
    saturation_merge_figures(&into->lag, &from->lag);
}
