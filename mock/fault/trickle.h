/* SPDX-License-Identifier: MIT */
/*
 * When bytes may leave that leave slowly: in steps with an interval between them, or at a rate.
 *
 * The schedule is absolute: a step that was late does not move those behind it. It begins anew
 * after a rest, in which there was nothing to send or nobody to take it; what was not sent then is
 * not made up for.
 */
#ifndef MOCK_FAULT_TRICKLE_H
#define MOCK_FAULT_TRICKLE_H

#include <stdbool.h>
#include <stdint.h>

enum trickle_kind { TRICKLE_FREE, TRICKLE_STEPS, TRICKLE_RATE };

/* At a rate bytes leave at least that often, unless it is less than a byte in that time. */
#define TRICKLE_STEP_NS 10000000u

struct trickle {
    enum trickle_kind kind;
    bool resting;
    uint64_t interval_ns; /* STEPS: 0 = each as soon as the one before is out */
    uint64_t bytes_per_s; /* RATE: at least 1 */
    uint64_t next_ns;     /* STEPS: when the next is due */
    uint64_t stepped_ns;  /* STEPS: the clock of the last one */
    uint64_t begun_ns;    /* RATE: since the last rest, */
    uint64_t taken;       /* and bytes since then */
};

void trickle_init(struct trickle *trickle, enum trickle_kind kind, uint64_t interval_ns,
                  uint64_t bytes_per_s);

void trickle_rest(struct trickle *trickle);

/*
 * How many of the `wait` > 0 bytes that wait may leave at `now_ns`, at most `step` > 0 in a step;
 * they count as taken. 0: ask again at *due_ns, which is later than now.
 */
uint64_t trickle_take(struct trickle *trickle, uint64_t now_ns, uint64_t step, uint64_t wait,
                      uint64_t *due_ns);

#endif
