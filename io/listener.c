/* SPDX-License-Identifier: MIT */
/*
 * Accepting.
 *
 *     armed (multi or single) --capacity 0--> paused --weir_listener_resume()--> armed
 *       |          ^
 *       no descriptor, no memory
 *       v          |
 *     retry timer -+        (10 ms, doubling to 320 ms; reset by the next accepted connection)
 *
 * Far from the owner's limit one multishot accept serves for ever. It cannot be told to stop after
 * N, and a burst may complete as often as the backlog is long before a cancel reaches it; so near
 * the limit connections are accepted one at a time, and nothing is accepted that would have to be
 * thrown away.
 *
 * EMFILE and ENFILE leave the connection in the backlog and answer every new try at once with the
 * same error: trying again without a pause would be a busy loop.
 */
#include "io/listener.h"
#include "core/assert.h"
#include "io/sock.h"

#include <errno.h>

#define MULTI_CAPACITY_MIN 4096u /* a full backlog in one pass */
#define RETRY_NS_MIN       10000000u
#define RETRY_NS_MAX       320000000u

_Static_assert(sizeof(struct weir_listener) <= WEIR_SLOT_BYTES, "a listener fits into a slot");

static struct weir_listener *listener_of(struct weir_slot *slot)
{
    return weir_container_of(slot, struct weir_listener, slot);
}

static void arm(struct weir_listener *l)
{
    if (l->state != WEIR_LISTENER_OPEN || l->armed || weir_timer_is_set(&l->retry))
        return;
    uint32_t capacity = l->handler->capacity(l);
    if (capacity == 0) {
        /* The owner resumes us when it has room; slots that others free are seen by looking again.
         */
        l->engine->stats.accept_paused++;
        weir_timer_set(l->engine, &l->retry, l->engine->now_ns + RETRY_NS_MAX);
        return;
    }
    l->armed = true;
    l->multi = capacity >= MULTI_CAPACITY_MIN;
    weir_op_accept(l->engine, &l->slot, l->fd, l->multi);
}

static void on_retry(struct weir_timer *timer, void *ctx)
{
    (void)timer;
    arm(ctx);
}

static void accept_cancel(struct weir_listener *l)
{
    WEIR_ASSERT(l->armed && !l->cancelling);
    l->cancelling = true;
    weir_op_cancel_kind(l->engine, &l->slot, WEIR_OP_ACCEPT);
}

static void end_join(struct weir_listener *l)
{
    if (l->slot.inflight == 0)
        weir_ready_push(&l->engine->ready, &l->end);
}

static void listener_end(struct weir_ready *ready)
{
    struct weir_listener *l = weir_container_of(ready, struct weir_listener, end);
    WEIR_ASSERT(l->state == WEIR_LISTENER_CLOSING);
    WEIR_ASSERT(!l->armed);
    weir_sock_close(l->engine, l->fd);
    if (l->handler != NULL) /* it was started */
        l->handler->on_closed(l);
    weir_slot_put(l->engine, &l->slot);
}

static void accept_failed(struct weir_listener *l, int res)
{
    switch (res) {
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        l->engine->stats.accept_paused++;
        l->backoff_ns =
            l->backoff_ns == 0 ? RETRY_NS_MIN : weir_min_u64(l->backoff_ns * 2, RETRY_NS_MAX);
        weir_timer_set(l->engine, &l->retry, l->engine->now_ns + l->backoff_ns);
        break;
    case -ECANCELED:    /* to go on one at a time, or for good */
    case -ECONNABORTED: /* the peer gave up while it waited; accept(2) lists the rest */
    case -EINTR:
    case -EAGAIN:
    case -EPERM: /* a firewall rule */
    case -ENETDOWN:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -EOPNOTSUPP:
    case -ENETUNREACH:
        break;
    default:
        weir_unexpected(l->engine, WEIR_OP_ACCEPT, &l->slot, res);
        weir_timer_set(l->engine, &l->retry, l->engine->now_ns + RETRY_NS_MAX);
        break;
    }
}

static void on_accept(struct weir_engine *engine, struct weir_slot *slot,
                      const struct weir_done *done)
{
    struct weir_listener *l = listener_of(slot);
    if (done->last)
        l->armed = false;
    if (l->state == WEIR_LISTENER_CLOSING) {
        if (done->res >= 0)
            weir_sock_close(engine, done->res);
        end_join(l);
        return;
    }
    if (done->res < 0) {
        accept_failed(l, done->res);
    } else {
        l->backoff_ns = 0;
        l->handler->on_accept(l, done->res);
    }
    if (l->armed && l->multi && !l->cancelling && l->handler->capacity(l) < MULTI_CAPACITY_MIN)
        accept_cancel(l);
    arm(l);
}

static void on_accept_cancel(struct weir_engine *engine, struct weir_slot *slot,
                             const struct weir_done *done)
{
    struct weir_listener *l = listener_of(slot);
    if (done->res < 0 && done->res != -ENOENT && done->res != -EALREADY)
        weir_unexpected(engine, WEIR_OP_ACCEPT_CANCEL, slot, done->res);
    l->cancelling = false;
    if (l->state == WEIR_LISTENER_CLOSING) {
        /* It may have been for an accept before this one, which then still waits. */
        if (l->armed)
            accept_cancel(l);
        end_join(l);
    }
}

int weir_listener_open(struct weir_listener **out, struct weir_engine *engine, const char *text,
                       uint32_t backlog, unsigned how)
{
    struct weir_addr addr;
    *out = NULL;
    int rc = weir_addr_parse_listen(&addr, text);
    if (rc < 0)
        return rc;
    int fd = weir_sock_listen(engine, &addr, backlog, how);
    if (fd < 0)
        return weir_fail(fd, "cannot listen on %s: %s", text, weir_strerror(fd));
    rc = weir_sock_local(engine, fd, &addr);
    if (rc < 0) {
        weir_sock_close(engine, fd);
        return weir_fail(rc, "the address of %s cannot be read: %s", text, weir_strerror(rc));
    }
    struct weir_slot *slot = weir_slot_get(engine);
    if (slot == NULL) {
        weir_sock_close(engine, fd);
        return weir_fail(-ENOBUFS, "no slot for a listener: raise the engine's conns_max");
    }
    struct weir_listener *l = listener_of(slot);
    l->engine = engine;
    l->fd = fd;
    l->addr = addr;
    l->state = WEIR_LISTENER_OPEN;
    l->end.run = listener_end;
    weir_list_init(&l->end.link);
    weir_timer_init(&l->retry, on_retry, l);
    weir_engine_set_handler(engine, WEIR_OP_ACCEPT, on_accept);
    weir_engine_set_handler(engine, WEIR_OP_ACCEPT_CANCEL, on_accept_cancel);
    *out = l;
    return 0;
}

void weir_listener_start(struct weir_listener *l, const struct weir_listener_handler *handler,
                         void *user)
{
    WEIR_ASSERT(l->handler == NULL);
    l->handler = handler;
    l->user = user;
    arm(l);
}

void weir_listener_resume(struct weir_listener *l)
{
    /* A closed connection freed a descriptor: no need to wait for the timer. */
    weir_timer_cancel(&l->retry);
    arm(l);
}

void weir_listener_close(struct weir_listener *l)
{
    if (l->state == WEIR_LISTENER_CLOSING)
        return;
    l->state = WEIR_LISTENER_CLOSING;
    weir_timer_cancel(&l->retry);
    if (l->armed && !l->cancelling)
        accept_cancel(l);
    end_join(l);
}
