/* SPDX-License-Identifier: MIT */
/*
 * One request that is not answered the moment it arrives, and the pool it comes from. The pool
 * belongs to one thread; a request that was never used costs address space only.
 */
#ifndef MOCK_REQUEST_H
#define MOCK_REQUEST_H

#include "mock/endpoint.h"
#include "mock/limiter.h"
#include "mock/text.h"

#include <weir/server.h>
#include <weir/timer.h>

struct app;

struct request {
    struct weir_exchange *exchange; /* NULL: over, but a slot is on its way to us */
    struct app *app;                /* whose thread it lives on */
    struct request *next;           /* in the pool, a list of resumed or of admin requests */
    uint64_t seq;
    uint64_t start_ns;   /* head complete */
    uint64_t granted_ns; /* got its slot; 0 = waits */
    uint64_t
        handed_ns; /* the same, written by the thread that gave the slot before it posts `task` */
    uint64_t due_ns;
    uint32_t limit;      /* ENDPOINT_REQUESTS: how many records */
    uint32_t body_bytes; /* received */
    int16_t model;       /* index, or MODEL_UNKNOWN */
    uint8_t endpoint;    /* enum endpoint */
    uint8_t method;      /* enum method */
    bool body_done;      /* complete and valid */
    bool fails;          /* an error is injected */
    bool answered;       /* kept only for what `text` holds */
    struct limiter_waiter waiter;
    struct weir_timer timer;
    struct weir_task task; /* resumes it on its own thread */
    struct text text;      /* body that came in pieces; then a borrowed answer */
};
_Static_assert(sizeof(struct request) <= 512, "memory of a request in flight");

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
void request_put(struct request_pool *pool, struct request *request);

#endif
