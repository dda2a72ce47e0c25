/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the client share besides rig.h: raw servers for its endpoints, bodies that are
 * made while they are sent, and a clock of its own.
 *
 * The clock is the engine's: its ring's functions are replaced by copies that make time a matter
 * of what happens. A look at it takes a microsecond, a pass a tenth of a millisecond, and the test
 * says when minutes go by. So timers, deadlines and back-offs fire when they are wanted, however
 * busy the machine is. Bytes still need their time.
 */
#ifndef WEIR_TESTS_UNIT_PROTO_HTTP_CLIENT_RIG_H
#define WEIR_TESTS_UNIT_PROTO_HTTP_CLIENT_RIG_H

#include "core/ring.h"
#include "proto/http/client_impl.h"
#include "unit/proto/http/rig.h"

#define RIG_S              (1000 * RIG_MS)
#define OK_TEXT(len, body) "HTTP/1.1 200 OK\r\nContent-Length: " len "\r\n\r\n" body
#define OK_EMPTY           OK_TEXT("0", "")

/* ---- The clock --------------------------------------------------------------------------- */

#define RIG_CLOCK_LOOK_NS 1000u
#define RIG_CLOCK_PASS_NS 100000u

static struct {
    const struct weir_ring_ops *real;
    struct weir_ring_ops ops;
    uint64_t now_ns;
} rig_clock;

/* It never stands still: an engine that spins looks at it until a while is over. */
static inline uint64_t rig_clock_now(const struct weir_ring *ring)
{
    (void)ring;
    return rig_clock.now_ns += RIG_CLOCK_LOOK_NS;
}

static inline int rig_clock_enter(struct weir_ring *ring, const struct weir_ring_wait *wait)
{
    if (wait == NULL || wait->deadline_ns == WEIR_NO_DEADLINE)
        return rig_clock.real->enter(ring, wait);
    struct weir_ring_wait real = *wait;
    uint64_t now = rig_clock.now_ns;
    uint64_t most = wait->deadline_ns > now ? wait->deadline_ns - now : 0;
    real.deadline_ns = rig_clock.real->now_ns(ring) + most;
    rig_clock.now_ns += RIG_CLOCK_PASS_NS;
    return rig_clock.real->enter(ring, &real);
}

static inline void rig_clock_hook(struct rig *r)
{
    rig_open_engine(r);
    if (r->engine->ring->ops == &rig_clock.ops)
        return;
    rig_clock.real = r->engine->ring->ops;
    rig_clock.ops = *rig_clock.real;
    rig_clock.ops.now_ns = rig_clock_now;
    rig_clock.ops.enter = rig_clock_enter;
    rig_clock.now_ns = rig_clock.real->now_ns(r->engine->ring);
    r->engine->ring->ops = &rig_clock.ops;
}

static inline uint64_t rig_now(const struct rig *r)
{
    return weir_engine_clock_ns(r->engine);
}

/* So much time passes, and what was due happens. */
static inline void rig_skip(struct rig *r, uint64_t ns)
{
    rig_clock.now_ns += ns;
    rig_settle(r);
}

/* ---- A raw server ------------------------------------------------------------------------ */

/* A client of one endpoint, whose other side the test plays, on a clock that it can put forward. */
static inline void rig_open_raw(struct rig *r, uint32_t conns_max)
{
    r->client_cfg.conns_max = conns_max;
    r->client_cfg.seed = 1;
    rig_clock_hook(r);
    rig_listen(r, 64);
    rig_open_client(r);
}

/* The peer that got one request. */
static inline struct rig_peer *rig_accept_request(struct rig *r)
{
    struct rig_peer *p = rig_accept(r);
    rig_expect_requests(r, p, 1);
    return p;
}

/* Answer the call that this peer has; the body is what follows the head in `text`. */
static inline void rig_answer(struct rig *r, struct rig_peer *p, struct rig_call *rc,
                              const char *text)
{
    rig_text(r, p, text);
    rig_expect_answer(rc, 200, strstr(text, "\r\n\r\n") + 4);
}

static inline void rig_expect_end(struct rig *r, struct rig_peer *p)
{
    RIG_UNTIL(r, p->eof || p->err != 0);
}

/* Nobody has connected, not in a few passes either. */
static inline void rig_expect_nobody(struct rig *r)
{
    rig_settle(r);
    assert_int_equal(rig_try_accept(r), -1);
    assert_int_equal(errno, EAGAIN);
}

/* Nobody listens any more: connections are refused. */
static inline void rig_refuse(struct rig *r)
{
    close(r->listen_fd);
    r->listen_fd = -1;
}

static inline struct weir_client_conn *rig_conn_of(const struct rig_call *rc)
{
    assert_int_equal(rc->call.state, CALL_IN_FLIGHT);
    return rc->call.owner;
}

/* The client knows that all of the request has left, as the peer may before it. */
static inline void rig_sent_whole(struct rig *r, const struct rig_call *rc)
{
    RIG_UNTIL(r, rig_conn_of(rc)->conn->sent_bytes >= rc->call.end_at);
}

/* ---- Pausing ----------------------------------------------------------------------------- */

/* No callback from here on, and never one from inside. */
static inline void rig_pause(struct rig_call *rc)
{
    rc->paused = true;
    weir_call_pause(&rc->call);
}

static inline void rig_resume(struct rig_call *rc)
{
    rc->paused = false;
    rc->rig->inside++;
    weir_call_resume(&rc->call);
    rc->rig->inside--;
}

/* ---- Bodies that are made ---------------------------------------------------------------- */

struct rig_source {
    struct weir_body_source source;
    const uint8_t *bytes;
    size_t len;   /* then it ends */
    size_t ready; /* there are no more yet */
    size_t piece; /* at most this at once; 0: what fits */
    size_t at;
    unsigned reads, rewinds;
    int end;        /* instead of WEIR_SOURCE_END */
    int rewind_err; /* of the next rewind */
    void (*on_read)(struct rig_source *s, struct weir_call *call);
};

static inline int64_t rig_source_read(struct weir_call *call, uint8_t *out, size_t capacity)
{
    struct rig_source *s =
        weir_container_of((void *)(uintptr_t)call->request.source, struct rig_source, source);
    assert_true(capacity > 0);
    s->reads++;
    if (s->on_read != NULL)
        s->on_read(s, call);
    size_t n = weir_min_u64(capacity, s->ready - s->at);
    if (s->piece > 0)
        n = weir_min_u64(n, s->piece);
    if (n == 0)
        return s->at < s->len ? 0 : s->end != 0 ? s->end : WEIR_SOURCE_END;
    memcpy(out, s->bytes + s->at, n);
    s->at += n;
    return (int64_t)n;
}

static inline int rig_source_rewind(struct weir_call *call)
{
    struct rig_source *s =
        weir_container_of((void *)(uintptr_t)call->request.source, struct rig_source, source);
    s->rewinds++;
    s->at = 0;
    return s->rewind_err;
}

static inline void rig_source_init(struct rig_source *s, const void *bytes, size_t len, bool known)
{
    *s = (struct rig_source){
        .source = { .read = rig_source_read,
                    .rewind = rig_source_rewind,
                    .bytes = known ? len : WEIR_LENGTH_UNKNOWN },
        .bytes = bytes,
        .len = len,
        .ready = len,
    };
}

/* A call that sends it. */
static inline void rig_source_call(struct rig_call *rc, struct rig *r, const char *method,
                                   struct rig_source *s)
{
    rig_call_init(rc, r, method, "/s");
    rc->call.request.source = &s->source;
}

#endif
