/* SPDX-License-Identifier: MIT */
/*
 * Which endpoints get calls: each one that fails again and again is put out for a while.
 *
 *                (1)               (2)
 *     CLOSED ---------> EJECTED ---------> HALF_OPEN
 *      ^  ^                | ^                |  |
 *      |  |      (3)       | |      (4)       |  |
 *      |  +----------------+ +----------------+  |
 *      |                   (5)                   |
 *      +-----------------------------------------+
 *
 *   (1) `failures` calls or two health checks failed in a row, and there is room among those out:
 *       outlier_eject()
 *   (2) its time is over and a call comes: weir_outlier_claim(), weir_outlier_unreached(); or calls
 *       put it out and a health check is good: weir_outlier_health()
 *   (3) health checks put it out and one is good: weir_outlier_health()
 *   (4) the probe failed: weir_outlier_ended(), weir_outlier_unreached(); or two health checks did:
 *       weir_outlier_health()
 *   (5) the probe succeeded: weir_outlier_ended()
 *
 * CLOSED      Calls go there. Results in a row are counted, calls and health checks apart.
 * EJECTED     No calls until until_ns, or until a health check is good when health checks put it
 *             out (by_health): who asks it every 30 s need not sacrifice a call. Results of calls
 *             that began before are ignored.
 * HALF_OPEN   One call, the probe, goes there and decides. Everything else is ignored; a probe that
 *             was abandoned decides nothing, and the next call is one.
 *
 * The n-th ejection in a row lasts n * eject_ns, at most eject_max_ns. n goes down by one for each
 * time that the endpoint stayed CLOSED for as long as its n-th ejection lasts, so that one which
 * fails every few minutes is out longer and longer, and one that failed yesterday is new again.
 *
 * At most count / 2 endpoints, rounded down, are not CLOSED, whatever happens: when most of them
 * fail, the cause is more likely what they have in common, and those that are left would fall under
 * the load of all. So at least half of them always get calls, all of them are never out, and the
 * only endpoint of a client is never put out: there is nowhere else to go. One that fails while the
 * half is full stays, and each further failure asks again.
 */
#ifndef WEIR_PROTO_HTTP_OUTLIER_H
#define WEIR_PROTO_HTTP_OUTLIER_H

#include <weir/base.h>

/* Health checks in a row that must fail: one alone can be lost. The first good one is believed. */
#define WEIR_OUTLIER_HEALTH_FAILURES 2u
/* n counts no further; reached only where eject_max_ns is a thousand times eject_ns or more. */
#define WEIR_OUTLIER_EJECTIONS_MAX 1000u

enum weir_outlier_state {
    WEIR_OUTLIER_CLOSED, /* zeros are a new endpoint */
    WEIR_OUTLIER_EJECTED,
    WEIR_OUTLIER_HALF_OPEN,
};

/* What a call says about its endpoint. */
enum weir_outlier_result {
    WEIR_OUTLIER_NOTHING,
    WEIR_OUTLIER_GOOD,
    WEIR_OUTLIER_BAD,
};

struct weir_outlier {
    uint64_t until_ns;  /* EJECTED and not by_health */
    uint64_t closed_ns; /* CLOSED: since when */
    uint32_t bad_calls; /* in a row */
    uint32_t bad_checks;
    uint32_t ejections; /* n: in a row */
    uint8_t state;      /* enum weir_outlier_state */
    bool by_health;     /* EJECTED: by health checks */
    bool probing;       /* a probe was handed out and has not been reported */
};

struct weir_outlier_set {
    struct weir_outlier *endpoints; /* the caller's, `count` of them, zeros at first */
    uint32_t count;
    uint32_t out;      /* that are not CLOSED */
    uint32_t failures; /* in a row; 0: calls put nothing out */
    uint64_t eject_ns, eject_max_ns;
    uint64_t ejections; /* since the beginning */
};

/*
 * What a call says that ended with `err`, or with 0 and a response of `status`.
 *
 *   BAD      no connection or a broken one, no HTTP, 502, 503, 504; and when time ran out for a
 *            call that was `unanswered`: sent, and no byte came back. A server that hangs shows in
 *            no other way.
 *   GOOD     any other response: 500 and 429 come from a server that works.
 *   NOTHING  what the caller, its limits or the pool did.
 */
enum weir_outlier_result weir_outlier_judge(int err, uint16_t status, bool unanswered);

/* May a call go to this endpoint now? Changes nothing. */
bool weir_outlier_allowed(const struct weir_outlier_set *set, uint32_t index, uint64_t now_ns);

/*
 * A call goes to this endpoint, which weir_outlier_allowed(). True when the call is the probe: then
 * the caller keeps that with the call, and weir_outlier_ended() must follow, once, sooner or later.
 */
WEIR_MUST_USE bool weir_outlier_claim(struct weir_outlier_set *set, uint32_t index,
                                      uint64_t now_ns);

/*
 * A call says something about its endpoint. `probe`: what weir_outlier_claim() returned for it;
 * NOTHING is then a probe that was abandoned. A call that lasts should not keep the endpoint
 * waiting: the final head of its response is enough to call it GOOD.
 * True when the endpoint was put out by it: its idle connections are better closed.
 */
bool weir_outlier_ended(struct weir_outlier_set *set, uint32_t index,
                        enum weir_outlier_result result, bool probe, uint64_t now_ns);

/*
 * No connection to this endpoint came about; what weir_outlier_judge() calls BAD counts. Where the
 * time of an ejection is over that was the probe, although no call ever reached a connection to be
 * claimed for: otherwise an endpoint that cannot be reached would be tried by everybody from then
 * on. True when the endpoint was put out by it.
 */
bool weir_outlier_unreached(struct weir_outlier_set *set, uint32_t index, int err, uint64_t now_ns);

/* A health check ended. True when the endpoint was put out by it. */
bool weir_outlier_health(struct weir_outlier_set *set, uint32_t index, bool healthy,
                         uint64_t now_ns);

/* Abort unless everything agrees. Linear in count. */
void weir_outlier_check(const struct weir_outlier_set *set);

#endif
