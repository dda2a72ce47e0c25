/* SPDX-License-Identifier: MIT */
/*
 * Connection life cycle.
 *
 *     accept ------------------> OPEN ---finish, output sent, linger---> LINGERING
 *                                 ^  \                                      |
 *     connect --> CONNECTING -----+   \                                     |
 *                     |                +--close, error, finished--> CLOSING <
 *                     +----------------------failed-------------------^  |
 *                                                                        +--joined--> slot free
 *
 * Transitions:
 *   -> OPEN         weir_conn_accept(), conn_on_connect()
 *   -> CONNECTING   weir_conn_connect()
 *   -> LINGERING    finish_now()
 *   -> CLOSING      weir_conn_close(), the only place
 *   -> free         conn_end(), from the ready list, when nothing is in flight
 *
 * OPEN:      a receive is armed, or recv_paused, or eof, or finishing: exactly as conn_check()
 *            says. At most one send in flight. The first receive of an accepted connection is a
 *            single one: when it brings the only request, and that is answered at once, nothing is
 *            left to be cancelled (2 of 26 us of CPU time for a connection with one request).
 * LINGERING: our direction is shut down; input is dropped until the peer ends, or the bytes or the
 *            time are up.
 * CLOSING:   one cancel was queued if anything was in flight; nothing is queued any more;
 *            completions only count down. Not to be reset, it also waits for the kernel to let go
 *            of zero-copy sends.
 */
#include "io/conn.h"
#include "io/sock.h"
#include "io/tls_link.h"

#include <errno.h>

_Static_assert(sizeof(struct weir_conn) <= WEIR_SLOT_BYTES, "a connection fits into a slot");

/* A submission holds 32 bits of length; no system call transfers more than 2 GiB less a page
 * anyway. */
#define SEND_BYTES_MAX (1u << 30)

static struct weir_conn *conn_of(struct weir_slot *slot)
{
    return weir_container_of(slot, struct weir_conn, slot);
}

static void conn_check(const struct weir_conn *conn)
{
    WEIR_DEBUG_ASSERT(conn->slot.used);
    WEIR_DEBUG_ASSERT(conn->fd >= 0);
    WEIR_DEBUG_ASSERT(conn->sent_bytes <= conn->queued_bytes);
    WEIR_DEBUG_ASSERT(!conn->send_inflight || conn->sending_bytes > 0 || conn->tls != NULL);
    if (conn->state == WEIR_CONN_OPEN)
        WEIR_DEBUG_ASSERT(conn->recv_armed || conn->recv_paused || conn->eof || conn->finishing);
    (void)conn;
}

static void recv_arm(struct weir_conn *conn, bool multi)
{
    WEIR_ASSERT(!conn->recv_armed);
    conn->recv_armed = true;
    conn->rearmed = conn->pausing;
    weir_op_recv(conn->engine, &conn->slot, conn->fd, multi);
}

/* Shall there be a receive, and is none armed? */
static bool recv_missing(const struct weir_conn *conn)
{
    if (conn->recv_armed || conn->recv_paused || conn->eof)
        return false;
    return conn->state == WEIR_CONN_LINGERING ||
           (conn->state == WEIR_CONN_OPEN && !conn->finishing);
}

/* ---- Ending ------------------------------------------------------------------------------ */

/* Nothing is in flight any more: the only place that frees a connection. */
static void conn_end(struct weir_ready *ready)
{
    struct weir_conn *conn = weir_container_of(ready, struct weir_conn, end);
    struct weir_engine *engine = conn->engine;
    WEIR_ASSERT(conn->state == WEIR_CONN_CLOSING);
    WEIR_ASSERT(conn->slot.inflight == 0);
    weir_timer_cancel(&conn->timer);
    weir_list_remove(&conn->flush.link);
    weir_sendq_clear(engine, &conn->out);
    engine->stats.closed++;
    conn->handler->on_closed(
        conn, conn->err); /* the socket is still there: it can be asked for its peer */
    if (conn->tls != NULL)
        weir_tls_link_free(conn);
    if (conn->reset)
        weir_sock_set_reset(engine, conn->fd);
    weir_sock_close(engine, conn->fd);
    weir_slot_put(engine, &conn->slot);
}

static void close_join(struct weir_conn *conn)
{
    if (conn->slot.inflight > 0)
        return;
    /*
     * Borrowed bytes that the peer has not acknowledged: closed now, the socket would be the
     * kernel's alone, for minutes if the peer does not read, and no drain or close could cut that
     * short. The peer sees our end all the same (a result that says it is gone changes nothing),
     * and is reset when it takes too long to read on.
     */
    if (conn->zc_held == 0 || conn->reset) {
        weir_ready_push(&conn->engine->ready, &conn->end);
        return;
    }
    (void)weir_sock_shutdown_send(conn->engine, conn->fd);
    if (conn->deadline_ns == 0)
        weir_conn_set_deadline(conn, conn->engine->now_ns + WEIR_ZC_HELD_NS);
}

void weir_conn_close(struct weir_conn *conn, int err, bool reset)
{
    conn->reset |= reset;
    if (conn->state == WEIR_CONN_CLOSING) {
        close_join(conn);
        return;
    }
    if (conn->err == 0)
        conn->err = err;
    conn->state = WEIR_CONN_CLOSING;
    conn->deadline_ns = 0;
    if (conn->slot.inflight > 0)
        weir_op_cancel(conn->engine, &conn->slot, conn->fd);
    close_join(conn);
}

/* Everything queued was sent: end our direction. */
static void finish_now(struct weir_conn *conn)
{
    WEIR_ASSERT(conn->finishing && conn->out.bytes == 0 && !conn->send_inflight);
    if (!conn->linger || conn->eof) {
        weir_conn_close(conn, conn->err, false);
        return;
    }
    if (weir_sock_shutdown_send(conn->engine, conn->fd) < 0) {
        weir_conn_close(conn, conn->err, false);
        return;
    }
    conn->state = WEIR_CONN_LINGERING;
    conn->recv_paused = false;
    weir_conn_set_deadline(conn, conn->linger_ns == 0 ? 0 : conn->engine->now_ns + conn->linger_ns);
    if (!conn->recv_armed)
        recv_arm(conn, true);
}

void weir_conn_finish(struct weir_conn *conn, int err, const struct weir_linger *linger)
{
    if (conn->state != WEIR_CONN_OPEN || conn->finishing) {
        if (conn->state == WEIR_CONN_CONNECTING)
            weir_conn_close(conn, err, false);
        return;
    }
    if (conn->tls != NULL && !weir_tls_link_secured(conn)) {
        weir_conn_close(conn, err, false); /* nothing can be said yet, not even an end */
        return;
    }
    conn->finishing = true;
    conn->err = err;
    if (linger != NULL) {
        conn->linger = true;
        conn->linger_bytes = linger->bytes_max;
        conn->linger_ns = linger->timeout_ns;
    }
    if (conn->tls != NULL)
        weir_conn_flush(conn); /* there is a close_notify to be sent */
    else if (conn->out.bytes == 0 && !conn->send_inflight)
        finish_now(conn);
}

/* ---- Receiving --------------------------------------------------------------------------- */

static void linger_recv(struct weir_conn *conn, size_t bytes)
{
    if (bytes >= conn->linger_bytes) {
        /* Whoever still sends now will see a reset: it had its chance to read the answer. */
        weir_conn_close(conn, conn->err, false);
        return;
    }
    conn->linger_bytes -= bytes;
}

/* The connection broke under an operation: by the network, the peer, or something new. */
static void conn_broken(struct weir_conn *conn, enum weir_op_kind kind, int res)
{
    switch (res) {
    case -ECONNRESET:
    case -ECONNREFUSED:
    case -ECONNABORTED:
    case -EPIPE:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -ENOTCONN:
    case -ENOMEM:
    case -ENOBUFS:
        break;
    default:
        weir_unexpected(conn->engine, kind, &conn->slot, res);
        break;
    }
    weir_conn_close(conn, res, false);
}

static void conn_on_recv_end(struct weir_conn *conn, int res)
{
    switch (res) {
    case 0:
        if (conn->state == WEIR_CONN_LINGERING) {
            weir_conn_close(conn, conn->err, false);
            return;
        }
        if (conn->tls != NULL && !weir_tls_link_eof(conn))
            return;
        conn->eof = true;
        conn->handler->on_eof(conn);
        return;
    case -ENOBUFS:
        /*
         * More connections had data than there are buffers. All buffers are back before the next
         * enter, so arming again is enough; nobody is favoured.
         */
        conn->engine->stats.recv_starved++;
        return;
    case -ECANCELED: /* paused */
    case -EINTR:
    case -EAGAIN:
        return;
    default:
        conn_broken(conn, WEIR_OP_RECV, res);
        return;
    }
}

static void conn_on_recv(struct weir_engine *engine, struct weir_slot *slot,
                         const struct weir_done *done)
{
    struct weir_conn *conn = conn_of(slot);
    WEIR_ASSERT(conn->recv_armed);
    if (done->last)
        conn->recv_armed = false;
    if (WEIR_UNLIKELY(conn->state == WEIR_CONN_CLOSING)) {
        close_join(conn);
        return;
    }
    if (WEIR_LIKELY(done->res > 0)) {
        engine->stats.recv_bytes += (uint64_t)done->res;
        if (WEIR_UNLIKELY(conn->tls != NULL) && conn->state == WEIR_CONN_OPEN)
            weir_tls_link_recv(conn, done->data);
        else if (WEIR_LIKELY(conn->state == WEIR_CONN_OPEN))
            conn->handler->on_recv(conn, done->data);
        else
            linger_recv(conn, (size_t)done->res);
    } else {
        conn_on_recv_end(conn, done->res);
    }
    /* Whatever the result was: without a last flag the kernel goes on, with it nobody does but we.
     */
    if (done->last && recv_missing(conn))
        recv_arm(conn, true);
    conn_check(conn);
}

static void recv_cancel(struct weir_conn *conn)
{
    WEIR_ASSERT(conn->recv_armed && !conn->pausing);
    conn->pausing = true;
    conn->rearmed = false;
    weir_op_cancel_kind(conn->engine, &conn->slot, WEIR_OP_RECV);
}

void weir_conn_pause(struct weir_conn *conn)
{
    if (conn->recv_paused || conn->state != WEIR_CONN_OPEN)
        return;
    conn->recv_paused = true;
    /* One cancel at a time: the receive that it does not end is cancelled when it has completed. */
    if (conn->recv_armed && !conn->pausing)
        recv_cancel(conn);
}

void weir_conn_stop_recv(struct weir_conn *conn)
{
    WEIR_ASSERT(conn->eof);
    if (conn->recv_armed && !conn->pausing && conn->state == WEIR_CONN_OPEN)
        recv_cancel(conn);
}

void weir_conn_resume(struct weir_conn *conn)
{
    if (!conn->recv_paused)
        return;
    conn->recv_paused = false;
    /* While the cancelled receive is still on its way, its last completion arms the next one. */
    if (recv_missing(conn))
        recv_arm(conn, true);
}

static void conn_on_cancel(struct weir_engine *engine, struct weir_slot *slot,
                           const struct weir_done *done)
{
    /* A count, or there was nothing to cancel, or it is completing already: the victim's completion
     * tells. */
    if (done->res < 0 && done->res != -ENOENT && done->res != -EALREADY)
        weir_unexpected(engine, WEIR_OP_CANCEL, slot, done->res);
    struct weir_conn *conn = conn_of(slot);
    conn->pausing = false;
    if (conn->state == WEIR_CONN_CLOSING)
        close_join(conn);
    else if (conn->rearmed && conn->recv_paused && conn->recv_armed)
        recv_cancel(conn);
}

/* ---- Sending ----------------------------------------------------------------------------- */

/* Would a gathered send take in a part that is worth not being copied? */
static bool large_behind(const struct weir_seg *seg)
{
    for (uint32_t i = 0; i < WEIR_SEND_PARTS_MAX && seg != NULL; i++, seg = seg->next)
        if (seg->borrowed && seg->len >= WEIR_ZC_BYTES_MIN)
            return true;
    return false;
}

/* The same with TLS, which has a queue of its own and no zero copy. */
static void flush_tls(struct weir_conn *conn)
{
    struct weir_engine *engine = conn->engine;
    struct weir_sendq *wire = weir_tls_link_seal(conn);
    if (conn->state != WEIR_CONN_OPEN)
        return; /* encrypting failed */
    if (wire->bytes == 0) {
        if (conn->ended)
            weir_conn_close(conn, conn->err, false);
        else if (conn->finishing && conn->out.bytes == 0)
            finish_now(conn);
        return;
    }
    weir_sendq_consume(engine, wire, 0);
    conn->send_inflight = true;
    struct weir_seg *first = wire->first;
    if (first->next == NULL || engine->gathers_used == engine->gathers_max) {
        weir_op_send(engine, &conn->slot, conn->fd, (struct weir_slice){ first->ptr, first->len });
        return;
    }
    struct weir_gather *g = &engine->gathers[engine->gathers_used++];
    uint64_t bytes;
    uint32_t parts = weir_sendq_gather(wire, g->parts, &bytes, SIZE_MAX);
    g->msg = (struct msghdr){ .msg_iov = g->parts, .msg_iovlen = parts };
    weir_op_sendmsg(engine, &conn->slot, conn->fd, &g->msg);
}

/* One send per connection and pass: everything it has. */
static void conn_flush(struct weir_ready *ready)
{
    struct weir_conn *conn = weir_container_of(ready, struct weir_conn, flush);
    struct weir_engine *engine = conn->engine;
    if (conn->state != WEIR_CONN_OPEN || conn->send_inflight)
        return;
    if (WEIR_UNLIKELY(conn->tls != NULL)) {
        flush_tls(conn);
        return;
    }
    if (conn->out.bytes == 0)
        return;
    weir_sendq_consume(engine, &conn->out,
                       0); /* drop chunks at the front that nothing was committed to */
    struct weir_seg *first = conn->out.first;
    conn->send_inflight = true;
    conn->sending_bytes = weir_min_u64(first->len, SEND_BYTES_MAX);
    bool large = first->borrowed && first->len >= WEIR_ZC_BYTES_MIN;
    if (large && conn->zc != NULL && weir_zc_send(conn)) {
        conn->slot.inflight++;
        return;
    }
    if (first->next == NULL || engine->gathers_used == engine->gathers_max) {
        weir_op_send(engine, &conn->slot, conn->fd,
                     (struct weir_slice){ first->ptr, conn->sending_bytes });
        return;
    }
    struct weir_gather *g = &engine->gathers[engine->gathers_used++];
    /* What may go without being copied goes by itself, after what is before it; what may not is
     * counted. */
    bool zc = !large && conn->zc != NULL && engine->can_zc && large_behind(first->next) &&
              weir_zc_policy_try(conn->zc);
    uint32_t parts = weir_sendq_gather(&conn->out, g->parts, &conn->sending_bytes,
                                       zc ? WEIR_ZC_BYTES_MIN : SIZE_MAX);
    g->msg = (struct msghdr){ .msg_iov = g->parts, .msg_iovlen = parts };
    weir_op_sendmsg(engine, &conn->slot, conn->fd, &g->msg);
}

/* Ciphertext was sent. */
static void sent_tls(struct weir_conn *conn, uint64_t bytes)
{
    uint64_t plain = weir_tls_link_sent(conn, bytes);
    conn->sent_bytes += plain;
    if (!weir_tls_link_failed(conn)) { /* else `out` is gone already */
        weir_sendq_consume(conn->engine, &conn->out, plain);
        if (plain > 0)
            conn->handler->on_sent(conn);
    }
    weir_conn_flush(conn); /* more of it, the next batch, or the end */
}

static void conn_sent(struct weir_conn *conn, int32_t res)
{
    struct weir_engine *engine = conn->engine;
    WEIR_ASSERT(conn->send_inflight);
    conn->send_inflight = false;
    if (WEIR_UNLIKELY(conn->state == WEIR_CONN_CLOSING)) {
        /* Whoever asks whether the peer may have got anything of it needs to know. */
        if (res > 0)
            conn->sent_bytes +=
                conn->tls != NULL ? weir_tls_link_sent(conn, (uint64_t)res) : (uint64_t)res;
        close_join(conn);
        return;
    }
    if (WEIR_UNLIKELY(res <= 0)) {
        if (res == -EINTR || res == -EAGAIN)
            weir_conn_flush(conn);
        else if (conn->tls != NULL && conn->finishing && conn->out.bytes == 0)
            weir_conn_close(conn, conn->err, false); /* all was said: only the farewell is lost */
        else
            conn_broken(conn, WEIR_OP_SEND, res == 0 ? -EPIPE : res);
        return;
    }
    uint64_t sent = (uint64_t)res;
    engine->stats.send_bytes += sent;
    if (WEIR_UNLIKELY(conn->tls != NULL)) {
        sent_tls(conn, sent);
        conn_check(conn);
        return;
    }
    WEIR_ASSERT(sent <= conn->sending_bytes);
    engine->stats.send_partial += sent < conn->sending_bytes;
    weir_sendq_consume(engine, &conn->out, sent);
    conn->sent_bytes += sent;
    conn->handler->on_sent(conn);
    if (conn->state == WEIR_CONN_OPEN) {
        if (conn->out.bytes > 0)
            weir_conn_flush(conn);
        else if (conn->finishing)
            finish_now(conn);
    }
    conn_check(conn);
}

static void conn_on_send(struct weir_engine *engine, struct weir_slot *slot,
                         const struct weir_done *done)
{
    (void)engine;
    WEIR_ASSERT(done->last);
    conn_sent(conn_of(slot), done->res);
}

void weir_conn_sent_zc(struct weir_conn *conn, int32_t res)
{
    WEIR_ASSERT(conn->slot.inflight > 0);
    conn->slot.inflight--;
    conn_sent(conn, res);
}

void weir_conn_freed_zc(struct weir_conn *conn)
{
    WEIR_ASSERT(conn->zc_held > 0);
    conn->zc_held--;
    if (conn->state == WEIR_CONN_CLOSING)
        close_join(conn);
}

/* ---- Beginning --------------------------------------------------------------------------- */

static void conn_on_timer(struct weir_timer *timer, void *ctx)
{
    struct weir_conn *conn = ctx;
    (void)timer;
    if (conn->deadline_ns == 0)
        return;
    if (conn->deadline_ns > conn->engine->now_ns) {
        weir_timer_set(conn->engine, &conn->timer, conn->deadline_ns);
        return;
    }
    conn->deadline_ns = 0;
    /* Its zero-copy sends were waited for, or its alert, which the peer does not take. */
    if (conn->state == WEIR_CONN_CLOSING || (conn->tls != NULL && weir_tls_link_failed(conn)))
        weir_conn_close(conn, conn->err, true);
    else if (conn->state == WEIR_CONN_LINGERING)
        weir_conn_close(conn, conn->err, false); /* it had its chance to read what we sent */
    else
        conn->handler->on_timeout(conn);
}

static void conn_on_connect(struct weir_engine *engine, struct weir_slot *slot,
                            const struct weir_done *done)
{
    struct weir_conn *conn = conn_of(slot);
    WEIR_ASSERT(done->last);
    if (conn->state == WEIR_CONN_CLOSING) {
        close_join(conn);
        return;
    }
    WEIR_ASSERT(conn->state == WEIR_CONN_CONNECTING);
    if (done->res < 0) {
        weir_conn_close(conn, done->res, false);
        return;
    }
    engine->stats.connected++;
    conn->state = WEIR_CONN_OPEN;
    conn->deadline_ns = 0;
    recv_arm(conn, true);
    conn->handler->on_open(conn);
    conn_check(conn);
}

static struct weir_conn *conn_get(struct weir_engine *engine,
                                  const struct weir_conn_handler *handler, void *user)
{
    struct weir_slot *slot = weir_slot_get(engine);
    if (slot == NULL)
        return NULL;
    weir_engine_set_handler(engine, WEIR_OP_RECV, conn_on_recv);
    weir_engine_set_handler(engine, WEIR_OP_SEND, conn_on_send);
    weir_engine_set_handler(engine, WEIR_OP_CONNECT, conn_on_connect);
    weir_engine_set_handler(engine, WEIR_OP_CANCEL, conn_on_cancel);
    struct weir_conn *conn = conn_of(slot);
    conn->engine = engine;
    conn->handler = handler;
    conn->user = user;
    conn->flush.run = conn_flush;
    conn->end.run = conn_end;
    weir_list_init(&conn->flush.link);
    weir_list_init(&conn->end.link);
    weir_timer_init(&conn->timer, conn_on_timer, conn);
    return conn;
}

struct weir_conn *weir_conn_accept(struct weir_engine *engine, int fd,
                                   const struct weir_conn_handler *handler, void *user)
{
    WEIR_ASSERT(fd >= 0);
    struct weir_conn *conn = conn_get(engine, handler, user);
    if (conn == NULL)
        return NULL;
    conn->fd = fd;
    conn->state = WEIR_CONN_OPEN;
    engine->stats.accepted++;
    recv_arm(conn, false);
    return conn;
}

int weir_conn_connect(struct weir_conn **out, struct weir_engine *engine,
                      const struct weir_addr *addr, const struct weir_conn_handler *handler,
                      void *user)
{
    *out = NULL;
    int fd = weir_sock_stream(engine, addr);
    if (fd < 0)
        return fd;
    struct weir_conn *conn = conn_get(engine, handler, user);
    if (conn == NULL) {
        weir_sock_close(engine, fd);
        return -ENOBUFS;
    }
    conn->fd = fd;
    conn->state = WEIR_CONN_CONNECTING;
    weir_op_connect(engine, &conn->slot, fd, (const struct sockaddr *)(const void *)&addr->storage,
                    addr->bytes);
    *out = conn;
    return 0;
}

const char *weir_conn_peer(const struct weir_conn *conn, char *out, size_t capacity)
{
    struct weir_addr addr;
    if (weir_sock_peer(conn->engine, conn->fd, &addr) < 0)
        addr = (struct weir_addr){ 0 };
    return weir_addr_format(&addr, out, capacity);
}
