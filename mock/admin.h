/* SPDX-License-Identifier: MIT */
/*
 * Metrics and admin requests. What a thread counts is its own, so that counting costs nothing: a
 * request that wants to see or reset the counts of all threads sends one task around. The task
 * visits the threads one after the other, each on its own thread, and comes back to where it began,
 * which then answers. Each thread has one such tour under way at most; more requests wait in order.
 */
#ifndef MOCK_ADMIN_H
#define MOCK_ADMIN_H

#include "mock/request.h"
#include "mock/snapshot.h"

struct journal_record;

struct admin {
    struct weir_task task; /* the tour */
    struct app *app;       /* where it began */
    uint32_t at;           /* the thread that it visits */
    bool touring;
    struct request *request; /* that it is made for; NULL: the client has gone meanwhile */
    uint8_t endpoint;        /* enum endpoint of that request */
    uint32_t limit;          /* ENDPOINT_REQUESTS: records from each thread */
    struct request *queue, **queue_end;
    struct snapshot snapshot;
    struct journal_record *records;
    uint32_t records_count;
};

/* @return 0 or -ENOMEM */
int admin_open(struct admin *admin, struct app *app);
void admin_close(struct admin *admin);

/* on_request of a metrics or admin endpoint. */
void admin_begin(struct app *app, struct weir_exchange *exchange, enum endpoint endpoint,
                 enum method method);

/* on_end of a request begun by admin_begin() and not answered: forget it. */
void admin_abandon(struct request *request);

#endif
