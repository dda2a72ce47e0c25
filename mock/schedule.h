/* SPDX-License-Identifier: MIT */
/*
 * How late answers and tokens are. What counts is not when the mock gets to them but when the
 * kernel has them: everything given in one pass of the loop is submitted at the pass's end, in one
 * go that takes longer the more there is. So what is given is noted with the time it was due, and
 * accounted for at the begin of the next pass, behind the submission. An upper bound for all but
 * the last.
 *
 * It watches the loop, too: a timer that is set again and again as long as anything happens shows
 * how far the loop lags behind its clock when nothing is due.
 */
#ifndef MOCK_SCHEDULE_H
#define MOCK_SCHEDULE_H

#include "mock/control/saturation.h"
#include "mock/control/stats.h"

#include <weir/timer.h>

#define SCHEDULE_NOTED_MAX 4096U /* in one pass; more are accounted for at once */

struct schedule {
    struct weir_engine *engine;
    struct stats *stats;
    struct saturation *saturation;
    atomic_uint *saturated_threads;
    struct weir_timer submitted; /* the next pass */
    struct weir_timer beat;
    uint64_t beats_seen; /* answers at the last beat */
    uint64_t given_total;
    uint32_t noted_count;
    bool saturated; /* counted in saturated_threads */
    uint64_t noted_ns[SCHEDULE_NOTED_MAX];
};

void schedule_open(struct schedule *schedule, struct weir_engine *engine, struct stats *stats,
                   struct saturation *saturation, atomic_uint *saturated_threads);
void schedule_close(struct schedule *schedule);

/* Something that was due at `due_ns` has been given to the server, now. */
void schedule_given(struct schedule *schedule, uint64_t due_ns);

/*
 * Account for what earlier passes gave, which the kernel has: before the statistics are read, whose
 * reader may have had the answer already. Tasks and completions run before timers do.
 */
void schedule_settle(struct schedule *schedule);

/* Something happened that was not due at any time: the loop is worth being watched. */
void schedule_active(struct schedule *schedule);

#endif
