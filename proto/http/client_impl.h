/* SPDX-License-Identifier: MIT */
/* The client's own structures, shared by client.c (pool, queue, life) and client_conn.c (one
 * connection). */
#ifndef WEIR_PROTO_HTTP_CLIENT_IMPL_H
#define WEIR_PROTO_HTTP_CLIENT_IMPL_H

#include "core/arena.h"
#include "core/list.h"
#include "core/pool.h"
#include "io/conn.h"
#include "io/stash.h"

#include <weir/client.h>
#include <weir/http1.h>

/* Where a call is. */
enum weir_call_state {
    CALL_IDLE,      /* the caller's */
    CALL_WAITING,   /* client->waiting */
    CALL_IN_FLIGHT, /* on a connection; owner is it */
    CALL_ENDED      /* client->ended: on_end is owed */
};

/* First in, first out; linked by the calls themselves. */
struct weir_calls {
    struct weir_call *first, *last;
    uint32_t count;
};

/* Interim (1xx) answers taken before the final one (RFC 9110 section 15.2): more is an attack or a
 * bug. */
#define WEIR_INTERIM_MAX 32

/* One connection of a client. */
struct weir_client_conn {
    struct weir_list
        link; /* client->idle or client->room, or none; first pointer: the pool's while free */
    struct weir_list all_link; /* client->all */
    struct weir_client *client;
    struct weir_conn *conn;
    struct weir_calls calls; /* in flight, in the order of their requests */
    uint64_t requests;       /* ever sent on it */
    uint64_t first_at;       /* conn->queued_bytes before the request of the first of them */
    uint32_t resume;         /* of the head parser */
    uint8_t interim_count;
    bool connecting;
    bool in_body;
    bool ending;     /* takes no more calls */
    bool keep_alive; /* as the response that is being read says */
    bool timed_out;  /* CONNECTING ended by the deadline */
    struct weir_http1_body body;
    struct weir_stash stash;
};

/* The head handed to on_head. */
struct weir_response_head {
    struct weir_http1_head head;
};

struct weir_client {
    struct weir_engine *engine;
    struct weir_response_head response; /* valid while on_head runs */
    struct weir_http1_limits limits;
    struct weir_list idle; /* nothing in flight; most recently used first */
    struct weir_list room; /* something in flight, but less than pipeline_max */
    struct weir_list all;
    struct weir_calls waiting;
    struct weir_calls ended;
    struct weir_ready end_run;
    struct weir_pool conns;
    uint32_t connecting_count;
    uint32_t in_flight_count;
    bool closing;
    struct weir_client_stats stats;
    struct weir_client_config cfg;
    struct weir_addr addr;
    struct weir_timer waiting_timer;
    struct weir_timer memory_timer;
    struct weir_ready retry_run; /* calls wait and a connection went away */
    uint8_t *scratch;
    size_t scratch_bytes;
    char authority[WEIR_ADDR_TEXT_BYTES + 256];
    struct weir_slice host;
    struct weir_arena arena;
};

/* client.c */
void weir_calls_push(struct weir_calls *calls, struct weir_call *call);
void weir_calls_remove(struct weir_calls *calls, struct weir_call *call);
/* The call is over: back to the caller, now. */
void weir_call_finish(struct weir_client *client, struct weir_call *call, int err);
/* This connection has room for calls that wait: give it `most` of them at most. */
void weir_client_feed(struct weir_client_conn *cc, uint32_t most);
/* Put the connection where new calls find it. */
void weir_client_offer(struct weir_client_conn *cc);
void weir_client_conn_gone(struct weir_client_conn *cc, int err);

/* client_conn.c */
int weir_client_conn_open(struct weir_client *client) WEIR_MUST_USE;
/* Put the request on the wire. @return 0; -EINVAL it cannot be sent; -ENOBUFS no output memory.
 * Nothing changed then. */
int weir_client_conn_send(struct weir_client_conn *cc, struct weir_call *call) WEIR_MUST_USE;
/* Serialise the head of a call's request. @return bytes or as weir_http1_write_request() */
int64_t weir_client_write_head(const struct weir_client *client, const struct weir_call *call,
                               uint8_t *out, size_t capacity);

#endif
