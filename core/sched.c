/* SPDX-License-Identifier: MIT */
#include "core/sched.h"

/* Even odds: half of the spins in vain is the most that is paid. */
#define LIKELY_ENOUGH (WEIR_SCHED_LIKELY_MAX / 2)

void weir_sched_init(struct weir_sched *sched, enum weir_wait mode)
{
    *sched = (struct weir_sched){ .mode = mode };
}

uint64_t weir_sched_spin_ns(const struct weir_sched *sched, uint64_t until_ns)
{
    switch (sched->mode) {
    case WEIR_WAIT_SPIN:
        return until_ns;
    case WEIR_WAIT_SLEEP:
        return 0;
    default:
        if (sched->likely < LIKELY_ENOUGH || sched->batch_x16 >= WEIR_SCHED_BATCH * 16)
            return 0;
        return weir_min_u64(until_ns, WEIR_SCHED_SPIN_NS);
    }
}

static void came(struct weir_sched *sched)
{
    sched->likely += (WEIR_SCHED_LIKELY_MAX - sched->likely + 7) / 8;
}

void weir_sched_missed(struct weir_sched *sched)
{
    /* Twice as fast as it grows: an engine that falls idle stops spinning after a few waits. */
    sched->likely -= (sched->likely + 3) / 4;
}

void weir_sched_waited(struct weir_sched *sched, uint64_t waited_ns, bool slept)
{
    if (waited_ns <= WEIR_SCHED_SPIN_NS + (slept ? WEIR_SCHED_WAKE_NS : 0))
        came(sched);
    else
        weir_sched_missed(sched);
}
