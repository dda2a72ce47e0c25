/* SPDX-License-Identifier: MIT */
/* When a request is sent once more: retry.h has the rules and the reasons. */
#include "proto/http/retry.h"

#include "core/assert.h"
#include "core/base.h"
#include "proto/codec/date.h"
#include "proto/codec/http1_char.h"

#include <errno.h>

#define NS_PER_S       UINT64_C(1000000000)
#define AFTER_S_MAX    (UINT64_C(1) << 31)
#define CREDIT_PER_ONE 100u /* a percent of a retry is one */

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- Whether ------------------------------------------------------------------------------------
 */

bool weir_retry_idempotent(const struct weir_request *request)
{
    static const struct weir_slice methods[] = {
        WEIR_TEXT("GET"),   WEIR_TEXT("HEAD"), WEIR_TEXT("OPTIONS"),
        WEIR_TEXT("TRACE"), WEIR_TEXT("PUT"),  WEIR_TEXT("DELETE"),
    };
    if (request->idempotent)
        return true;
    for (unsigned i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (weir_slice_eq(request->method, methods[i]))
            return true;
    }
    for (size_t i = 0; i < request->headers_count; i++) {
        const struct weir_header *header = &request->headers[i];
        if (header->value.len != 0 && http1_is_word(header->name, WEIR_TEXT("idempotency-key")))
            return true;
    }
    return false;
}

/* No connection came about, so that nothing can have been sent. */
static bool is_connect_error(int err)
{
    return err == WEIR_E_RESOLVE || err == WEIR_E_CONNECT || err == WEIR_E_CONNECT_TIMEOUT;
}

bool weir_retry_is_broken(int err)
{
    switch (err) {
    case WEIR_E_CLOSED:
    case WEIR_E_TRUNCATED:
    case WEIR_E_TLS:
    case -ECONNRESET:
    case -ECONNABORTED:
    case -ECONNREFUSED:
    case -EPIPE:
    case -ENOTCONN:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -EHOSTDOWN:
    case -ENETUNREACH:
    case -ENETDOWN:
    case -ENETRESET:
        return true;
    default:
        return false;
    }
}

bool weir_retry_replay(const struct weir_retry_attempt *attempt, int err)
{
    WEIR_ASSERT(attempt->answered || !attempt->delivered);
    if (!attempt->reused || attempt->replayed || attempt->answered)
        return false;
    if (!attempt->repeatable || !weir_retry_is_broken(err))
        return false;
    return attempt->idempotent || !attempt->exposed;
}

static bool is_retryable_status(uint16_t status)
{
    return status == 408 || status == 425 || status == 429 || (status >= 502 && status <= 504);
}

bool weir_retry_allowed(const struct weir_retry_policy *config,
                        const struct weir_retry_attempt *attempt, int err, uint16_t status)
{
    WEIR_ASSERT(attempt->answered || !attempt->delivered);
    WEIR_ASSERT(attempt->sent >= 1);
    if (attempt->sent >= config->attempts_max || !attempt->repeatable || attempt->delivered)
        return false;
    if (err == 0)
        return attempt->idempotent && is_retryable_status(status);
    if (!is_connect_error(err) && !weir_retry_is_broken(err) && err != WEIR_E_TIMEOUT)
        return false;
    return attempt->idempotent || !attempt->exposed;
}

/* ---- When ---------------------------------------------------------------------------------------
 */

/* backoff_ns * 2^(number - 1), at most backoff_max_ns. */
static uint64_t backoff_limit(const struct weir_retry_policy *config, uint32_t number)
{
    uint64_t limit = config->backoff_ns;
    for (uint32_t i = 1; i < number && limit < config->backoff_max_ns; i++) {
        if (limit == 0)
            return 0;
        limit = add_saturated(limit, limit);
    }
    return weir_min_u64(limit, config->backoff_max_ns);
}

bool weir_retry_at(uint64_t *out_ns, const struct weir_retry_policy *config,
                   const struct weir_retry_moment *moment)
{
    WEIR_ASSERT(moment->number >= 1);
    uint64_t limit = backoff_limit(config, moment->number);
    /* The upper half of the product is uniform in 0 ... limit but for one part in 2^64 / limit. */
    uint64_t ways = add_saturated(limit, 1);
    uint64_t jitter = (uint64_t)((unsigned __int128)moment->random * ways >> 64);
    uint64_t at = add_saturated(moment->now_ns, add_saturated(moment->after_ns, jitter));
    if (moment->deadline_ns != 0 && at >= moment->deadline_ns)
        return false;
    if (moment->deadline_ns == 0 && moment->after_ns > WEIR_RETRY_AFTER_NS_MAX)
        return false;
    *out_ns = at;
    return true;
}

static uint64_t seconds_to_ns(uint64_t seconds)
{
    return seconds >= AFTER_S_MAX ? UINT64_MAX : seconds * NS_PER_S;
}

/* 1*DIGIT, of any length: a number stops growing where it is too large anyway. */
static bool read_seconds(uint64_t *out, struct weir_slice text)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!http1_is_digit(text.ptr[i]))
            return false;
        value = weir_min_u64(value * 10 + (uint64_t)(text.ptr[i] - '0'), AFTER_S_MAX);
    }
    *out = value;
    return text.len != 0;
}

bool weir_retry_after(uint64_t *out_ns, struct weir_slice value, struct weir_slice date,
                      int64_t wall_s)
{
    uint64_t seconds;
    if (read_seconds(&seconds, value)) {
        *out_ns = seconds_to_ns(seconds);
        return true;
    }
    int64_t then_s, since_s;
    if (!weir_date_read(&then_s, value, wall_s))
        return false;
    if (!weir_date_read(&since_s, date, wall_s))
        since_s = wall_s;
    *out_ns = then_s <= since_s ? 0 : seconds_to_ns((uint64_t)then_s - (uint64_t)since_s);
    return true;
}

/* ---- How many -----------------------------------------------------------------------------------
 */

static uint64_t budget_capacity(const struct weir_retry_budget *budget)
{
    uint64_t least = (uint64_t)CREDIT_PER_ONE * (budget->min == 0 ? 1 : budget->min);
    return weir_max_u64(least, budget->calls_count * budget->percent);
}

/* Forget the calls of the seconds that have left the window, and the credit that hangs on them. */
static void budget_advance(struct weir_retry_budget *budget, uint64_t now_ns)
{
    uint64_t slot = now_ns / WEIR_RETRY_SLOT_NS;
    /* A clock that stands still or goes back changes nothing. */
    if (slot <= budget->slot)
        return;
    uint64_t passed = weir_min_u64(slot - budget->slot, WEIR_RETRY_SLOTS);
    for (uint64_t i = 1; i <= passed; i++) {
        uint32_t *calls = &budget->calls[(budget->slot + i) % WEIR_RETRY_SLOTS];
        budget->calls_count -= *calls;
        *calls = 0;
    }
    budget->slot = slot;
    budget->credit = weir_min_u64(budget->credit, budget_capacity(budget));
}

void weir_retry_budget_init(struct weir_retry_budget *budget,
                            const struct weir_retry_policy *config, uint64_t now_ns)
{
    WEIR_ASSERT(config->budget_percent <= 100);
    *budget = (struct weir_retry_budget){
        .percent = config->budget_percent,
        .min = config->budget_min,
        .credit = (uint64_t)config->budget_min * CREDIT_PER_ONE,
        .slot = now_ns / WEIR_RETRY_SLOT_NS,
    };
    weir_retry_budget_check(budget);
}

void weir_retry_budget_call(struct weir_retry_budget *budget, uint64_t now_ns)
{
    budget_advance(budget, now_ns);
    uint32_t *calls = &budget->calls[budget->slot % WEIR_RETRY_SLOTS];
    if (*calls != UINT32_MAX) {
        *calls += 1;
        budget->calls_count++;
    }
    budget->credit = weir_min_u64(budget->credit + budget->percent, budget_capacity(budget));
    WEIR_DEBUG_ASSERT((weir_retry_budget_check(budget), true));
}

bool weir_retry_budget_take(struct weir_retry_budget *budget, uint64_t now_ns)
{
    budget_advance(budget, now_ns);
    if (budget->credit < CREDIT_PER_ONE)
        return false;
    budget->credit -= CREDIT_PER_ONE;
    WEIR_DEBUG_ASSERT((weir_retry_budget_check(budget), true));
    return true;
}

void weir_retry_budget_give_back(struct weir_retry_budget *budget, uint64_t now_ns)
{
    budget_advance(budget, now_ns);
    budget->credit = weir_min_u64(budget->credit + CREDIT_PER_ONE, budget_capacity(budget));
    WEIR_DEBUG_ASSERT((weir_retry_budget_check(budget), true));
}

void weir_retry_budget_check(const struct weir_retry_budget *budget)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < WEIR_RETRY_SLOTS; i++)
        sum += budget->calls[i];
    WEIR_ASSERT(sum == budget->calls_count);
    WEIR_ASSERT(budget->percent <= CREDIT_PER_ONE);
    WEIR_ASSERT(budget->credit <= budget_capacity(budget));
}
