/* SPDX-License-Identifier: MIT */
#include "mock/limit/quota.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_MINUTE UINT64_C(60000000000)
#define NS_PER_MS     1000000U
#define MS_PER_S      1000U
#define S_PER_HOUR    3600U
#define RESET_MS_MAX  (UINT64_C(10000) * S_PER_HOUR * MS_PER_S - 1)

/* 2^56 units of at least 16 ns: a machine that is up for 36 years. */
#define CHANGES_SHIFT 56
#define CHANGES_COUNT 256U
#define FULL_MASK     ((UINT64_C(1) << CHANGES_SHIFT) - 1)
_Static_assert(CHANGES_COUNT % QUOTA_SLOTS == 0, "the slots follow each other");

__extension__ typedef unsigned __int128 quota_u128;

/* Word and limit that belong together. */
struct quota_state {
    uint64_t word, limit;
};

/* Units: `each` for one request or token, `bucket` for all of the limit and for a minute. */
struct quota_units {
    uint64_t each, bucket;
};

/*
 * The limit of a word lies in a slot that is written again three changes later. Whoever reads it
 * then sees the word of that change, too, and reads again.
 */
static struct quota_state quota_read(struct quota *quota)
{
    struct quota_state state;
    do {
        state.word = atomic_load_explicit(&quota->word, memory_order_acquire);
        state.limit = atomic_load_explicit(
            &quota->limits[(state.word >> CHANGES_SHIFT) % QUOTA_SLOTS], memory_order_acquire);
    } while (atomic_load_explicit(&quota->word, memory_order_relaxed) >> CHANGES_SHIFT !=
             state.word >> CHANGES_SHIFT);
    return state;
}

static bool quota_swap(struct quota *quota, const struct quota_state *state, uint64_t full)
{
    uint_fast64_t expected = state->word;
    return atomic_compare_exchange_weak_explicit(&quota->word, &expected,
                                                 (state->word & ~FULL_MASK) | (full & FULL_MASK),
                                                 memory_order_acq_rel, memory_order_relaxed);
}

void quota_set(struct quota *quota, uint64_t per_minute)
{
    if (per_minute > QUOTA_PER_MINUTE_MAX)
        per_minute = QUOTA_PER_MINUTE_MAX;
    struct quota_state state = quota_read(quota);
    if (state.limit == per_minute)
        return;
    uint64_t changes = ((state.word >> CHANGES_SHIFT) + 1) % CHANGES_COUNT;
    atomic_store_explicit(&quota->limits[changes % QUOTA_SLOTS], per_minute, memory_order_release);
    /* Full since the clock began. */
    atomic_store_explicit(&quota->word, changes << CHANGES_SHIFT, memory_order_release);
}

/* Of a limit that divides QUOTA_PER_MINUTE_MAX, as round ones do, a unit is exactly 16 ns. */
static struct quota_units units_of(uint64_t limit)
{
    uint64_t each = QUOTA_PER_MINUTE_MAX / limit;
    return (struct quota_units){ .each = each, .bucket = each * limit };
}

static uint64_t units_at(const struct quota_units *units, uint64_t ns)
{
    return (uint64_t)((quota_u128)ns * units->bucket / NS_PER_MINUTE);
}

/* The first moment at which so many units have gone by. */
static uint64_t ns_at(const struct quota_units *units, uint64_t count)
{
    return (uint64_t)(((quota_u128)count * NS_PER_MINUTE + units->bucket - 1) / units->bucket);
}

/* What is to be seen at `now_ns` of a bucket that will be full at `full`. */
static struct quota_view view_of(const struct quota_units *units, uint64_t full, uint64_t now_ns)
{
    uint64_t now = units_at(units, now_ns), empty = now + units->bucket;
    return (struct quota_view){
        .limit = units->bucket / units->each,
        .remaining = full < empty ? (empty - full) / units->each : 0,
        .reset_ns = full > now ? ns_at(units, full) - now_ns : 0,
    };
}

/* @return true: `out` is the answer, `full` what the word must become; false: refused, and `out`
 * says so */
static bool quota_decide(struct quota_view *out, uint64_t *full, uint64_t limit, uint64_t amount,
                         uint64_t now_ns)
{
    struct quota_units units = units_of(limit);
    uint64_t now = units_at(&units, now_ns);
    uint64_t before = *full > now ? *full : now;
    uint64_t after = before + (amount > limit ? 0 : amount * units.each);
    if (amount == 0 || (amount <= limit && after <= now + units.bucket)) {
        *full = after;
        *out = view_of(&units, after, now_ns);
        return true;
    }
    *out = view_of(&units, before, now_ns);
    out->retry_ns = amount > limit ? QUOTA_NEVER : ns_at(&units, after - units.bucket) - now_ns;
    return false;
}

bool quota_take(struct quota *quota, uint64_t amount, uint64_t now_ns, struct quota_view *out)
{
    for (;;) {
        struct quota_state state = quota_read(quota);
        if (state.limit == 0) {
            *out = (struct quota_view){ 0 };
            return true;
        }
        uint64_t full = state.word & FULL_MASK;
        bool taken = quota_decide(out, &full, state.limit, amount, now_ns);
        if (!taken || amount == 0 || quota_swap(quota, &state, full))
            return taken;
    }
}

void quota_give_back(struct quota *quota, uint64_t amount)
{
    for (;;) {
        struct quota_state state = quota_read(quota);
        if (state.limit == 0)
            return;
        struct quota_units units = units_of(state.limit);
        uint64_t back = (amount < state.limit ? amount : state.limit) * units.each;
        uint64_t full = state.word & FULL_MASK;
        if (quota_swap(quota, &state, full > back ? full - back : 0))
            return;
    }
}

void quota_format_reset(char out[QUOTA_RESET_BYTES], uint64_t ns)
{
    uint64_t ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
    if (ms > RESET_MS_MAX)
        ms = RESET_MS_MAX;
    unsigned fraction = (unsigned)(ms % MS_PER_S), s = (unsigned)(ms / MS_PER_S);
    if (s == 0) {
        snprintf(out, QUOTA_RESET_BYTES, "%u%s", fraction, fraction == 0 ? "s" : "ms");
        return;
    }
    char text[40], decimals[16] = "";
    if (fraction != 0) {
        int len = snprintf(decimals, sizeof decimals, ".%03u", fraction);
        while (len > 0 && decimals[len - 1] == '0')
            decimals[--len] = 0;
    }
    unsigned seconds = s % 60, minutes = s / 60 % 60, hours = s / S_PER_HOUR;
    if (hours > 0)
        snprintf(text, sizeof text, "%uh%um%u%ss", hours, minutes, seconds, decimals);
    else if (minutes > 0)
        snprintf(text, sizeof text, "%um%u%ss", minutes, seconds, decimals);
    else
        snprintf(text, sizeof text, "%u%ss", seconds, decimals);
    memcpy(out, text, strnlen(text, QUOTA_RESET_BYTES - 1) + 1);
    out[QUOTA_RESET_BYTES - 1] = 0;
}
