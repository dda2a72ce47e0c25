/* SPDX-License-Identifier: MIT */
/*
 * One request that is not answered the moment it arrives, and the pool it comes from. The pool
 * belongs to one thread; a request that was never used costs address space only.
 */
#ifndef MOCK_REQUEST_H
#define MOCK_REQUEST_H

#include "mock/api/ask.h"
#include "mock/api/endpoint.h"
#include "mock/api/override.h"
#include "mock/config/config.h"
#include "mock/fault/wire.h"
#include "mock/limit/limiter.h"
#include "mock/limit/quota.h"
#include "mock/text.h"

#include <weir/server.h>
#include <weir/timer.h>

struct app;
struct filter;
struct stream;
struct replica;

enum request_state {
    REQUEST_OPEN,    /* reads its body, waits for a slot or until it is due */
    REQUEST_STREAM,  /* its answer has begun: request->stream has the rest */
    REQUEST_WIRE,    /* a fault has its answer: request->wire */
    REQUEST_ANSWERED /* kept for what it holds until the exchange ends */
};

/*
 * What each token of a stream touches stands in front, in three cache lines: nothing of thousands
 * of streams is in the cache when their next token is due. See stream_prefetch().
 */
struct request {
    _Alignas(64) struct weir_timer timer; /* due; before, the end of its patience in the queue */
    struct weir_exchange *exchange;       /* NULL: over, but a slot is on its way to us */
    struct app *app;                      /* whose thread it lives on */
    struct stream *stream;
    struct wire *wire;
    const struct fault_action *action; /* of `rule`, or the override's; NULL = a regular answer */
    uint64_t granted_ns;               /* got its slot; 0 = waits */
    uint64_t first_ns;                 /* when the first token was given; 0 = none was */
    uint64_t last_ns;                  /* and the last */
    uint32_t given_tokens;             /* how many of them were given */
    uint32_t late_us;
    uint8_t endpoint; /* enum endpoint */
    uint8_t method;   /* enum method */
    struct ask ask;
    struct request *next; /* in the pool, a list of resumed or of admin requests */
    uint64_t seq;         /* arrival number over all threads */
    uint64_t start_ns;    /* head complete */
    uint64_t
        handed_ns; /* the same, written by the thread that gave the slot before it posts `task` */
    uint64_t due_ns;
    uint64_t asked_ns;       /* from granted_ns to the answer's last byte, as was configured */
    uint64_t first_asked_ns; /* and to its first */
    uint64_t admitted_ns;    /* by its replica */
    uint64_t gap_ns;         /* between its tokens, of a linear engine */
    uint64_t least_due_ns;   /* of a load or unload: when it will be so */
    uint64_t ready_ns;       /* a model: see plan.c */
    uint64_t key, conn;
    uint64_t number;           /* of the key, if `numbered` */
    uint64_t candidates;       /* rules of `config` whose head matches */
    uint64_t struck;           /* and that struck: fault_rule_release() is owed */
    uint64_t extra_ns;         /* what faults add to the delay */
    struct config *config;     /* held by those that must not see it change */
    struct fault_rule *rule;   /* of `config`, that makes the answer what it is; or NULL */
    struct override *override; /* NULL: the client asked for nothing special */
    struct replica *replica;   /* that makes its tokens; NULL = none, or no more */
    uint64_t sequence;         /* its handle there */
    struct quota_view quota_requests, quota_tokens;
    struct filter *filter; /* of an admin request */
    uint32_t body_bytes;   /* received */
    uint32_t output_tokens;
    uint32_t cached_tokens;
    uint32_t retry_after_s; /* of the answer on the wire */
    uint16_t wire_status;   /* its status */
    int16_t model;          /* its number, see models.h; ask.model is the index in `config` */
    uint8_t state;          /* enum request_state */
    uint8_t place;          /* enum stats_place */
    uint8_t finish;         /* enum reply_finish */
    uint8_t verdict;        /* of the models: enum residency_verdict */
    bool no_wait;           /* a load or unload is answered 202 before it is done */
    bool body_done;         /* complete and valid */
    bool keyed, numbered;
    bool delayed;      /* was due later than it was ready: the schedule can be missed */
    bool uses_model;   /* models_release() is owed */
    bool fault_delay;  /* a fault made it wait */
    bool counted;      /* in mock->running */
    bool peer_ended;   /* the client is taken for gone */
    bool limited;      /* takes a slot */
    bool open_metrics; /* admin: in OpenMetrics' format */
    struct limiter_waiter waiter;
    struct weir_task task; /* resumes it on its own thread */
    struct text text;      /* body that came in pieces; then a borrowed answer */
};
_Static_assert(sizeof(struct request) <= 896, "memory of a request in flight");
_Static_assert(offsetof(struct request, app) <= 64 && offsetof(struct request, endpoint) <= 128,
               "what a token touches");

struct request_pool {
    struct request *requests;
    struct request *free;
    uint32_t capacity;
    uint32_t touched; /* how many were ever handed out */
};

/* @return 0 or -ENOMEM */
int request_pool_open(struct request_pool *pool, uint32_t capacity);
/* Releases requests that are still out, too. */
void request_pool_close(struct request_pool *pool);

/* A zeroed request, or NULL when all are in use. */
struct request *request_get(struct request_pool *pool);
/* What it holds is released: text, override, stream, wire, filter. */
void request_put(struct request_pool *pool, struct request *request);

#endif
