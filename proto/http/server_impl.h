/* SPDX-License-Identifier: MIT */
/*
 * The server's own structures, shared by server.c (life), session.c (input) and exchange.c
 * (answers).
 */
#ifndef WEIR_PROTO_HTTP_SERVER_IMPL_H
#define WEIR_PROTO_HTTP_SERVER_IMPL_H

#include "core/arena.h"
#include "core/list.h"
#include "core/pool.h"
#include "io/conn.h"
#include "io/listener.h"
#include "io/sock.h"
#include "io/stash.h"
#include "io/tls_link.h"
#include "proto/http/head_memo.h"

#include <weir/http1.h>
#include <weir/server.h>

struct weir_group_member;
struct weir_session;

/*
 * One request and its answer. In its session's queue from the head's last byte to on_end. What a
 * write looks at is in one cache line, which is not in the cache when streams are many.
 */
struct weir_exchange {
    _Alignas(64) struct weir_exchange *next; /* the request after it; the pool's link */
    struct weir_session *session; /* NULL: the connection is done with it, the kernel is not */
    struct weir_server *server;
    const struct weir_conn *conn; /* to be prefetched, nothing else: it may be gone */
    void *user;
    uint64_t end_at; /* finished: conn->sent_bytes at which all of it has left */
    uint8_t version_minor;
    bool head;            /* the method is HEAD: no body in the answer */
    bool keep_alive;      /* the request lets the connection live on */
    bool internal;        /* the server's own answer: no callbacks */
    bool expect;          /* 100-continue is owed before the body */
    bool body_done;       /* the request has been read whole */
    bool begun, finished; /* the answer */
    bool chunked;
    bool close;      /* the connection ends with this answer */
    bool want_write; /* on_writable is owed */
    bool starved;    /* found no output memory, and has queued nothing since */
    bool raw;        /* the application writes head and framing itself */
    uint8_t ending;  /* raw: enum weir_exchange_ending, what happens when it is its turn */
    int err;         /* for on_end; 0 so far */
    uint64_t start_ns;
    struct weir_sendq aside;  /* what it said before it was its turn */
    struct weir_seg body_seg; /* a borrowed body */
    int64_t body_bytes;       /* as declared; -1 chunked */
};
_Static_assert(offsetof(struct weir_exchange, ending) < 64, "one line for a write");

enum weir_exchange_ending { ENDING_NONE, ENDING_FIN, ENDING_RST, ENDING_SHUTDOWN };

enum weir_session_state {
    SESSION_HEAD,   /* reading or waiting for a head */
    SESSION_BODY,   /* reading the body of `last` */
    SESSION_STOPPED /* no more requests are read: the connection is to end */
};

#define WEIR_HEAD_CACHE_TYPE_MAX 40u
#define WEIR_HEAD_CACHE_BYTES    192u
#define WEIR_HEAD_CACHE_TAIL     24u /* the most digits, CRLF, CRLF */

/* One connection of a server. */
struct weir_session {
    struct weir_conn *conn; /* this pointer is the pool's while free */
    struct weir_server *server;
    struct weir_exchange *turn; /* oldest that has not finished its answer */
    struct weir_exchange *last;
    uint64_t read_deadline_ns;  /* for a handshake, the rest of a head, or a piece of a body */
    uint64_t write_deadline_ns; /* moved only by output that left; 0 = nothing waits to leave */
    uint64_t held_until_ns;     /* by on_accept: nothing is read before; 0 = not held */
    uint8_t state;
    bool parked;                 /* input waits for a limit: this connection's or the server's */
    bool in_head;                /* part of a head has arrived */
    bool client_closes;          /* the last request said that no other follows */
    bool dropped;                /* input was not read: the end needs lingering */
    bool securing;               /* the TLS handshake is not complete */
    struct weir_exchange *first; /* oldest that has not ended */
    uint32_t exchanges_count;
    uint32_t resume;       /* of the head parser */
    struct weir_list link; /* server->sessions */
    uint64_t number;       /* among the connections of the server, or of its group */
    struct weir_http1_body body;
    struct weir_stash stash;
    struct weir_list park_link; /* server->parked: waits for an exchange */
    struct weir_ready reap;     /* an answer ended without a byte that on_sent could report */
};

/*
 * The head of the answer given last, without its length: most answers of a server differ from the
 * one before in nothing else. A copy of it instead of a new one saves 50 ns of a pipelined request,
 * a tenth of it.
 */
struct weir_head_cache {
    uint64_t until_ns; /* its Date is right until then; 0 = nothing is cached */
    uint16_t status;
    uint16_t len;
    uint16_t type_len;
    uint8_t type[WEIR_HEAD_CACHE_TYPE_MAX]; /* the Content-Type's value */
    uint8_t tail_len;
    size_t tail_of;                     /* the length of a body, */
    uint8_t tail[WEIR_HEAD_CACHE_TAIL]; /* in digits, and the end of the head */
    uint8_t bytes[WEIR_HEAD_CACHE_BYTES];
};

struct weir_server {
    struct weir_engine *engine;
    struct weir_server_handler handler;
    void *ctx;
    struct weir_http1_head head;      /* of the request whose on_request runs, and only then */
    struct weir_exchange *in_request; /* that request */
    struct weir_http1_limits limits;
    struct weir_head_memo head_memo; /* of `head` */
    struct weir_head_cache head_cache;
    struct weir_pool exchanges;
    struct weir_pool sessions;
    struct weir_list sessions_list;
    struct weir_list parked;
    struct weir_ready unpark;
    uint64_t date_until_ns; /* `date` is right until then */
    uint8_t date[WEIR_HTTP1_DATE_BYTES];
    bool draining;
    bool listener_closed;
    struct weir_server_stats stats;
    struct weir_server_config cfg;
    struct weir_linger linger;
    struct weir_zc_policy zc;
    uint32_t
        borrows_now; /* exchanges without a connection, pieces: what the kernel or a queue has */
    struct weir_listener *listener;
    struct weir_group_member *member; /* NULL: of no group */
    struct weir_timer drain_timer;
    struct weir_timer memory_timer;
    struct weir_ready drained;
    void (*on_drained)(struct weir_server *server, void *ctx);
    uint8_t *scratch; /* a head too long for a chunk is written here first */
    size_t scratch_bytes;
    char address[WEIR_ADDR_TEXT_BYTES];
    struct weir_arena arena;
};

/* Output a connection may have queued before weir_exchange_write() refuses; on_writable at half of
 * it. */
#define WEIR_SESSION_OUT_BYTES_MAX (256u * 1024)

/* And chunks, for pieces: each takes one for its framing, however few its bytes are. */
#define WEIR_SESSION_OUT_CHUNKS_MAX (WEIR_SESSION_OUT_BYTES_MAX / WEIR_CHUNK_BYTES)

/* How long a writer that found no output memory waits before it is asked again. */
#define WEIR_MEMORY_RETRY_NS 1000000u

/* server.c */
void weir_server_check_drained(struct weir_server *server);
void weir_server_exchange_freed(struct weir_server *server);
struct weir_slice weir_server_date(struct weir_server *server);

/* group.c, of a server with a `member` except for join. */
/* Before it listens. @return 0, or what weir_server_open() says (weir_error_text() names it) */
int weir_group_join(struct weir_server *server) WEIR_MUST_USE;
/* A number for a connection: no other of the group has it. */
uint64_t weir_group_number(struct weir_server *server);
/* It listens: hand-overs may come. */
void weir_group_start(struct weir_server *server);
/* Serve `fd`, which was accepted, or hand it over. */
void weir_group_accept(struct weir_server *server, int fd);
/* How many connections may be accepted: here, or one for another. */
uint32_t weir_group_capacity(struct weir_server *server);
/* Something is free: is there room for the connection that is held? */
void weir_group_retry(struct weir_server *server);
/* stats.conns_now may have fallen. */
void weir_group_conns_ended(struct weir_server *server);
/* The server is draining: nothing more is handed to it. Safe to repeat. */
void weir_group_drain(struct weir_server *server);
/* Has it connections, or are some on their way to it? */
bool weir_group_expects(const struct weir_server *server);
/* How long a closing server may sleep until it looks again; 0: nobody will touch its engine. */
uint64_t weir_group_wait_ns(const struct weir_server *server);
/* Closed, or it could not listen. */
void weir_group_leave(struct weir_server *server);

/* session.c */
extern const struct weir_conn_handler weir_session_conn_handler;
struct weir_session *weir_session_open(struct weir_server *server, int fd);
/* There is room again: read on. */
void weir_session_unpark(struct weir_session *session);
/* Nothing is in progress: it may be closed and nobody misses anything. */
bool weir_session_idle(const struct weir_session *session);
void weir_session_end_idle(struct weir_session *session);
/* Output left, or an answer was given: may input that waits be read? */
void weir_session_room(struct weir_session *session);
/* The connection has nothing left to answer and may not take more requests: end it in order. */
void weir_session_finish(struct weir_session *session);
void weir_session_update_deadline(struct weir_session *session);
/* Refuse the request that is being read: answer `status` in its turn, then end the connection. */
void weir_session_refuse(struct weir_session *session, uint16_t status, const char *text, int err);

/* raw.c */
/* Its turn has come: do to the connection what x->ending says. */
void weir_exchange_end_conn(struct weir_exchange *exchange);

/* exchange.c */
/* The answer is complete, or whatever takes its place. */
void weir_exchange_answered(struct weir_exchange *exchange);
/* Will the connection end after this answer, whatever it says? */
bool weir_exchange_last(const struct weir_exchange *exchange);
struct weir_exchange *weir_exchange_begin_request(struct weir_session *session);
/* Put what the answer gained on the wire, if it is its turn; go on to the next when it is finished.
 */
void weir_exchange_progress(struct weir_session *session);
/* 100 Continue, if it is owed and nothing was answered yet. */
void weir_exchange_continue(struct weir_exchange *exchange);
/* End what was sent whole. */
void weir_exchange_reap_sent(struct weir_session *session);
/* End all that is left; the connection is gone. */
void weir_exchange_end_all(struct weir_session *session, int err);
void weir_exchange_wake_writers(struct weir_session *session);

#endif
