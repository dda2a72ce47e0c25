/* SPDX-License-Identifier: MIT */
#include "mock/fault/trickle.h"

#define NS_PER_S 1000000000u

__extension__ typedef unsigned __int128 trickle_u128;

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void trickle_init(struct trickle *trickle, enum trickle_kind kind, uint64_t interval_ns,
                  uint64_t bytes_per_s)
{
    *trickle = (struct trickle){
        .kind = kind,
        .resting = true,
        .interval_ns = interval_ns,
        .bytes_per_s = most(bytes_per_s, 1),
    };
}

void trickle_rest(struct trickle *trickle)
{
    trickle->resting = true;
}

static void wake(struct trickle *trickle, uint64_t now_ns)
{
    if (!trickle->resting)
        return;
    trickle->resting = false;
    trickle->next_ns = most(trickle->next_ns, now_ns);
    trickle->begun_ns = now_ns;
    trickle->taken = 0;
}

/*
 * What is queued in one pass of the engine leaves in one send, and all of a pass has one clock: two
 * steps at the same time would be one.
 */
static uint64_t take_step(struct trickle *trickle, uint64_t now_ns, uint64_t step, uint64_t wait,
                          uint64_t *due_ns)
{
    uint64_t due = trickle->next_ns;
    if (trickle->stepped_ns != 0)
        due = most(due, trickle->stepped_ns + 1);
    if (now_ns < due) {
        *due_ns = due;
        return 0;
    }
    trickle->stepped_ns = now_ns;
    trickle->next_ns += least(trickle->interval_ns, UINT64_MAX / 2 - trickle->next_ns);
    return least(step, wait);
}

static uint64_t take_rate(struct trickle *trickle, uint64_t now_ns, uint64_t wait, uint64_t *due_ns)
{
    const trickle_u128 rate = trickle->bytes_per_s;
    uint64_t step = (uint64_t)(rate * TRICKLE_STEP_NS / NS_PER_S);
    step = least(most(step, 1), wait);
    trickle_u128 earned = rate * (now_ns - trickle->begun_ns) / NS_PER_S;
    if (earned < (trickle_u128)trickle->taken + step) {
        trickle_u128 ns = ((trickle_u128)trickle->taken + step) * NS_PER_S;
        *due_ns = trickle->begun_ns + (uint64_t)((ns + rate - 1) / rate);
        return 0;
    }
    trickle_u128 left = earned - trickle->taken;
    uint64_t taken = left < wait ? (uint64_t)left : wait;
    trickle->taken += taken;
    return taken;
}

uint64_t trickle_take(struct trickle *trickle, uint64_t now_ns, uint64_t step, uint64_t wait,
                      uint64_t *due_ns)
{
    wake(trickle, now_ns);
    switch (trickle->kind) {
    case TRICKLE_STEPS:
        return take_step(trickle, now_ns, step, wait, due_ns);
    case TRICKLE_RATE:
        return take_rate(trickle, now_ns, wait, due_ns);
    default:
        return wait;
    }
}
