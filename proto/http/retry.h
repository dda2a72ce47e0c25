/* SPDX-License-Identifier: MIT */
/*
 * When a request is sent once more: what allows it, how long it waits, how many may.
 *
 * Two different things, and the caller asks for them in this order:
 *
 *   replay   The connection had been used before and turned out to be closed. No fault of anybody:
 *            the server closed an unused connection while the request was on its way. Sent again
 *            at once on a new connection if there can be one, whatever attempts_max says, outside
 *            the budget.
 *   retry    The server said "not now", or nothing came of the attempt. Sent again after a random
 *            wait, attempts_max - 1 times, and while the budget lasts.
 *
 * What is never done is repeating what may have been done already and must not be done twice
 * (RFC 9110 section 9.2.2): a request that is not idempotent is sent again only when it is certain
 * that the server got nothing of it. No status code makes that certain. 503 (section 15.6.4) is
 * also what proxies say when a server died with the request in hand; 429 (RFC 6585 section 4) and
 * Retry-After (RFC 9110 section 10.2.3) speak of the next request and not of what became of this
 * one. Who knows better says so: weir_request.idempotent.
 *
 * No clock, no state but the budget's: times and random numbers are parameters.
 */
#ifndef WEIR_PROTO_HTTP_RETRY_H
#define WEIR_PROTO_HTTP_RETRY_H

#include <weir/client.h>

/* What is known about an attempt that has ended. */
struct weir_retry_attempt {
    bool idempotent; /* weir_retry_idempotent() */
    bool repeatable; /* there is no body, or it can be sent from its start again */
    bool reused;     /* its connection had carried a request before */
    /*
     * Some of the request may have reached the server. False only when nothing of it was given to
     * the kernel, or when the server says that it did not look at it (RFC 9113 section 8.7).
     */
    bool exposed;
    bool answered;  /* a byte of a response arrived, 1xx included */
    bool delivered; /* the caller has been told of the response: too late for another one */
    bool replayed;  /* this call was replayed as often as it may be */
    uint32_t sent;  /* times this call was sent, replays not counted: 1 after the first */
};

/* Did the connection end, by the peer or on the way? */
bool weir_retry_is_broken(int err);

/* GET, HEAD, OPTIONS, TRACE, PUT, DELETE (case counts), a field Idempotency-Key that is not empty,
 * or the caller's word. */
bool weir_retry_idempotent(const struct weir_request *request);

/*
 * Is the attempt, which ended with `err`, to be replayed? Yes when the connection ended (and it was
 * not that somebody lost patience), carried a request before, no byte of the response arrived, the
 * body can be sent again, and either nothing of the request can have arrived or it is idempotent.
 * Not when it was replayed too often: the next connection is to be a new one.
 */
bool weir_retry_replay(const struct weir_retry_attempt *attempt, int err);

/*
 * May the attempt be retried, as far as attempts_max and safety go? It ended with `err`, or with a
 * response of `status` when err is 0.
 *
 *   no connection     WEIR_E_RESOLVE, WEIR_E_CONNECT, WEIR_E_CONNECT_TIMEOUT: always, since nothing
 *                     was sent. WEIR_E_CERTIFICATE never: it will not be better the next time.
 *   it broke          WEIR_E_CLOSED, WEIR_E_TRUNCATED, WEIR_E_TLS, WEIR_E_TIMEOUT, -ECONNRESET and
 *                     other -errno of connections: when nothing of it can have arrived, or when it
 *                     is idempotent and nothing of the response was delivered.
 *   status            408, 425, 429, 502, 503, 504, of idempotent requests. Not 500, which the
 *                     same request would meet again, and not 421, which asks for a connection that
 *                     the pool would not make.
 *   all others        never: the caller's own doing, a limit, or a server that speaks no HTTP.
 */
bool weir_retry_allowed(const struct weir_retry_policy *config,
                        const struct weir_retry_attempt *attempt, int err, uint16_t status);

/* ---- When ------------------------------------------------------------------------------------ */

/* Without a deadline no server makes a call wait for longer than this by Retry-After. */
#define WEIR_RETRY_AFTER_NS_MAX (UINT64_C(60) * 1000000000)

struct weir_retry_moment {
    uint64_t now_ns;
    uint64_t deadline_ns; /* 0: none */
    uint64_t after_ns;    /* what Retry-After asks for, 0: nothing */
    uint64_t random;      /* 64 random bits */
    uint32_t number;      /* of this retry: 1 for the first */
};

/*
 * When to send. The wait is random between 0 and backoff_ns * 2^(number - 1), no more than
 * backoff_max_ns: "full jitter", which spreads those who failed together the widest and needs the
 * fewest attempts of the variants in Brooker, "Exponential Backoff and Jitter" (AWS, 2015). What
 * Retry-After asks for is waited besides it, never less, so that those who were told the same do
 * not come back together either.
 *
 * True and *out_ns, or false: the wait would not end before the deadline, or the server asks for
 * more than WEIR_RETRY_AFTER_NS_MAX of a call without one. Then what there is is the answer.
 */
bool weir_retry_at(uint64_t *out_ns, const struct weir_retry_policy *config,
                   const struct weir_retry_moment *moment);

/*
 * The wait that a field Retry-After asks for (RFC 9110 section 10.2.3). `value` and `date`, the
 * response's field Date, as the head parser gives them; either may be absent (len 0). A date in
 * `value` is relative to `date`, so that the clocks need not agree, or to `wall_s` (seconds since
 * 1970) when there is no valid one.
 *
 * True and *out_ns: digits or a date; 0 when that is past; UINT64_MAX from 2^31 seconds on, as RFC
 * 9111 section 1.2.2 advises for numbers that are too large. False: there is no field, or it is
 * something else (a sign, a fraction, a list, blanks), which is as if there were none.
 */
bool weir_retry_after(uint64_t *out_ns, struct weir_slice value, struct weir_slice date,
                      int64_t wall_s);

/* ---- How many -------------------------------------------------------------------------------- */

#define WEIR_RETRY_SLOTS   10u
#define WEIR_RETRY_SLOT_NS UINT64_C(1000000000)

/*
 * A bucket of credit: every call puts `percent` hundredths of a retry into it, a retry takes a
 * whole one out. At first it holds `min` retries. It holds at most what the calls of the last ten
 * seconds put in, but never less than `min`, or one.
 *
 * So, whatever happens, with C calls and R retries (those given back not counted):
 *
 *   since open              R <= min + percent/100 * C
 *   in any stretch of time  R <= max(min, 1, percent/100 * (calls in the 10 s before it))
 *                                + percent/100 * C
 *
 * With 20 % a server that fails every request sees 1.2 times the load and, once in the life of a
 * client, `min` requests more. The minimum is not granted anew with time, as Finagle's retries per
 * second and Envoy's min_retry_concurrency are: with those a client of one call a second could
 * triple its load. A slow client earns its minimum back with 5 calls for each retry instead.
 *
 * Finagle's RetryBudget is the same bucket with a time to live for every deposit; here the bucket's
 * size follows the traffic instead, which keeps one number. gRPC's throttle (A6) counts failures
 * and stops retries altogether at half: it bounds nothing in proportion, and one bad method stops
 * the retries of all.
 */
struct weir_retry_budget {
    uint32_t percent, min;
    uint64_t credit; /* hundredths of a retry */
    uint64_t slot;   /* number of the current second */
    uint64_t calls_count;
    uint32_t calls[WEIR_RETRY_SLOTS]; /* calls_count is their sum */
};

void weir_retry_budget_init(struct weir_retry_budget *budget,
                            const struct weir_retry_policy *config, uint64_t now_ns);
/* A call was accepted: once per call, however often it is sent. */
void weir_retry_budget_call(struct weir_retry_budget *budget, uint64_t now_ns);
/* Take one retry, if there is one. */
bool weir_retry_budget_take(struct weir_retry_budget *budget, uint64_t now_ns);
/* One that was taken and never sent: its call was cancelled while it waited. */
void weir_retry_budget_give_back(struct weir_retry_budget *budget, uint64_t now_ns);
/* Abort unless its parts agree. */
void weir_retry_budget_check(const struct weir_retry_budget *budget);

#endif
