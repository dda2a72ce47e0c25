/* SPDX-License-Identifier: MIT */
/*
 * The contract of core/ring.h, put to every twin: connections, bytes, and how they end, through
 * the ring's operations and the sockets of its world.
 */
#include "contract/twins.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

/* ---- Accept and connect ------------------------------------------------------------------ */

static void check_accept_multi(int family)
{
    if (!rig_has(family))
        return;
    struct rig_addr addr;
    int listener = rig_listen(&addr, family);
    uint64_t op = rig_op();
    rig.ops->accept(rig.ring, listener, true, op);
    for (uint32_t round = 1; round <= 2; round++) {
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(rig_end(rig_connect(rig_stream(&addr), &addr)), 0);
        RIG_UNTIL(rig_seen(op) == round * 10);
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(rig_nth(op, i)->flags & WEIR_CQE_MORE, WEIR_CQE_MORE);
        for (uint32_t k = 0; k < rig.fds_count; k++)
            assert_int_not_equal(rig.fds[k], rig_nth(op, i)->res);
        rig_fd(rig_nth(op, i)->res);
    }
    uint64_t cancel = rig_op();
    rig.ops->cancel(rig.ring, op, cancel);
    assert_true(rig_end(cancel) >= 0);
    assert_int_equal(rig_end(op), -ECANCELED);
    assert_int_equal(rig_seen(op), 21);
    /* It is over: the next connection waits for the next accept. */
    assert_int_equal(rig_end(rig_connect(rig_stream(&addr), &addr)), 0);
    rig_settle();
    assert_int_equal(rig_seen(op), 21);
    uint64_t next = rig_op();
    rig.ops->accept(rig.ring, listener, true, next);
    RIG_UNTIL(rig_seen(next) == 1);
    rig_fd(rig_nth(next, 0)->res);
}

static void accept_multi_goes_on(void **state)
{
    (void)state;
    check_accept_multi(AF_INET);
    check_accept_multi(AF_UNIX);
}

static void accept_takes_one(void **state)
{
    (void)state;
    struct rig_addr addr;
    int listener = rig_listen(&addr, AF_INET);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(rig_end(rig_connect(rig_stream(&addr), &addr)), 0);
    uint64_t op[3];
    for (unsigned i = 0; i < 3; i++) {
        op[i] = rig_op();
        rig.ops->accept(rig.ring, listener, false, op[i]);
        if (i == 2)
            break; /* nobody is left */
        rig_fd(rig_end(op[i]));
        rig_settle();
        assert_int_equal(rig_seen(op[i]), 1);
    }
    rig_settle();
    assert_int_equal(rig_seen(op[2]), 0);
    assert_int_equal(rig_end(rig_connect(rig_stream(&addr), &addr)), 0);
    rig_fd(rig_end(op[2]));
}

static void connect_refused(void **state)
{
    (void)state;
    const int families[] = { AF_INET, AF_UNIX };
    for (unsigned i = 0; i < 2 && rig_has(families[i]); i++) {
        struct rig_addr addr;
        rig_close_fd(rig_listen(&addr, families[i]));
        assert_int_equal(rig_end(rig_connect(rig_stream(&addr), &addr)), -ECONNREFUSED);
    }
}

/* The address need not outlive the enter that leaves nothing unsubmitted. */
static void connect_then_send(void **state)
{
    (void)state;
    struct rig_addr addr, copy;
    int listener = rig_listen(&addr, AF_INET);
    uint64_t accepting = rig_op();
    rig.ops->accept(rig.ring, listener, false, accepting);
    copy = addr;
    struct rig_flow flow = { .from = rig_stream(&addr), .end = 100 };
    uint64_t connecting = rig_connect(flow.from, &copy);
    rig_submit();
    memset(&copy, 0xff, sizeof copy);
    assert_int_equal(rig_end(connecting), 0);
    flow.to = rig_fd(rig_end(accepting));
    RIG_UNTIL(rig_flow(&flow));
    /* And the other way. */
    struct rig_flow back = { .from = flow.to, .to = flow.from, .end = 100 };
    RIG_UNTIL(rig_flow(&back));
}

/* More connects than the backlog holds: each ends well, or with -EAGAIN, which a unix socket gives
 * where nothing can wait for room; none is forgotten. */
static void connect_beyond_the_backlog(void **state)
{
    (void)state;
    if (!rig_has(AF_UNIX))
        skip();
    struct rig_addr addr = rig_addr(AF_UNIX);
    int listener = rig_fd(rig.sock->listen(rig.ring, rig_at(&addr), 1, false));
    uint64_t ops[6], accepting = rig_op();
    for (unsigned i = 0; i < 6; i++)
        ops[i] = rig_connect(rig_stream(&addr), &addr);
    rig_submit();
    rig.ops->accept(rig.ring, listener, true, accepting);
    uint32_t connected = 0;
    for (unsigned i = 0; i < 6; i++) {
        int rc = rig_end(ops[i]);
        assert_true(rc == 0 || rc == -EAGAIN);
        connected += rc == 0;
    }
    assert_true(connected > 0);
    RIG_UNTIL(rig_seen(accepting) == connected);
    for (uint32_t i = 0; i < connected; i++)
        rig_fd(rig_nth(accepting, i)->res);
}

/* ---- Sockets beside the ring ------------------------------------------------------------- */

static void addresses_of_both_ends(void **state)
{
    (void)state;
    struct rig_addr addr, a, b;
    int listener = rig_listen(&addr, AF_INET), fds[2];
    rig_pair_at(fds, listener, &addr);
    assert_int_equal(rig.sock->peer(rig.ring, fds[0], &a.storage, &a.bytes), 0);
    assert_int_equal(a.bytes, addr.bytes);
    assert_memory_equal(&a.storage, &addr.storage, a.bytes);
    assert_int_equal(rig.sock->local(rig.ring, fds[0], &a.storage, &a.bytes), 0);
    assert_int_equal(rig.sock->peer(rig.ring, fds[1], &b.storage, &b.bytes), 0);
    assert_int_equal(a.bytes, b.bytes);
    assert_memory_equal(&a.storage, &b.storage, a.bytes);
}

static void addresses_in_use(void **state)
{
    (void)state;
    const int families[] = { AF_INET, AF_UNIX };
    for (unsigned i = 0; i < 2 && rig_has(families[i]); i++) {
        struct rig_addr addr;
        int listener = rig_listen(&addr, families[i]);
        assert_int_equal(rig.sock->listen(rig.ring, rig_at(&addr), 16, false), -EADDRINUSE);
        rig_close_fd(listener);
        /* Free again, or a socket file that nobody listens on. */
        rig_fd(rig.sock->listen(rig.ring, rig_at(&addr), 16, false));
    }
}

/* The numbers come back for other sockets: nothing of the earlier ones is left. */
static void descriptors_are_reused(void **state)
{
    (void)state;
    struct rig_addr addr;
    int listener = rig_listen(&addr, AF_INET);
    for (unsigned i = 0; i < 20; i++) {
        struct rig_flow flow = { .end = 3000 };
        int fds[2];
        rig_pair_at(fds, listener, &addr);
        flow.from = fds[i % 2];
        flow.to = fds[1 - i % 2];
        RIG_UNTIL(rig_flow(&flow));
        rig_end(rig_cancel_fd(flow.to));
        assert_int_equal(rig_end(flow.recv_op), -ECANCELED);
        /* One end hears that the other is gone, every other time. */
        if (i & 2) {
            rig_close_fd(fds[0]);
            assert_int_equal(rig_end(rig_recv(fds[1])), 0);
            rig_close_fd(fds[1]);
        } else {
            rig_close_fd(fds[1]);
            rig_close_fd(fds[0]);
        }
    }
}

/* ---- Receive ----------------------------------------------------------------------------- */

/* Much more than the buffers hold, in pieces of every size, to the end of the file. */
static void check_stream(int family, size_t piece, uint64_t end)
{
    int fds[2];
    if (!rig_has(family))
        return;
    rig_pair(fds, family);
    struct rig_flow flow = { .from = fds[0], .to = fds[1], .end = end, .piece = piece };
    RIG_UNTIL(rig_flow(&flow));
    assert_int_equal(rig.sock->shutdown_send(rig.ring, fds[0]), 0);
    RIG_UNTIL((rig_flow(&flow), flow.recv_error != 0));
    assert_int_equal(flow.recv_error, 1);
    assert_int_equal(rig_end(flow.recv_op), 0);
    /* The end of the file is there for whoever asks again. */
    assert_int_equal(rig_end(rig_recv(fds[1])), 0);
    rig_settle();
    assert_int_equal(rig.ops_inflight, 0);
}

static void streams_arrive_whole(void **state)
{
    (void)state;
    check_stream(AF_INET, 0, 3000000);
    check_stream(AF_UNIX, 0, 3000000);
    check_stream(AF_INET, 1, 300);
    check_stream(AF_UNIX, 1024, 30000);
    check_stream(AF_INET, 1023, 30000);
}

/* Bytes, and even the end, that were there before the receive. */
static void receive_comes_late(void **state)
{
    (void)state;
    const int families[] = { AF_INET, AF_UNIX };
    for (unsigned i = 0; i < 2 && rig_has(families[i]); i++) {
        int fds[2];
        rig_pair(fds, families[i]);
        struct rig_flow flow = { .from = fds[0], .to = fds[1], .end = 2500, .deaf = true };
        RIG_UNTIL(rig_flow(&flow));
        assert_int_equal(rig.sock->shutdown_send(rig.ring, fds[0]), 0);
        rig_settle();
        flow.deaf = false;
        RIG_UNTIL((rig_flow(&flow), flow.recv_error != 0));
        assert_int_equal(flow.recv_error, 1);
        assert_int_equal(flow.received, 2500);
    }
}

/* Bytes and the end right behind them, while the receive waits: the end is not overlooked. */
static void end_right_behind_the_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        int fds[2];
        rig_pair(fds, i & 1 && rig_has(AF_UNIX) ? AF_UNIX : AF_INET);
        struct rig_flow flow = { .from = fds[0], .to = fds[1], .end = 100 };
        flow.recv_op = rig_recv(flow.to);
        flow.receiving = true;
        rig_submit();
        uint64_t op = rig_send(fds[0], rig_piece(0, 100));
        RIG_UNTIL(!rig.inflight[op]);
        assert_int_equal(rig.sock->shutdown_send(rig.ring, fds[0]), 0);
        flow.sent = 100;
        RIG_UNTIL((rig_flow(&flow), flow.recv_error != 0));
        assert_int_equal(flow.received, 100);
        assert_int_equal(flow.recv_error, 1);
        rig_close_fd(fds[0]);
        rig_close_fd(fds[1]);
        unlink(rig.paths[0]);
        rig.paths_count = 0;
    }
}

static void half_close(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    assert_int_equal(rig.sock->shutdown_send(rig.ring, fds[0]), 0);
    assert_int_equal(rig_end(rig_recv(fds[1])), 0);
    /* The other direction goes on, until it ends, too. */
    struct rig_flow flow = { .from = fds[1], .to = fds[0], .end = 50000 };
    RIG_UNTIL(rig_flow(&flow));
    assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 1))), -EPIPE);
    rig_close_fd(fds[1]);
    RIG_UNTIL((rig_flow(&flow), flow.recv_error != 0));
    assert_int_equal(flow.recv_error, 1);
}

/* A single receive completes once, with what one buffer holds; the rest waits for the next. */
static void one_at_a_time(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t early = rig_recv_once(fds[1]); /* before there is anything */
    assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 3000))), 3000);
    uint64_t received = 0;
    for (uint64_t op = early; received < 3000; op = rig_recv_once(fds[1])) {
        int32_t res = rig_end(op);
        assert_in_range(res, 1, 1024);
        assert_int_equal(rig_seen(op), 1);
        assert_int_equal(rig_nth(op, 0)->flags & (WEIR_CQE_BUFFER | WEIR_CQE_MORE),
                         WEIR_CQE_BUFFER);
        received += (uint64_t)res;
        rig_put_all();
        if (received == 3000)
            break;
    }
    assert_int_equal(received, 3000);
    /* Cancelled, ended by the peer, and without buffers: as a multiple one ends. */
    uint64_t victim = rig_recv_once(fds[1]), cancel = rig_op();
    rig.ops->cancel(rig.ring, victim, cancel);
    assert_int_equal(rig_end(victim), -ECANCELED);
    assert_true(rig_end(cancel) >= 0);
    uint64_t last = rig_recv_once(fds[1]);
    assert_int_equal(rig.sock->shutdown_send(rig.ring, fds[0]), 0);
    assert_int_equal(rig_end(last), 0);
}

/* Without a free buffer a receive ends with -ENOBUFS; what waits in the socket is not lost. */
static void buffers_run_out(void **state)
{
    (void)state;
    struct weir_ring_config cfg = rig_config();
    cfg.bufs_count = 2;
    rig_reopen(cfg);
    int fds[2];
    rig_pair(fds, AF_INET);
    assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 5000))), 5000);
    uint64_t op = rig_recv(fds[1]);
    assert_int_equal(rig_end(op), -ENOBUFS);
    assert_int_equal(rig_seen(op), 3);
    assert_int_equal(rig_nth(op, 2)->flags, 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(rig_nth(op, i)->res, 1024);
    uint32_t first = rig_nth(op, 0)->flags >> WEIR_CQE_BUF_SHIFT;
    /* One that was put is not there before it is committed. */
    rig_put(first);
    assert_int_equal(rig_end(rig_recv(fds[1])), -ENOBUFS);
    rig.ops->buf_commit(rig.ring);
    uint64_t next = rig_recv(fds[1]);
    assert_int_equal(rig_end(next), -ENOBUFS);
    assert_int_equal(rig_seen(next), 2);
    assert_int_equal(rig_nth(next, 0)->res, 1024);
    assert_int_equal(rig_nth(next, 0)->flags >> WEIR_CQE_BUF_SHIFT, first);
    rig_put_all();
    struct rig_flow flow = { .to = fds[1], .received = 3072, .sent = 5000, .end = 5000 };
    flow.seen = rig.log_count;
    RIG_UNTIL(rig_flow(&flow));
}

/* A receive that comes in a flood does not keep another connection's bytes out. */
static void floods_let_others_through(void **state)
{
    (void)state;
    int flood[2], drop[2];
    /* Enough for both: for the buffers there is no order. */
    struct weir_ring_config cfg = rig_config();
    cfg.bufs_count = 256;
    rig_reopen(cfg);
    rig_pair(flood, AF_INET);
    rig_pair(drop, AF_INET);
    struct rig_flow big = { .from = flood[0], .to = flood[1], .end = 100u << 20 };
    for (unsigned i = 0; i < 5; i++) {
        struct rig_flow small = { .from = drop[0], .to = drop[1], .end = 10 };
        small.seen = rig.log_count;
        RIG_UNTIL((rig_flow(&big), rig_flow(&small)));
        rig_end(rig_cancel_fd(drop[1]));
    }
    assert_true(big.received < big.end);
    rig_end(rig_cancel_fd(flood[0]));
}

/* ---- Reset ------------------------------------------------------------------------------- */

static void reset_is_an_error(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    uint64_t op = rig_recv(fds[1]);
    rig_submit();
    rig.sock->set_reset(rig.ring, fds[0]);
    rig_close_fd(fds[0]);
    assert_int_equal(rig_end(op), -ECONNRESET);
    assert_int_equal(rig_seen(op), 1);
    /* No signal is raised. */
    assert_int_equal(rig_end(rig_send(fds[1], rig_piece(0, 1))), -EPIPE);
    if (!rig_has(AF_UNIX))
        return;
    /* A unix socket knows no reset. */
    rig_pair(fds, AF_UNIX);
    op = rig_recv(fds[1]);
    rig_submit();
    rig.sock->set_reset(rig.ring, fds[0]);
    rig_close_fd(fds[0]);
    assert_int_equal(rig_end(op), 0);
    assert_int_equal(rig_end(rig_send(fds[1], rig_piece(0, 1))), -EPIPE);
}

/* A send that waits ends when the peer is gone. */
static void reset_ends_a_blocked_send(void **state)
{
    (void)state;
    int fds[2];
    uint64_t sent;
    rig_pair(fds, AF_INET);
    uint64_t op = rig_fill(fds[0], &sent);
    rig.sock->set_reset(rig.ring, fds[1]);
    rig_close_fd(fds[1]);
    int rc = rig_end(op);
    assert_true(rc == -ECONNRESET || rc == -EPIPE);
}

/* ---- Send -------------------------------------------------------------------------------- */

/* All parts, in order; the description may be gone after the enter. */
static void gathered_send(void **state)
{
    (void)state;
    int fds[2];
    struct iovec parts[8];
    rig_pair(fds, AF_INET);
    struct rig_flow flow = { .from = fds[0], .to = fds[1] };
    for (unsigned i = 0; i < 8; i++) {
        struct weir_slice piece = rig_piece(flow.end, i + 1);
        parts[i] = (struct iovec){ (void *)(uintptr_t)piece.ptr, piece.len };
        flow.end += piece.len;
    }
    struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 8 };
    uint64_t op = rig_op();
    rig.ops->sendmsg(rig.ring, fds[0], &msg, op);
    rig_submit();
    memset(&msg, 0xff, sizeof msg);
    memset(parts, 0xff, sizeof parts);
    assert_int_equal(rig_end(op), flow.end);
    flow.sent = flow.end;
    RIG_UNTIL(rig_flow(&flow));
}

/* The same again, gathered: a description of eight pieces that is gone after the enter. */
static uint64_t send_gathered(int fd, uint64_t offset)
{
    struct iovec parts[8];
    for (unsigned i = 0; i < 8; i++) {
        struct weir_slice piece = rig_piece(offset + i * 1000, 1000);
        parts[i] = (struct iovec){ (void *)(uintptr_t)piece.ptr, piece.len };
    }
    struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 8 };
    uint64_t op = rig_op();
    rig.ops->sendmsg(rig.ring, fd, &msg, op);
    rig_submit();
    memset(&msg, 0xff, sizeof msg);
    memset(parts, 0xff, sizeof parts);
    return op;
}

/* A peer that does not read stops a send until it reads: every byte comes once. */
static void check_blocked(int family, bool gathered)
{
    int fds[2];
    uint64_t sent;
    if (!rig_has(family))
        return;
    rig_pair(fds, family);
    uint64_t op = rig_fill(fds[0], &sent);
    if (gathered) {
        (void)rig_cancel_fd(fds[0]);
        int rc = rig_end(op);
        assert_true(rc > 0 || rc == -ECANCELED);
        sent += (uint64_t)(rc > 0 ? rc : 0);
        op = send_gathered(fds[0], sent);
        rig_settle();
        assert_true(rig.inflight[op]);
    }
    struct rig_flow flow = { .from = fds[0], .to = fds[1], .sent = sent, .end = sent };
    RIG_UNTIL((rig_flow(&flow), !rig.inflight[op]));
    assert_true(rig_end(op) > 0);
    flow.sent += (uint64_t)rig_end(op);
    flow.end = flow.sent + 100000;
    RIG_UNTIL(rig_flow(&flow));
}

static void peers_that_do_not_read(void **state)
{
    (void)state;
    check_blocked(AF_INET, false);
    check_blocked(AF_INET, true);
    check_blocked(AF_UNIX, false);
    check_blocked(AF_UNIX, true);
}

/* First the count, then, when more is announced, the notification: 0 or "copied". */
static void check_zero_copy(int fds[2], int buffer, struct weir_slice data)
{
    uint64_t op = rig_op();
    struct rig_flow flow = { .from = fds[0], .to = fds[1], .seen = rig.log_count };
    rig.ops->send_zc(rig.ring, fds[0], data, buffer, op);
    RIG_UNTIL((rig_flow(&flow), !rig.inflight[op]));
    const struct weir_cqe *first = rig_nth(op, 0);
    assert_false(first->flags & WEIR_CQE_NOTIF);
    assert_int_equal(first->res, data.len);
    assert_int_equal(rig_seen(op), first->flags & WEIR_CQE_MORE ? 2 : 1);
    if (rig_seen(op) == 2) {
        const struct weir_cqe *last = rig_nth(op, 1);
        assert_true(last->flags & WEIR_CQE_NOTIF);
        assert_true(last->res == 0 || (uint32_t)last->res == WEIR_ZC_COPIED);
    }
    flow.sent = flow.end = data.len;
    RIG_UNTIL(rig_flow(&flow));
    rig_end(rig_cancel_fd(fds[1]));
    assert_int_equal(rig_end(flow.recv_op), -ECANCELED);
}

static void zero_copy(void **state)
{
    (void)state;
    int fds[2];
    /* Page by page it is locked: memory of its own. */
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, WEIR_PAGE, WEIR_PAGE), 0);
    struct weir_slice data = { memory, 4000 };
    memcpy(memory, rig_piece(0, data.len).ptr, data.len);
    if (!(rig.ring->abilities & WEIR_RING_ZC)) {
        int rc = rig.ops->buffer_register(rig.ring, 1, data);
        assert_true(rc <= 0);
        if (rc == 0)
            assert_int_equal(rig.ops->buffer_register(rig.ring, 1, (struct weir_slice){ 0 }), 0);
        free(memory);
        skip();
    }
    rig_pair(fds, AF_INET);
    check_zero_copy(fds, -1, data);
    if (rig.ops->buffer_register(rig.ring, 1, data) == 0) {
        check_zero_copy(fds, 1, data);
        assert_int_equal(rig.ops->buffer_register(rig.ring, 1, (struct weir_slice){ 0 }), 0);
    }
    rig_finish();
    rig.abandoned = true;
    free(memory);
}

/* ---- Polling ----------------------------------------------------------------------------- */

static uint64_t poll_for(int fd, uint32_t events)
{
    uint64_t op = rig_op();
    rig.ops->poll(rig.ring, fd, events, op);
    return op;
}

/* One completion, when bytes come; at once while they lie there; none once they are taken. */
static void poll_for_input(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t op = poll_for(fds[1], POLLIN);
        rig_submit();
        rig_settle();
        assert_true(rig.inflight[op]);
        assert_int_equal(rig_end(rig_send(fds[0], rig_piece(0, 9))), 9);
        assert_int_equal(rig_end(op) & (POLLIN | POLLOUT), POLLIN);
        rig_settle();
        assert_int_equal(rig_seen(op), 1);
        assert_true(rig_end(poll_for(fds[1], POLLIN)) & POLLIN);
        assert_int_equal(rig_end(rig_recv_once(fds[1])), 9);
        rig_put_all();
    }
    uint64_t op = poll_for(fds[1], POLLIN);
    rig_submit();
    rig_close_fd(fds[0]);
    assert_true(rig_end(op) & POLLIN);
}

/* At once while there is room; else when the peer has read. */
static void poll_for_output(void **state)
{
    (void)state;
    int fds[2];
    uint64_t sent;
    rig_pair(fds, AF_INET);
    assert_int_equal(rig_end(poll_for(fds[0], POLLOUT)) & (POLLIN | POLLOUT), POLLOUT);
    uint64_t full = rig_fill(fds[0], &sent), cancel = rig_op();
    rig.ops->cancel(rig.ring, full, cancel);
    rig_end(cancel);
    int rest = rig_end(full);
    sent += rest > 0 ? (uint64_t)rest : 0;
    uint64_t op = poll_for(fds[0], POLLOUT);
    rig_submit();
    rig_settle();
    assert_true(rig.inflight[op]);
    struct rig_flow flow = { .from = fds[0], .to = fds[1], .sent = sent, .end = sent };
    flow.seen = rig.log_count;
    RIG_UNTIL(rig_flow(&flow));
    assert_int_equal(rig_end(op) & (POLLIN | POLLOUT), POLLOUT);
}

/* By its name or with its descriptor; the one of the other direction is another. */
static void poll_is_cancelled(void **state)
{
    (void)state;
    int fds[2];
    rig_pair(fds, AF_INET);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t op = poll_for(fds[1], POLLIN), cancel;
        if (i % 2 == 0)
            rig_submit(); /* it waits already; else they are queued together */
        if (i < 2) {
            cancel = rig_op();
            rig.ops->cancel(rig.ring, op, cancel);
        } else {
            cancel = rig_cancel_fd(fds[1]);
        }
        assert_int_equal(rig_end(op), -ECANCELED);
        assert_true(rig_end(cancel) >= 0);
        assert_int_equal(rig_seen(op), 1);
    }
    assert_true(rig_end(poll_for(fds[1], POLLOUT)) & POLLOUT);
}

/*
 * Of an epoll descriptor, as libraries have one to be watched by: every time that something behind
 * it is ready. The next one has the number of the one before.
 */
static void poll_of_an_epoll(void **state)
{
    (void)state;
    for (unsigned life = 0; life < 3; life++) {
        int pipes[2];
        assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
        int epoll_fd = rig_fd(epoll_create1(EPOLL_CLOEXEC));
        struct epoll_event event = { .events = EPOLLIN };
        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipes[0], &event), 0);
        for (unsigned round = 0; round < 4; round++) {
            char byte = 'b';
            uint64_t op = poll_for(epoll_fd, POLLIN);
            if (round != 1)
                rig_settle(); /* it waits before something happens; or does not */
            assert_int_equal(rig_seen(op), 0);
            assert_int_equal(write(pipes[1], &byte, 1), 1);
            assert_int_equal(rig_end(op), POLLIN);
            assert_int_equal(rig_end(poll_for(epoll_fd, POLLIN)), POLLIN);
            assert_int_equal(read(pipes[0], &byte, 1), 1);
        }
        uint64_t op = poll_for(epoll_fd, POLLIN);
        rig_settle();
        assert_true(rig.inflight[op]);
        rig_end(rig_cancel_fd(epoll_fd));
        assert_int_equal(rig_end(op), -ECANCELED);
        rig_close_fd(epoll_fd);
        close(pipes[0]);
        close(pipes[1]);
    }
    if (rig.world == NULL)
        assert_int_equal(rig_end(poll_for(-1, POLLIN)), -EBADF);
}

static const struct rule rules[] = {
    RULE(accept_multi_goes_on),
    RULE(accept_takes_one),
    RULE(connect_refused),
    RULE(connect_then_send),
    RULE(connect_beyond_the_backlog),
    RULE(addresses_of_both_ends),
    RULE(addresses_in_use),
    RULE(descriptors_are_reused),
    RULE(streams_arrive_whole),
    RULE(receive_comes_late),
    RULE(end_right_behind_the_bytes),
    RULE(half_close),
    RULE(one_at_a_time),
    RULE(buffers_run_out),
    RULE(floods_let_others_through),
    RULE(reset_is_an_error),
    RULE(reset_ends_a_blocked_send),
    RULE(gathered_send),
    RULE(peers_that_do_not_read),
    RULE(zero_copy),
    RULE(poll_for_input),
    RULE(poll_for_output),
    RULE(poll_is_cancelled),
    RULE(poll_of_an_epoll),
};

int main(void)
{
    return rules_run(rules, sizeof rules / sizeof rules[0]);
}
