/* SPDX-License-Identifier: MIT */
#include "mock/schedule.h"

/* Enough for a percentile each second, and few enough to cost next to nothing. */
#define BEAT_NS 25000000U

static void schedule_account(struct schedule *schedule, uint64_t now_ns)
{
    for (uint32_t i = 0; i < schedule->noted_count; i++) {
        uint64_t due_ns = schedule->noted_ns[i];
        uint64_t late_ns = now_ns > due_ns ? now_ns - due_ns : 0;
        weir_hist_record(schedule->stats->schedule_error_ns, late_ns);
        saturation_note_error(schedule->saturation, now_ns, late_ns);
    }
    schedule->noted_count = 0;
}

/* The number of saturated threads is what answers look at. */
static void schedule_publish(struct schedule *schedule, uint64_t now_ns)
{
    bool saturated = saturation_now(schedule->saturation, now_ns);
    if (saturated == schedule->saturated)
        return;
    schedule->saturated = saturated;
    if (saturated)
        atomic_fetch_add_explicit(schedule->saturated_threads, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(schedule->saturated_threads, 1, memory_order_relaxed);
}

void schedule_settle(struct schedule *schedule)
{
    uint64_t now_ns = weir_engine_now_ns(schedule->engine);
    if (!weir_timer_is_set(&schedule->submitted) || schedule->submitted.deadline_ns > now_ns)
        return;
    weir_timer_cancel(&schedule->submitted);
    schedule_account(schedule, now_ns);
}

static void schedule_on_submitted(struct weir_timer *timer, void *ctx)
{
    struct schedule *schedule = ctx;
    (void)timer;
    schedule_account(schedule, weir_engine_now_ns(schedule->engine));
}

static void schedule_on_beat(struct weir_timer *timer, void *ctx)
{
    struct schedule *schedule = ctx;
    uint64_t due_ns = timer->deadline_ns;
    uint64_t now_ns = weir_engine_clock_ns(schedule->engine);
    uint64_t lag_ns = now_ns > due_ns ? now_ns - due_ns : 0;
    weir_hist_record(schedule->stats->loop_lag_ns, lag_ns);
    saturation_note_lag(schedule->saturation, now_ns, lag_ns);
    schedule_publish(schedule, now_ns);
    /* A mock that nobody asks does not wake up; but it does not go to sleep saturated. */
    if (schedule->given_total == schedule->beats_seen && !schedule->saturated)
        return;
    schedule->beats_seen = schedule->given_total;
    weir_timer_set(schedule->engine, &schedule->beat, now_ns + BEAT_NS);
}

void schedule_open(struct schedule *schedule, struct weir_engine *engine, struct stats *stats,
                   struct saturation *saturation, atomic_uint *saturated_threads)
{
    schedule->engine = engine;
    schedule->stats = stats;
    schedule->saturation = saturation;
    schedule->saturated_threads = saturated_threads;
    schedule->noted_count = 0;
    schedule->beats_seen = schedule->given_total = 0;
    schedule->saturated = false;
    weir_timer_init(&schedule->submitted, schedule_on_submitted, schedule);
    weir_timer_init(&schedule->beat, schedule_on_beat, schedule);
}

void schedule_close(struct schedule *schedule)
{
    if (schedule->engine == NULL)
        return;
    weir_timer_cancel(&schedule->submitted);
    weir_timer_cancel(&schedule->beat);
}

void schedule_active(struct schedule *schedule)
{
    schedule->given_total++;
    if (!weir_timer_is_set(&schedule->beat))
        weir_timer_set(schedule->engine, &schedule->beat,
                       weir_engine_now_ns(schedule->engine) + BEAT_NS);
}

void schedule_given(struct schedule *schedule, uint64_t due_ns)
{
    schedule_active(schedule);
    schedule_settle(schedule); /* behind this, all that is noted is of one pass */
    if (schedule->noted_count == SCHEDULE_NOTED_MAX)
        schedule_account(schedule, weir_engine_clock_ns(schedule->engine));
    /* Later than this pass's clock: it fires in the next one, which does not wait for it. */
    if (schedule->noted_count == 0)
        weir_timer_set(schedule->engine, &schedule->submitted,
                       weir_engine_now_ns(schedule->engine) + 1);
    schedule->noted_ns[schedule->noted_count++] = due_ns;
}
