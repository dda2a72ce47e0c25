/* SPDX-License-Identifier: MIT */
/*
 * A connection: one stream socket on the engine, with its output queue, its deadline and its end.
 *
 * The session above it is called back and may call anything here at any time; nothing calls back
 * from inside a call. See conn.c for the states.
 */
#ifndef WEIR_IO_CONN_H
#define WEIR_IO_CONN_H

#include "io/addr.h"
#include "io/sendq.h"
#include "io/zc.h"

struct weir_conn;
struct weir_tls_link;

struct weir_conn_handler {
    /* Outgoing only: connected; sending and receiving may begin. */
    void (*on_open)(struct weir_conn *conn);
    /* Bytes arrived, valid until this returns. The session takes or keeps all of them: also while
     * paused. */
    void (*on_recv)(struct weir_conn *conn, struct weir_slice data);
    /* The handshake begun by weir_conn_secure() is complete; what arrives from now on is
     * plaintext. May be NULL. */
    void (*on_secure)(struct weir_conn *conn);
    /* The peer ended its direction; sending is still possible. */
    void (*on_eof)(struct weir_conn *conn);
    /* Some output left: conn->sent_bytes has grown. */
    void (*on_sent)(struct weir_conn *conn);
    /* The deadline set by weir_conn_set_deadline() has passed; it is not set any more. */
    void (*on_timeout)(struct weir_conn *conn);
    /* The end, exactly once; conn is invalid after it. err is what was given to close or what ended
     * it. */
    void (*on_closed)(struct weir_conn *conn, int err);
};

enum weir_conn_state {
    WEIR_CONN_CONNECTING = 1,
    WEIR_CONN_OPEN,
    WEIR_CONN_LINGERING,
    WEIR_CONN_CLOSING
};

struct weir_conn {
    struct weir_slot slot;
    /* hot */
    struct weir_engine *engine;
    const struct weir_conn_handler *handler;
    void *user; /* the session's */
    int fd;
    uint8_t state;    /* enum weir_conn_state */
    bool recv_armed;  /* a receive is in flight */
    bool recv_paused; /* the session wants no more input */
    bool send_inflight;
    bool eof;         /* the peer ended its direction */
    bool eof_unclean; /* TLS: without saying so; the stream may have been cut by somebody else */
    bool ended;       /* TLS failed: the deadline is that of its last alert */
    bool finishing;   /* end after what is queued was sent */
    bool linger;      /* and then read until the peer ends too */
    bool pausing;     /* the cancel of the receive is in flight */
    bool rearmed;     /* and a receive was armed behind it, which it does not end */
    bool reset;       /* CLOSING: end with RST */
    struct weir_sendq out;
    struct weir_tls_link *tls; /* NULL: plaintext. Else io/tls_link.c stands between */
    struct weir_zc_policy *zc; /* NULL: large borrowed parts are copied; else its owner's */
    uint32_t zc_held;          /* zero-copy sends that are over but for their notification */
    uint64_t sending_bytes;    /* of `out` in the send in flight; with TLS: that were encrypted */
    uint64_t queued_bytes;     /* ever queued for sending */
    uint64_t sent_bytes;       /* ever sent */
    struct weir_ready flush;   /* on engine->flush while there may be something to send */
    /* cold */
    uint64_t deadline_ns; /* 0 = none */
    struct weir_timer
        timer;             /* filed lazily: may fire before the deadline, then it is filed again */
    struct weir_ready end; /* on engine->ready to be freed */
    uint64_t linger_bytes; /* left to be read and dropped */
    uint64_t linger_ns;
    int err;
};

/* Give the connection of an accepted socket; it takes `fd`. Receiving begins. NULL: no slot (fd is
 * untouched). */
struct weir_conn *weir_conn_accept(struct weir_engine *engine, int fd,
                                   const struct weir_conn_handler *handler, void *user);

/*
 * Begin to connect; `addr` must stay until on_open or on_closed.
 * @return 0; -ENOBUFS no slot; -EMFILE and other results of socket(2). On error *out is NULL.
 */
int weir_conn_connect(struct weir_conn **out, struct weir_engine *engine,
                      const struct weir_addr *addr, const struct weir_conn_handler *handler,
                      void *user) WEIR_MUST_USE;

/* There is something on conn->out: it is sent at the end of this pass. */
static inline void weir_conn_flush(struct weir_conn *conn)
{
    weir_ready_push(&conn->engine->flush, &conn->flush);
}

/* Bytes that were put on conn->out, for the books: call once after each append. */
static inline void weir_conn_queued(struct weir_conn *conn, uint64_t bytes)
{
    conn->queued_bytes += bytes;
    weir_conn_flush(conn);
}

/* Stop and go on reading. Bytes that are under way already still arrive. */
void weir_conn_pause(struct weir_conn *conn);
void weir_conn_resume(struct weir_conn *conn);

/* Call on_timeout when the clock reaches it; 0 = never. Costs a store unless it is nearer than
 * before. */
static inline void weir_conn_set_deadline(struct weir_conn *conn, uint64_t deadline_ns)
{
    conn->deadline_ns = deadline_ns;
    if (deadline_ns != 0 &&
        (!weir_timer_is_set(&conn->timer) || conn->timer.deadline_ns > deadline_ns))
        weir_timer_set(conn->engine, &conn->timer, deadline_ns);
}

/* For io/tls_link.c: nothing the peer still sends is of interest. */
void weir_conn_stop_recv(struct weir_conn *conn);

/* For io/zc.c: the result of a zero-copy send, which is not the connection's own operation. */
void weir_conn_sent_zc(struct weir_conn *conn, int32_t res);
/* And that the kernel let go of its memory. */
void weir_conn_freed_zc(struct weir_conn *conn);

/* May more be queued and received? */
static inline bool weir_conn_usable(const struct weir_conn *conn)
{
    return conn->state == WEIR_CONN_OPEN && !conn->finishing;
}

/* The peer's address as text, "?" when it is gone; at most `capacity` bytes with NUL. A system
 * call. @return out */
const char *weir_conn_peer(const struct weir_conn *conn, char *out, size_t capacity);

/* How unread input is treated when a connection is ended in order. */
struct weir_linger {
    uint64_t timeout_ns;
    uint64_t bytes_max;
};

/*
 * Send what is queued, then end the connection in order. With `linger` unread input is read and
 * dropped for a while, so that the kernel does not answer it with a reset that destroys what we
 * sent (RFC 9112 section 9.6).
 */
void weir_conn_finish(struct weir_conn *conn, int err, const struct weir_linger *linger);

/* End now; what is queued is lost. `reset`: with RST. Repeating it, or after finish, only makes it
 * sooner. */
void weir_conn_close(struct weir_conn *conn, int err, bool reset);

#endif
