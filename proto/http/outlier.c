/* SPDX-License-Identifier: MIT */
/* Which endpoints get calls: outlier.h has the states and who performs which transition. */
#include "proto/http/outlier.h"

#include "core/assert.h"
#include "proto/http/retry.h"
#include "core/base.h"

#include <errno.h>

enum weir_outlier_result weir_outlier_judge(int err, uint16_t status, bool unanswered)
{
    switch (err) {
    case 0:
        return status >= 502 && status <= 504 ? WEIR_OUTLIER_BAD : WEIR_OUTLIER_GOOD;
    case WEIR_E_PROTOCOL:
    case WEIR_E_RESOLVE:
    case WEIR_E_CONNECT:
    case WEIR_E_CONNECT_TIMEOUT:
    case WEIR_E_CERTIFICATE:
    case WEIR_E_TIMEOUT:
        return WEIR_OUTLIER_BAD;
    case WEIR_E_DEADLINE:
        return unanswered ? WEIR_OUTLIER_BAD : WEIR_OUTLIER_NOTHING;
    default:
        return weir_retry_is_broken(err) ? WEIR_OUTLIER_BAD : WEIR_OUTLIER_NOTHING;
    }
}

static const struct weir_outlier *endpoint_at(const struct weir_outlier_set *set, uint32_t index)
{
    WEIR_ASSERT(index < set->count);
    return &set->endpoints[index];
}

static uint64_t eject_duration(const struct weir_outlier_set *set, uint32_t ejections)
{
    uint64_t duration;
    if (__builtin_mul_overflow(set->eject_ns, (uint64_t)ejections, &duration))
        return set->eject_max_ns;
    return weir_min_u64(duration, set->eject_max_ns);
}

/* Times add up to "never" rather than to the past. */
static uint64_t time_after(uint64_t now_ns, uint64_t duration_ns)
{
    return duration_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + duration_ns;
}

/* Forgive ejections for the time the endpoint has been CLOSED. At most EJECTIONS_MAX rounds. */
static void outlier_decay(const struct weir_outlier_set *set, struct weir_outlier *o,
                          uint64_t now_ns)
{
    WEIR_ASSERT(o->state == WEIR_OUTLIER_CLOSED);
    uint64_t healthy_ns = now_ns > o->closed_ns ? now_ns - o->closed_ns : 0;
    while (o->ejections > 0 && healthy_ns >= eject_duration(set, o->ejections)) {
        healthy_ns -= eject_duration(set, o->ejections);
        o->ejections--;
    }
}

static void outlier_close(struct weir_outlier_set *set, struct weir_outlier *o, uint64_t now_ns)
{
    WEIR_ASSERT(o->state != WEIR_OUTLIER_CLOSED);
    WEIR_ASSERT(set->out > 0);
    o->state = WEIR_OUTLIER_CLOSED;
    o->by_health = false;
    o->bad_calls = 0;
    o->bad_checks = 0;
    o->closed_ns = now_ns;
    set->out--;
}

/* Put it out, from any state but EJECTED. False when half of the endpoints are out already. */
static bool outlier_eject(struct weir_outlier_set *set, struct weir_outlier *o, bool by_health,
                          uint64_t now_ns)
{
    WEIR_ASSERT(o->state != WEIR_OUTLIER_EJECTED);
    if (o->state == WEIR_OUTLIER_CLOSED) {
        if (set->out >= set->count / 2)
            return false;
        outlier_decay(set, o, now_ns);
        set->out++;
    }
    if (o->ejections < WEIR_OUTLIER_EJECTIONS_MAX)
        o->ejections++;
    o->state = WEIR_OUTLIER_EJECTED;
    o->by_health = by_health;
    o->until_ns = time_after(now_ns, eject_duration(set, o->ejections));
    set->ejections++;
    return true;
}

static bool is_time_over(const struct weir_outlier *o, uint64_t now_ns)
{
    return o->state == WEIR_OUTLIER_EJECTED && !o->by_health && now_ns >= o->until_ns;
}

bool weir_outlier_allowed(const struct weir_outlier_set *set, uint32_t index, uint64_t now_ns)
{
    const struct weir_outlier *o = endpoint_at(set, index);
    if (o->state == WEIR_OUTLIER_CLOSED)
        return true;
    /* A probe of an earlier time may still be under way: one at a time. */
    return !o->probing && (o->state == WEIR_OUTLIER_HALF_OPEN || is_time_over(o, now_ns));
}

bool weir_outlier_claim(struct weir_outlier_set *set, uint32_t index, uint64_t now_ns)
{
    WEIR_ASSERT(weir_outlier_allowed(set, index, now_ns));
    struct weir_outlier *o = &set->endpoints[index];
    if (o->state == WEIR_OUTLIER_CLOSED)
        return false;
    o->state = WEIR_OUTLIER_HALF_OPEN;
    o->probing = true;
    WEIR_DEBUG_ASSERT((weir_outlier_check(set), true));
    return true;
}

/* A call to an endpoint that is CLOSED. */
static bool count_call(struct weir_outlier_set *set, struct weir_outlier *o,
                       enum weir_outlier_result result, uint64_t now_ns)
{
    WEIR_ASSERT(o->state == WEIR_OUTLIER_CLOSED);
    if (result == WEIR_OUTLIER_GOOD)
        o->bad_calls = 0;
    if (result != WEIR_OUTLIER_BAD)
        return false;
    if (o->bad_calls != UINT32_MAX)
        o->bad_calls++;
    if (set->failures == 0 || o->bad_calls < set->failures)
        return false;
    return outlier_eject(set, o, false, now_ns);
}

bool weir_outlier_ended(struct weir_outlier_set *set, uint32_t index,
                        enum weir_outlier_result result, bool probe, uint64_t now_ns)
{
    WEIR_ASSERT(index < set->count);
    struct weir_outlier *o = &set->endpoints[index];
    WEIR_ASSERT(o->probing || !probe);
    bool ejected = false;
    if (probe)
        o->probing = false;
    if (o->state == WEIR_OUTLIER_CLOSED) {
        ejected = count_call(set, o, result, now_ns);
    } else if (o->state == WEIR_OUTLIER_HALF_OPEN && probe) {
        if (result == WEIR_OUTLIER_GOOD)
            outlier_close(set, o, now_ns);
        else if (result == WEIR_OUTLIER_BAD)
            ejected = outlier_eject(set, o, false, now_ns);
    }
    WEIR_DEBUG_ASSERT((weir_outlier_check(set), true));
    return ejected;
}

bool weir_outlier_unreached(struct weir_outlier_set *set, uint32_t index, int err, uint64_t now_ns)
{
    WEIR_ASSERT(index < set->count);
    WEIR_ASSERT(err < 0);
    struct weir_outlier *o = &set->endpoints[index];
    bool ejected = false;
    if (weir_outlier_judge(err, 0, false) != WEIR_OUTLIER_BAD)
        return false;
    if (o->state == WEIR_OUTLIER_CLOSED) {
        ejected = count_call(set, o, WEIR_OUTLIER_BAD, now_ns);
    } else if (weir_outlier_allowed(set, index, now_ns)) {
        o->state = WEIR_OUTLIER_HALF_OPEN;
        ejected = outlier_eject(set, o, false, now_ns);
    }
    WEIR_DEBUG_ASSERT((weir_outlier_check(set), true));
    return ejected;
}

static bool count_bad_check(struct weir_outlier_set *set, struct weir_outlier *o, uint64_t now_ns)
{
    if (o->bad_checks != UINT32_MAX)
        o->bad_checks++;
    if (o->bad_checks < WEIR_OUTLIER_HEALTH_FAILURES)
        return false;
    if (o->state != WEIR_OUTLIER_EJECTED)
        return outlier_eject(set, o, true, now_ns);
    /* Calls put it out and health checks agree: then the checks say when it is back. */
    o->by_health = true;
    return false;
}

bool weir_outlier_health(struct weir_outlier_set *set, uint32_t index, bool healthy,
                         uint64_t now_ns)
{
    WEIR_ASSERT(index < set->count);
    struct weir_outlier *o = &set->endpoints[index];
    bool ejected = false;
    if (!healthy)
        ejected = count_bad_check(set, o, now_ns);
    else
        o->bad_checks = 0;
    if (healthy && o->state == WEIR_OUTLIER_EJECTED) {
        /* What the checks ask for may work where calls fail, so there a call has the last word. */
        if (o->by_health)
            outlier_close(set, o, now_ns);
        else
            o->state = WEIR_OUTLIER_HALF_OPEN;
    }
    WEIR_DEBUG_ASSERT((weir_outlier_check(set), true));
    return ejected;
}

void weir_outlier_check(const struct weir_outlier_set *set)
{
    uint32_t out = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct weir_outlier *o = &set->endpoints[i];
        WEIR_ASSERT(o->state <= WEIR_OUTLIER_HALF_OPEN);
        WEIR_ASSERT(!o->by_health || o->state == WEIR_OUTLIER_EJECTED);
        WEIR_ASSERT(o->ejections <= WEIR_OUTLIER_EJECTIONS_MAX);
        WEIR_ASSERT(o->ejections > 0 || o->state == WEIR_OUTLIER_CLOSED);
        out += o->state != WEIR_OUTLIER_CLOSED;
    }
    WEIR_ASSERT(out == set->out);
    WEIR_ASSERT(out <= set->count / 2);
}
