/* SPDX-License-Identifier: MIT */
#include "mock/fault/when.h"

#include "mock/fault/match.h"

#include <weir/random.h>

#include <math.h>

/* The constants of the draws. They are part of what a seed means: another one strikes others. */
#define DRAW_CHANCE UINT64_C(0x6368616e6365)
#define DRAW_PHASE  UINT64_C(0x7068617365)

/* Powers of ten up to this one are exact in a double. */
#define DECIMALS_MAX  18
#define NUMERATOR_MAX 9007199254740992.0 /* 2^53 */

/* i mod whole times share is below 2^124. */
__extension__ typedef unsigned __int128 when_u128;

/*
 * The probability as a fraction. People write decimals, 0.01, and mean 1 in 100, not the double
 * next to it: the first power of ten that gives the same double is taken. What is no decimal of at
 * most 18 places is taken in 2^-62, which most doubles are exactly.
 */
static void even_fraction(struct fault_rule *rule)
{
    double probability = rule->when.probability, whole = 1;
    for (int decimals = 0; decimals <= DECIMALS_MAX; decimals++, whole *= 10) {
        double share = nearbyint(probability * whole);
        if (share <= NUMERATOR_MAX && share / whole == probability) {
            rule->even.share = (uint64_t)share;
            rule->even.whole = (uint64_t)whole;
            return;
        }
    }
    rule->even.share = (uint64_t)nearbyint(ldexp(probability, 62));
    rule->even.whole = UINT64_C(1) << 62;
}

void when_prepare(struct fault_rule *rule)
{
    even_fraction(rule);
    rule->even.phase = weir_random_u64(rule->seed, DRAW_PHASE, 0) % rule->even.whole;
}

uint64_t when_elapsed_ns(const struct fault_rule *rule, uint64_t now_ns)
{
    uint64_t begun_ns =
        atomic_load_explicit(&((struct fault_rule *)rule)->begun_ns, memory_order_relaxed);
    return now_ns > begun_ns ? now_ns - begun_ns : 0;
}

bool when_is_alive(const struct fault_rule *rule, uint64_t now_ns)
{
    return rule->enabled && (rule->ttl_ns == 0 || when_elapsed_ns(rule, now_ns) < rule->ttl_ns);
}

/*
 * floor((i + 1) p + phase) > floor(i p + phase): the fraction of i p + phase is within p of the
 * next whole number. With p = share / whole all of it is in integers, and i may be taken modulo
 * `whole`.
 */
static bool even_strikes(const struct fault_rule *rule, uint64_t index)
{
    uint64_t share = rule->even.share, whole = rule->even.whole;
    when_u128 sum = (when_u128)(index % whole) * share + rule->even.phase;
    return (uint64_t)(sum % whole) >= whole - share;
}

static bool index_fits(const struct fault_when *when, uint64_t index)
{
    if (index < when->after)
        return false;
    uint64_t behind = index - when->after;
    if (when->first != 0 && behind >= when->first)
        return false;
    return when->every <= 1 || behind % when->every == when->every - 1;
}

static bool time_fits(const struct fault_when *when, uint64_t elapsed_ns)
{
    if (elapsed_ns < when->start_ns || (when->end_ns != 0 && elapsed_ns >= when->end_ns))
        return false;
    if (when->period_ns == 0)
        return true;
    uint64_t phase_ns = (elapsed_ns - when->start_ns) % when->period_ns;
    return (double)phase_ns < when->duty * (double)when->period_ns;
}

/* How much of the probability counts yet: 0 ... 1. */
static double ramp_share(const struct fault_when *when, uint64_t elapsed_ns)
{
    uint64_t ramped_ns = elapsed_ns - when->start_ns;
    return ramped_ns >= when->ramp_ns ? 1 : (double)ramped_ns / (double)when->ramp_ns;
}

static bool chance_strikes(const struct fault_rule *rule, uint64_t index, uint64_t key,
                           uint64_t elapsed_ns)
{
    const struct fault_when *when = &rule->when;
    double share = ramp_share(when, elapsed_ns);
    if (when->mode == FAULT_EVEN && !even_strikes(rule, index))
        return false;
    double limit = when->mode == FAULT_EVEN ? share : share * when->probability;
    /* What is certain needs no draw, and is most rules. */
    return limit >= 1 || (limit > 0 && weir_random_unit(rule->seed, key, DRAW_CHANCE) < limit);
}

/* Never more than max_active, whatever the threads do. */
static bool take_place(struct fault_rule *rule)
{
    uint32_t limit = rule->when.max_active;
    if (limit == 0) {
        atomic_fetch_add_explicit(&rule->active, 1, memory_order_relaxed);
        return true;
    }
    unsigned active = atomic_load_explicit(&rule->active, memory_order_relaxed);
    while (active < limit)
        if (atomic_compare_exchange_weak_explicit(&rule->active, &active, active + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

static bool subject_fits(const struct fault_rule *rule, const struct fault_subject *subject)
{
    if (!subject->stream && fault_action_is_stream(&rule->action))
        return false;
    return match_subject(&rule->match, subject);
}

bool fault_rule_strikes(struct fault_rule *rule, const struct fault_subject *subject)
{
    if (!when_is_alive(rule, subject->now_ns) || !subject_fits(rule, subject))
        return false;
    uint64_t index = atomic_fetch_add_explicit(&rule->matched, 1, memory_order_relaxed);
    if (subject->numbered)
        index = subject->number;
    uint64_t elapsed_ns = when_elapsed_ns(rule, subject->now_ns);
    if (!index_fits(&rule->when, index) || !time_fits(&rule->when, elapsed_ns) ||
        !chance_strikes(rule, index, subject->key, elapsed_ns) || !take_place(rule))
        return false;
    atomic_fetch_add_explicit(&rule->struck, 1, memory_order_relaxed);
    return true;
}

void fault_rule_release(struct fault_rule *rule)
{
    atomic_fetch_sub_explicit(&rule->active, 1, memory_order_relaxed);
}

#define NUMBER_DIGITS_MAX 18

bool fault_key_number(struct weir_slice key, uint64_t *out)
{
    size_t digits = 0;
    uint64_t number = 0, place = 1;
    for (; digits < key.len; digits++) {
        uint8_t c = key.ptr[key.len - 1 - digits];
        if (c < '0' || c > '9')
            break;
        if (digits == NUMBER_DIGITS_MAX)
            return false;
        number += place * (uint64_t)(c - '0');
        place *= 10;
    }
    if (digits == 0)
        return false;
    *out = number;
    return true;
}
