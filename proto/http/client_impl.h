/* SPDX-License-Identifier: MIT */
/*
 * The client's own structures, shared by its parts:
 *
 *   client.c           configuration, life, statistics
 *   client_call.c      a call from send to end: queue, deadlines, cancelling, retries
 *   client_pool.c      connections: which call gets which, how many there are, how old they grow
 *   client_endpoint.c  servers: their names and addresses, whether they are fit for calls
 *   client_conn.c      one connection: requests out, responses in
 *   client_write.c     a request as bytes
 *   client_body.c      the content of a response on its way to the caller
 */
#ifndef WEIR_PROTO_HTTP_CLIENT_IMPL_H
#define WEIR_PROTO_HTTP_CLIENT_IMPL_H

#include "core/arena.h"
#include "core/list.h"
#include "core/pool.h"
#include "io/conn.h"
#include "io/dial.h"
#include "io/resolver.h"
#include "io/stash.h"
#include "io/tls_link.h"
#include "proto/http/inflate.h"
#include "proto/http/outlier.h"
#include "proto/http/retry.h"

#include <weir/client.h>
#include <weir/http1.h>

/* Where a call is: see client_call.c. */
enum weir_call_state {
    CALL_IDLE,      /* the caller's */
    CALL_SUBMITTED, /* on its way to the engine's thread */
    CALL_WAITING,   /* client->waiting */
    CALL_IN_FLIGHT, /* on a connection; owner is it */
    CALL_BACKOFF,   /* client->backoff: its timer brings it back to the queue */
    CALL_ENDED      /* client->ended: on_end is owed */
};

enum weir_call_flag {
    CALL_ANSWERED = 1 << 0,  /* the response is complete, the request is not sent whole */
    CALL_AGAIN = 1 << 1,     /* goes out again once its connection has let go of its memory */
    CALL_HEADED = 1 << 2,    /* on_head has run: the caller has part of a response */
    CALL_PROBE = 1 << 3,     /* a health check of one endpoint */
    CALL_EVENTS = 1 << 4,    /* its content goes to its reader of events */
    CALL_PAUSED = 1 << 5,    /* takes no more of its content */
    CALL_PRODUCING = 1 << 6, /* its source has not come to its end */
    CALL_REWINDING = 1 << 7, /* its source is asked to begin again right now */
    CALL_CANCELLED = 1 << 8, /* before the engine's thread had it */
    CALL_TRIED = 1 << 9,     /* the half-open endpoint's one call */
    CALL_WROTE = 1 << 10,    /* its source has been read from */
    CALL_PUMPED = 1 << 11,   /* its source is being read from right now */
    CALL_FRESH = 1 << 12     /* met a connection that was closed: the next has to be a new one */
};

/* First in, first out; linked by the calls themselves. */
struct weir_calls {
    struct weir_call *first, *last;
    uint32_t count;
};

/* Interim (1xx) answers taken before the final one (RFC 9110 section 15.2): more is an attack or a
 * bug. */
#define WEIR_INTERIM_MAX 32

/* How long the rest of an unwanted response may take; and how long when calls wait for it. */
#define WEIR_DRAIN_NS       1000000000u
#define WEIR_DRAIN_HURRY_NS 20000000u

/* Decoded content is handed out in pieces of at most this. */
#define WEIR_DECODED_BYTES 16384u

/* What decoding one response takes; allocated while one is. */
struct weir_decoder {
    struct weir_inflate inflate;
    struct weir_slice rest; /* of `out`, not handed out yet */
    bool inside;            /* a piece of `out` is being handed out */
    uint8_t out[WEIR_DECODED_BYTES];
};

/* Texts of the configuration, with NUL. */
#define TARGET_BYTES 1024u
#define NAME_BYTES   256u

/* One connection of a client. */
struct weir_client_conn {
    struct weir_list
        link; /* endpoint->idle or ->room, client->draining, or none; while free the pool's */
    struct weir_list all_link; /* endpoint->all */
    struct weir_client *client;
    struct weir_endpoint *endpoint;
    struct weir_conn *conn;
    struct weir_calls calls; /* in flight, in the order of their requests */
    uint64_t requests;       /* ever sent on it */
    uint64_t first_at;       /* conn->queued_bytes before the request of the first of them */
    uint32_t resume;         /* of the head parser */
    uint8_t interim_count;
    bool connecting;
    bool in_body;
    bool ending;     /* takes no more calls */
    bool retiring;   /* we end it, unused as it is */
    bool gone;       /* has ended; its calls are told */
    bool keep_alive; /* as the response that is being read says */
    bool foreign;    /* by ALPN the server speaks another protocol than HTTP/1 */
    bool answered;   /* a response was read */
    bool draining;   /* reads the rest of a response whose call is gone */
    bool drain_head; /* ... the request was HEAD */
    bool complete;   /* the response was read, its end waits while the call is paused */
    bool resuming;   /* bytes that were kept are to be looked at, and a postponed end */
    struct weir_http1_body body;
    struct weir_stash stash;
    struct weir_stash kept; /* content that came while the call was paused */
    struct weir_decoder *decoder;
    uint64_t drain_bytes; /* that may still be read for nothing */
    uint64_t expires_ns;  /* too old from here on; 0 = never */
    uint64_t
        server_idle_ns; /* how long the server keeps it when it is unused; 0 = it does not say */
    uint64_t began_ns;  /* connecting; then TLS */
    uint64_t dns_ns, connect_ns, tls_ns;
    uint64_t idle_since_ns;
    struct weir_call *reserved; /* the health check that it is made for */
    struct weir_ready resume_run;
    struct weir_dial dial;
};

/* A lookup holds for a third of connect_timeout_ns at least, whatever its time to live: so the
 * addresses that an attempt looks at are not overwritten while it lasts. */
#define ADDRS_SETS      5u
#define ADDRS_TTL_SHARE 3u

/* One server of the service. */
struct weir_endpoint {
    struct weir_client *client;
    struct weir_list idle; /* connections with nothing in flight; most recently used first */
    struct weir_list room; /* something in flight, but less than pipeline_max */
    struct weir_list all;
    uint32_t index;
    uint32_t conns_count; /* those being made included */
    uint32_t connecting_count;
    uint32_t ending_count; /* those that take no more calls */
    uint32_t in_flight_count;
    bool secure;
    bool named;     /* its host is to be resolved */
    bool resolving; /* the lookup is under way */
    bool unhealthy; /* as the last health check says */
    bool checking;  /* the health check is under way */
    /*
     * Attempts to connect look at the addresses they began with, for connect_timeout_ns at most;
     * those of a later lookup lie elsewhere.
     */
    struct weir_addr addrs_sets[ADDRS_SETS][WEIR_ADDRS_MAX];
    struct weir_addr *addrs;
    uint32_t addrs_set;
    uint32_t addrs_count;
    uint64_t addrs_until_ns; /* 0 = for ever */
    uint64_t lookup_began_ns, lookup_ns;
    int lookup_err; /* it could not even begin */
    struct weir_lookup lookup;
    struct weir_timer lookup_timer;
    uint64_t retry_at_ns; /* no attempts to connect before */
    uint64_t retry_ns;    /* the pause after the next failure */
    struct weir_timer retry_timer;
    uint64_t sent, failures, ejections;
    struct weir_call health;
    struct weir_timer health_timer;
    uint16_t port;
    uint16_t host_bytes, authority_bytes;
    char host[256];
    char authority[264];
    char session_key[8]; /* of TLS sessions, besides the host: the port */
    const char *label;   /* for people: the authority, or the path of a unix socket */
    char reason[512];    /* why the last attempt to connect failed */
};

/* The head handed to on_head. */
struct weir_response_head {
    struct weir_http1_head head;
};

struct weir_client {
    struct weir_engine *engine;
    struct weir_response_head response; /* valid while on_head runs */
    struct weir_http1_limits limits;
    struct weir_endpoint *endpoints;
    uint32_t endpoints_count;
    uint32_t connecting_count;
    uint32_t in_flight_count;
    uint32_t pending_count;    /* calls accepted that have not ended */
    struct weir_list draining; /* connections: the last that has come is at the end */
    bool hurried;              /* none of them may take long any more */
    struct weir_calls waiting;
    struct weir_calls backoff;
    struct weir_calls ended;
    struct weir_ready end_run;
    struct weir_ready retry_run; /* calls wait and a connection went away */
    struct weir_pool conns;
    bool closing;
    uint32_t given_up; /* attempts to connect whose sockets are not closed yet */
    bool used;         /* a call was sent: conns_min holds */
    uint64_t random_count;
    struct weir_retry_budget budget;
    struct weir_outlier_set outliers;
    struct weir_outlier outlier[WEIR_ENDPOINTS_MAX];
    struct weir_client_stats stats;
    struct weir_client_config cfg;
    struct weir_resolver *resolver;
    struct weir_tls *tls;
    struct weir_timer memory_timer;
    uint8_t *scratch;
    size_t scratch_bytes;
    char health_target[TARGET_BYTES]; /* empty: no health checks */
    char tls_name[NAME_BYTES];        /* empty: the endpoint's host */
    struct weir_arena arena;
};

/* A random number, of which the client's seed decides. */
uint64_t weir_client_random(struct weir_client *client);
/* `ns`, up to 10 % more or less. */
uint64_t weir_client_jitter(struct weir_client *client, uint64_t ns);

/* ---- client_call.c ----------------------------------------------------------------------- */

void weir_calls_push(struct weir_calls *calls, struct weir_call *call);
void weir_calls_remove(struct weir_calls *calls, struct weir_call *call);
/* The call is over: back to the caller, now. */
void weir_call_finish(struct weir_client *client, struct weir_call *call, int err);
/* ... but not from inside the function that ended it. It is on no list. */
void weir_call_end_later(struct weir_client *client, struct weir_call *call, int err);
/* The first call that waits, taken out of the queue; the first that may go out on `cc` unless that
 * is NULL. NULL: there is none. */
struct weir_call *weir_client_next(struct weir_client *client, const struct weir_client_conn *cc);
/* To the head of the queue. `limit_ns`: when its time in it ends, if that has begun before; 0: it
 * begins now. */
void weir_client_put_back(struct weir_client *client, struct weir_call *call, uint64_t limit_ns);
/* An attempt to connect, or to find an address, failed: the calls that had counted on it. */
void weir_client_attempt_failed(struct weir_client *client, struct weir_endpoint *endpoint, int err,
                                int os_err, uint32_t most);
/* The connection of a call broke: it ends, or waits to be sent again.
 * @return true: it is to go out again at once, which is left to the caller */
bool weir_call_broken(struct weir_client_conn *cc, struct weir_call *call, int err);
/* Is its response to be followed by another attempt? Decided by its head; then the budget is
 * charged. */
bool weir_call_retries_status(struct weir_client_conn *cc, struct weir_call *call,
                              uint64_t *wait_ns);
/* It waits to be sent again, and shall not be: it is on no list then. */
void weir_call_give_up_retry(struct weir_call *call);
/* It is, after `wait_ns`. The call is on no list. */
void weir_call_retry(struct weir_client *client, struct weir_call *call, uint64_t wait_ns);
void weir_client_memory_short(struct weir_client *client);
void weir_client_on_memory_timer(struct weir_timer *timer, void *ctx);
void weir_client_end_run(struct weir_ready *ready);

/* ---- client_pool.c ----------------------------------------------------------------------- */

/* A connection that may take a call now; NULL: there is none. */
struct weir_client_conn *weir_client_take(struct weir_client *client);
/* This connection has room for calls that wait: give it `most` of them at most. */
void weir_client_feed(struct weir_client_conn *cc, uint32_t most);
/* Put the connection where new calls find it, or end it when it has served its time. */
void weir_client_offer(struct weir_client_conn *cc);
/* As many attempts to connect under way as calls wait, within the limits. */
void weir_client_connect_more(struct weir_client *client);
/* As many connections as conns_min says. */
void weir_endpoint_keep_min(struct weir_endpoint *endpoint);
/* Nothing has been in flight on it for as long as was set. */
void weir_client_conn_unused(struct weir_client_conn *cc);
/* An attempt to connect succeeded. */
void weir_client_conn_made(struct weir_client_conn *cc);
/* It is over: `err` as its on_closed, or the dial's. */
void weir_client_conn_gone(struct weir_client_conn *cc, int err);
/* The endpoint's addresses are there, or there are none (`err`). */
void weir_client_resolved(struct weir_endpoint *endpoint, int err);
void weir_client_retry_run(struct weir_ready *ready);
void weir_endpoint_on_retry_timer(struct weir_timer *timer, void *ctx);

/* ---- client_endpoint.c ------------------------------------------------------------------- */

int weir_endpoint_open(struct weir_endpoint *endpoint, struct weir_client *client, uint32_t index,
                       const char *text) WEIR_MUST_USE;
void weir_endpoint_close(struct weir_endpoint *endpoint);
/* The endpoint for the next call; `connect`: one that another connection may be made to, or NULL.
 */
struct weir_endpoint *weir_client_pick(struct weir_client *client, bool connect);
/* Has it addresses to connect to? If not they are asked for, and weir_client_resolved() follows. */
bool weir_endpoint_resolve(struct weir_endpoint *endpoint);
/* May it be given calls? */
bool weir_endpoint_fit(const struct weir_endpoint *endpoint);
/* May a connection be made to it now? (client_pool.c) */
bool weir_endpoint_may_connect(const struct weir_endpoint *endpoint);
/* The connection that was made for its health check is there. */
void weir_endpoint_probe(struct weir_client_conn *cc);
/* A call goes to it: perhaps the one that decides whether it is fit again. */
void weir_endpoint_claim(struct weir_endpoint *endpoint, struct weir_call *call);
/* What a call says of it that ended with `err`, or with 0 and its status. */
void weir_endpoint_result(struct weir_endpoint *endpoint, struct weir_call *call, int err);
/* No connection to it could be made. */
void weir_endpoint_unreached(struct weir_endpoint *endpoint, int err);
/* The client is used from now on. */
void weir_endpoint_begin(struct weir_endpoint *endpoint);
static inline struct weir_slice weir_endpoint_authority(const struct weir_endpoint *endpoint)
{
    return (struct weir_slice){ (const uint8_t *)endpoint->authority, endpoint->authority_bytes };
}

/* ---- client_conn.c ----------------------------------------------------------------------- */

int weir_client_conn_open(struct weir_endpoint *endpoint,
                          struct weir_client_conn **out) WEIR_MUST_USE;
/* Put the request on the wire. @return 0; -EINVAL it cannot be sent; -ENOBUFS no output memory.
 * Nothing changed then. */
int weir_client_conn_send(struct weir_client_conn *cc, struct weir_call *call) WEIR_MUST_USE;
void weir_client_conn_end(struct weir_client_conn *cc, int err);
/* The same in order, of one that nothing is in flight on: TLS tells the server of the end. */
void weir_client_conn_retire(struct weir_client_conn *cc);
static inline void weir_client_conn_set_ending(struct weir_client_conn *cc)
{
    cc->endpoint->ending_count += !cc->ending;
    cc->ending = true;
}
/* Leave the first call, which is the caller's to end, without its response: it is read for nothing.
 * @return false: it cannot; the connection has to be closed */
bool weir_client_conn_leave(struct weir_client_conn *cc);
void weir_client_hurry(struct weir_client *client);
/* Its first call takes more again. */
void weir_client_conn_resume(struct weir_client_conn *cc);

/* ---- client_write.c ---------------------------------------------------------------------- */

/* Serialise the head of a call's request. @return bytes or as weir_http1_write_request() */
int64_t weir_client_write_head(struct weir_slice authority, const struct weir_call *call,
                               uint8_t *out, size_t capacity);
/* All of the request but what a source makes. @return bytes queued; -EINVAL; -ENOBUFS */
int64_t weir_client_write_request(struct weir_client_conn *cc, struct weir_call *call);
/* More of the body that a source makes, as there is room. */
void weir_client_pump(struct weir_client_conn *cc);

/* ---- client_body.c ----------------------------------------------------------------------- */

/* The final head of a response with content has come, and the call asked for more than its bytes.
 * @return 0, or what the call ends with */
int weir_client_content_begin(struct weir_client_conn *cc, struct weir_call *call);
/* A piece of it as it came. @return 0, or what the call ends with */
int weir_client_content(struct weir_client_conn *cc, struct weir_call *call,
                        struct weir_slice piece);
/* Its end. @return 0, or what the call ends with */
int weir_client_content_end(struct weir_client_conn *cc, struct weir_call *call);
/* The call goes on: what was kept of its content. @return 0, or what the call ends with */
int weir_client_content_resume(struct weir_client_conn *cc, struct weir_call *call);
/* Whatever was being decoded. */
void weir_client_content_drop(struct weir_client_conn *cc);

#endif
