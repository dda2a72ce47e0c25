/* SPDX-License-Identifier: MIT */
/*
 * How an engine waits: spin for the next completion, sleep until there is one.
 *
 * Sleeping costs twice: the CPU time of going to sleep and of being woken, and the time until the
 * thread runs again (27 us and 45 us on the virtual machines measured; a request is 5). Spinning
 * costs the CPU time until the next completion. So spinning pays whenever the next completion comes
 * within what sleeping would have cost, and is a waste otherwise; and nobody knows that but from
 * how long the waits before it took (Karlin et al., "Competitive randomized algorithms for
 * nonuniform problems", SODA 1990: spinning as long as sleeping costs is at most twice as dear as
 * knowing).
 *
 * When passes bring many completions each, the next ones are there by the time the pass is over or
 * soon after, and sleeping until they are lets more of them come: whole batches.
 *
 * This is arithmetic only: no clock, no system call.
 */
#ifndef WEIR_CORE_SCHED_H
#define WEIR_CORE_SCHED_H

#include "core/base.h"

#include <weir/engine.h>

/* The longest spin: what a sleep costs. */
#define WEIR_SCHED_SPIN_NS 50000u
/* A sleeper is woken so much later than the completion came. */
#define WEIR_SCHED_WAKE_NS 50000u
/* Mean completions of a pass from which on the engine waits for batches. */
#define WEIR_SCHED_BATCH 8u

#define WEIR_SCHED_LIKELY_MAX 256u

struct weir_sched {
    enum weir_wait mode;
    uint32_t likely;    /* of WEIR_SCHED_LIKELY_MAX: how sure a completion within the spin is */
    uint32_t batch_x16; /* completions per pass, mean of the last ones, in sixteenths */
};

void weir_sched_init(struct weir_sched *sched, enum weir_wait mode);

/* How long to spin before sleeping; 0 = sleep at once. At most `until_ns`, the time to the
 * deadline. */
uint64_t weir_sched_spin_ns(const struct weir_sched *sched, uint64_t until_ns);

/*
 * A wait ended with a completion after `waited_ns`, spent asleep at the end or not; or it ended
 * with none, and the spin was in vain.
 */
void weir_sched_waited(struct weir_sched *sched, uint64_t waited_ns, bool slept);
void weir_sched_missed(struct weir_sched *sched);

/* A pass brought `count` completions. */
static inline void weir_sched_reaped(struct weir_sched *sched, uint32_t count)
{
    uint32_t sample = count < 4096 ? count * 16 : 65536;
    sched->batch_x16 = (sched->batch_x16 * 7 + sample) / 8;
}

#endif
